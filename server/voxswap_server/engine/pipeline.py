"""One request as a routine: prompt, then utterance by utterance phones -> semantic tokens -> waveform.

Knows nothing of threads, of scheduling or of gRPC: it yields the device calls that it needs and is sent their
results. All state of the request lives in the local variables of these generators.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor

from voxswap_server.engine.job import DeviceCall, Emit, Routine, Tell, UtteranceSpoken, Work
from voxswap_server.engine.prompts import EncodedPrompt
from voxswap_server.engine.text_encoder import EncodedText, TextRoutine
from voxswap_server.engine.voice import Voice
from voxswap_server.nn.noise import NoiseSource, PhiloxNoise
from voxswap_server.nn.sampling import SamplerState, Sampling, draw, token_limit
from voxswap_server.nn.t2s import T2S, KVCache, PrefillRow

PIECE_TOKENS = (10, 15, 25, 40)
"""How much audio each decoded piece holds (40 ms a token): small first ones are heard early, larger ones cost less."""


@dataclass(frozen=True, slots=True)
class SpeechParams:
    """What a request asks for, every default filled in."""

    sampling: Sampling
    seed: int
    speed: float
    """> 1 is faster."""
    pause_s: float
    """Silence after each utterance."""
    sample_steps: int
    """Of the flow-matching decoder."""


@dataclass(frozen=True, slots=True)
class SpeechLine:
    """An utterance and the silence after it."""

    text: TextRoutine | None
    """Encodes it; None: there is only silence."""
    pause_ms: int | None
    """None is the usual pause of the request."""


def speak(
    voice: Voice,
    params: SpeechParams,
    prompt: Generator[Work, Any, EncodedPrompt],
    lines: Iterable[SpeechLine],
) -> Routine:
    """Speaks utterances one after another, each followed by its pause.

    Args:
        voice: a leased bundle; the lease outlives the routine.
        params: what is asked for.
        prompt: encodes the prompt.
        lines: in order.
    """
    encoded = yield from prompt
    rate_hz, utterances = voice.spec.sample_rate_hz, count()
    for line in lines:
        pause = int(params.pause_s * rate_hz) if line.pause_ms is None else line.pause_ms * rate_hz // 1000
        if line.text is None:
            yield from _silence(pause, rate_hz)
            continue
        text = yield from line.text
        noise = PhiloxNoise(params.seed, next(utterances))
        tokens = yield from semantic_tokens(voice, encoded, text, params, noise)
        samples = yield from waveform(voice, encoded, text, tokens, params, noise)
        yield from _silence(pause, rate_hz)
        yield Tell(UtteranceSpoken(semantic_tokens=tokens.numel(), samples=samples + pause))


def _silence(samples: int, rate_hz: int) -> Generator[Work, Any, None]:
    """In pieces of at most a second, so that no chunk of an answer grows with it."""
    for start in range(0, samples, rate_hz):
        yield Emit(np.zeros(min(rate_hz, samples - start), np.float32))


def semantic_tokens(
    voice: Voice, prompt: EncodedPrompt, text: EncodedText, params: SpeechParams, noise: NoiseSource
) -> Generator[Work, Any, Tensor]:
    """Draws the semantic tokens (T,) of one utterance, a step at a time."""
    t2s = voice.t2s
    limit = token_limit(t2s.config.max_s)
    phones = torch.cat((prompt.phones, text.phones))
    cache = t2s.new_cache(phones.numel() + prompt.tokens.numel(), limit)
    row = PrefillRow(phones, _joined_bert(t2s, prompt, text), prompt.tokens, cache)
    state = SamplerState.from_prompt(prompt.tokens, t2s.config.vocab_size)
    logits = yield DeviceCall(
        "t2s",
        partial(_prefill, t2s),
        row,
        batch_key=("prefill", voice.t2s_key),
        cost=phones.numel() + prompt.tokens.numel(),
    )
    step, key = partial(_step, t2s), ("step", voice.t2s_key)
    while True:
        drawn = draw(logits, state, params.sampling, noise)
        if drawn.stop:
            break
        if len(state.tokens) == limit:
            break
        logits = yield DeviceCall("t2s", step, (drawn.token, cache), batch_key=key)
    return torch.tensor(state.tokens, dtype=torch.long)


def waveform(
    voice: Voice,
    prompt: EncodedPrompt,
    text: EncodedText,
    tokens: Tensor,
    params: SpeechParams,
    noise: NoiseSource,
) -> Generator[Work, Any, int]:
    """Decodes one utterance, emitting pieces as they are ready; returns how many samples they had."""
    pieces = voice.decoder.synthesize(
        tokens,
        text.phones,
        prompt.conditioning,
        noise,
        speed=params.speed,
        steps=params.sample_steps,
        piece_tokens=PIECE_TOKENS,
    )
    samples = 0
    while (piece := (yield DeviceCall("decode", _next_piece, pieces))) is not None:
        samples += piece.size
        if piece.size:  # a step of the work may have made none yet
            yield Emit(piece)
    return samples


def _prefill(t2s: T2S, rows: list[PrefillRow]) -> list[Tensor]:
    return list(t2s.prefill(rows))


def _step(t2s: T2S, rows: list[tuple[int, KVCache]]) -> list[Tensor]:
    tokens = torch.tensor([token for token, _ in rows], dtype=torch.long, device=t2s.device)
    return list(t2s.step(tokens, [cache for _, cache in rows]))


def _next_piece(calls: list[Iterator[Tensor]]) -> list[Any]:
    """Decoding has no batch key, so there is one iterator; None when it is through."""
    piece = next(calls[0], None)
    return [None if piece is None else piece.numpy(force=True)]


def _joined_bert(t2s: T2S, prompt: EncodedPrompt, text: EncodedText) -> Tensor | None:
    """Features of the prompt's phones, then of the utterance's: (bert_dim, P), or None where both are zeros."""
    if prompt.bert is None and text.bert is None:
        return None
    width = t2s.config.bert_dim

    def filled(bert: Tensor | None, phones: Tensor) -> Tensor:
        return torch.zeros(width, phones.numel()) if bert is None else bert

    return torch.cat((filled(prompt.bert, prompt.phones), filled(text.bert, text.phones)), dim=1)
