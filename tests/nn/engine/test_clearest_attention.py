"""By which attention an utterance is aligned: the decoder's where it is clear, else the clearest of all there are."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from voxswap_server.engine.alignment import _clearest
from voxswap_server.nn.alignment import best_path

TOKENS, PHONES = [3, 1, 4, 1, 5, 9], 3
LENGTHS = (1, 3, 2)
"""Tokens of each phone."""


def looking(weight: float) -> Tensor:
    """(T, P) at the phone that is spoken with this weight, and hardly elsewhere; the rest goes to tokens."""
    spoken = torch.arange(PHONES).repeat_interleave(torch.tensor(LENGTHS))
    return torch.full((len(TOKENS), PHONES), 0.01).scatter(1, spoken[:, None], weight)


class T2S:
    """Two layers of two heads over a prompt of two phones; one head looks where it speaks, from one token before."""

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.asked = 0

    def new_cache(self, prefix_tokens: int, max_new_tokens: int) -> tuple[int, int]:
        return prefix_tokens, max_new_tokens

    def prefill(self, rows: list[Any]) -> None:
        self.asked += 1
        (row,) = rows
        prompt = row.prompt.numel() - len(TOKENS)
        assert row.prompt[prompt:].tolist() == TOKENS
        for layer in range(2):
            look = torch.full((2, row.prompt.numel(), 2 + PHONES), 0.05)
            if layer == 1:
                before = torch.arange(prompt - 1, row.prompt.numel() - 1).clamp(min=0)
                look[1, before, 2:] = looking(self.weight)
            row.looks.append(look)


def aligned_by(decoder: Tensor, t2s: T2S, prompt_tokens: int = 2) -> np.ndarray:
    voice = SimpleNamespace(decoder=SimpleNamespace(attention=lambda *_: decoder), t2s=t2s)
    prompt = SimpleNamespace(phones=torch.arange(2), tokens=torch.arange(prompt_tokens), bert=None)
    text = SimpleNamespace(phones=torch.arange(PHONES), bert=None)
    attention = _clearest(voice, prompt, text, TOKENS)
    nowhere = np.zeros(PHONES, bool)
    ends: np.ndarray = best_path(attention, np.zeros(len(TOKENS), bool), nowhere, nowhere)[:, 1]
    return ends / len(TOKENS)


TRUE = pytest.approx(np.cumsum(LENGTHS) / len(TOKENS))
NOWHERE = torch.full((2 * len(TOKENS), PHONES), 0.01)


def test_a_decoder_that_is_clear_is_believed_and_nobody_else_asked() -> None:
    t2s = T2S(1.0)
    assert aligned_by(looking(0.6).repeat_interleave(2, dim=0), t2s) == TRUE
    assert t2s.asked == 0


def test_where_it_is_vague_the_clearest_head_is_taken() -> None:
    assert aligned_by(NOWHERE, T2S(0.9)) == TRUE


def test_without_a_prompt_the_first_token_looks_as_the_second() -> None:
    t2s = T2S(0.9)
    ends = aligned_by(NOWHERE, t2s, prompt_tokens=0)
    assert t2s.asked == 1
    assert ends[-1] == 1


def test_a_vague_decoder_is_still_better_than_heads_that_know_less() -> None:
    assert aligned_by(looking(0.24), T2S(0.2)) == TRUE
