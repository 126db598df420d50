"""When each word and each phone of an utterance is heard.

The decoder tells which phones each frame is about (its own attention from content to text), and so do some heads of
T2S; the best monotone path through the clearest of them gives every phone its time. Which heads those are differs from
voice to voice, and is seen by the weight of the path. Runs on the device thread. Knows nothing of sentences or streams.
"""

from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxswap_server.domain import Timestamp, TimestampKind
from voxswap_server.engine.job import DeviceCall, Span, UtteranceAligned, Work
from voxswap_server.engine.pipeline import whole_row
from voxswap_server.engine.prompts import EncodedPrompt
from voxswap_server.engine.text_encoder import EncodedText
from voxswap_server.engine.voice import Voice
from voxswap_server.nn.alignment import Path, best_path
from voxswap_server.text.visemes import VISEME_OF
from voxswap_server.text.words import spoken_words

CLEAR = 0.25
"""Weight of a path from which on the decoder is believed; below it T2S is asked too, which costs a prefill."""


def aligned(
    voice: Voice, prompt: EncodedPrompt, text: EncodedText, tokens: list[int], samples: int
) -> Generator[Work, Any, UtteranceAligned]:
    """Places words and phones in the audio of an utterance.

    Args:
        voice: that spoke it.
        prompt: what it continued.
        text: what was spoken.
        tokens: all of them.
        samples: of its audio, the pause after it not included.
    """
    utterance = text.utterance
    if utterance is None or not tokens or not samples:
        return UtteranceAligned((), (), samples)
    ends: Sequence[float] = yield DeviceCall("align", _run, (voice, prompt, text, tokens))
    edges = [0, *(round(end * samples) for end in ends)]
    names = [phone for run in utterance.runs for phone in run.phones]
    units = [unit for run in utterance.runs for unit in run.units]
    return UtteranceAligned(
        words=tuple(
            Span(word.text, edges[word.start_phone], edges[word.end_phone])
            for word in spoken_words(utterance.text, units)
        ),
        phones=tuple(Span(name, edges[place], edges[place + 1]) for place, name in enumerate(names)),
        samples=samples,
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """From samples of an utterance to those of what is sent."""

    start_sample: int
    """Of the utterance, at the rate of the voice."""
    voice_hz: int
    out_hz: int

    def __call__(self, sample: int) -> int:
        return (self.start_sample + sample) * self.out_hz // self.voice_hz


def timestamps(told: UtteranceAligned, kinds: Collection[TimestampKind], scale: Scale) -> tuple[Timestamp, ...]:
    """The kinds that are asked for; visemes that follow each other and are the same are one."""
    spans = {
        TimestampKind.WORD: told.words,
        TimestampKind.PHONE: told.phones,
        TimestampKind.VISEME: _visemes(told.phones),
    }
    return tuple(
        Timestamp(kind, span.label, scale(span.start_sample), scale(span.end_sample))
        for kind, named in spans.items()
        if kind in kinds
        for span in named
        if scale(span.end_sample) > scale(span.start_sample)
    )


def _visemes(phones: Iterable[Span]) -> Sequence[Span]:
    merged = []
    for viseme, group in groupby(phones, lambda span: VISEME_OF[span.label]):
        spans = list(group)
        merged.append(Span(viseme, spans[0].start_sample, spans[-1].end_sample))
    return merged


_Spoken = tuple[Voice, EncodedPrompt, EncodedText, list[int]]


def _run(calls: list[_Spoken]) -> list[list[float]]:
    return [_clearest(*spoken).ends.tolist() for spoken in calls]


def _clearest(voice: Voice, prompt: EncodedPrompt, text: EncodedText, tokens: list[int]) -> Path:
    drawn = torch.tensor(tokens)
    path = best_path(voice.decoder.attention(drawn, text.phones).numpy(force=True))
    if path.weight < CLEAR:
        heads = (best_path(head) for head in _heads(voice, prompt, text, drawn))
        path = max((path, *heads), key=lambda one: one.weight)
    return path


def _heads(voice: Voice, prompt: EncodedPrompt, text: EncodedText, tokens: Tensor) -> Iterator[NDArray[np.float32]]:
    """How every head of T2S looks at the phones of the text when it draws each token: (T, P) each."""
    row = whole_row(voice, prompt, text, tokens)
    voice.t2s.prefill([row])
    # A token is drawn by the look of the one before it; without a prompt, the first is taken to look as the second.
    before = torch.arange(prompt.tokens.numel() - 1, row.prompt.numel() - 1).clamp(min=0)
    for layer in row.looks or ():
        yield from layer[:, before, prompt.phones.numel() :].float().numpy(force=True)
