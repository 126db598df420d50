"""When each word and each phone of an utterance is heard.

The decoder tells which phones each frame is about (its own attention from content to text), and so do some heads of
T2S; the best monotone path through the clearest of them gives every phone its time, and the sound itself tells where
the pauses are. Which heads are clear differs from voice to voice. Runs on the device thread. Knows nothing of sentences
or streams.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxswap_server.audio.loudness import Loudness
from voxswap_server.domain import Timestamp, TimestampKind
from voxswap_server.engine.job import DeviceCall, Span, UtteranceAligned, Work
from voxswap_server.engine.pipeline import whole_row
from voxswap_server.engine.prompts import EncodedPrompt
from voxswap_server.engine.text_encoder import EncodedText
from voxswap_server.engine.voice import Voice
from voxswap_server.nn.alignment import best_path, clearness
from voxswap_server.text.visemes import VISEME_OF
from voxswap_server.text.words import spoken_words

CLEAR = 0.25
"""Clearness from which on the decoder is believed; below it T2S is asked too, which costs a prefill."""
_PAUSE = "sil"
"""The viseme of phones that stand for silence."""


def aligned(
    voice: Voice, prompt: EncodedPrompt, text: EncodedText, tokens: list[int], samples: int, loudness: Loudness
) -> Generator[Work, Any, UtteranceAligned]:
    """Places words and phones in the audio of an utterance.

    Args:
        voice: that spoke it.
        prompt: what it continued.
        text: what was spoken.
        tokens: all of them.
        samples: of its audio, the pause after it not included.
        loudness: of that audio.
    """
    utterance = text.utterance
    if utterance is None or not tokens or not samples:
        return UtteranceAligned((), (), samples)
    names = [phone for run in utterance.runs for phone in run.phones]
    units = [unit for run in utterance.runs for unit in run.units]
    quiet, pauses = loudness.quiet(), np.array([VISEME_OF[name] == _PAUSE for name in names])
    placed = partial(_placed, voice, prompt, text, tokens, quiet, pauses)
    ends: NDArray[np.float64] = yield DeviceCall("align", _run, placed)
    edges = [0, *(min(samples, round(end * loudness.step_samples)) for end in ends[:-1]), samples]
    sounding = _Sounding(quiet, loudness.step_samples)
    return UtteranceAligned(
        words=tuple(
            Span(word.text, *sounding.within(edges[word.start_phone], edges[word.end_phone]))
            for word in spoken_words(utterance.text, units)
        ),
        phones=tuple(Span(name, edges[place], edges[place + 1]) for place, name in enumerate(names)),
        samples=samples,
    )


@dataclass(frozen=True, slots=True)
class _Sounding:
    """Where something is heard."""

    quiet: NDArray[np.bool_]
    """(steps,)"""
    step_samples: int

    def within(self, start: int, end: int) -> tuple[int, int]:
        """A stretch of samples without the quiet at its ends; as it is where all of it is quiet."""
        first, last = start // self.step_samples, -(-end // self.step_samples)
        loud = np.flatnonzero(~self.quiet[first:last])
        if not loud.size:
            return start, end
        begins, ends = (first + int(loud[0])) * self.step_samples, (first + int(loud[-1]) + 1) * self.step_samples
        return max(start, begins), min(end, ends)


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


def _run(calls: list[Callable[[], NDArray[np.float64]]]) -> list[NDArray[np.float64]]:
    return [call() for call in calls]


def _placed(
    voice: Voice,
    prompt: EncodedPrompt,
    text: EncodedText,
    tokens: list[int],
    quiet: NDArray[np.bool_],
    pauses: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """(P,) where each phone ends, in steps of the loudness."""
    return best_path(_clearest(voice, prompt, text, tokens), quiet, pauses)


def _clearest(voice: Voice, prompt: EncodedPrompt, text: EncodedText, tokens: list[int]) -> NDArray[np.float32]:
    """(frames, P): the decoder's attention where it is clear, else the clearest there is."""
    drawn = torch.tensor(tokens)
    attention: NDArray[np.float32] = voice.decoder.attention(drawn, text.phones).float().numpy(force=True)
    (clear,) = clearness(attention[None])
    if clear >= CLEAR:
        return attention
    heads = _heads(voice, prompt, text, drawn)
    others = clearness(heads)
    return heads[others.argmax()] if others.max(initial=0.0) > clear else attention


def _heads(voice: Voice, prompt: EncodedPrompt, text: EncodedText, tokens: Tensor) -> NDArray[np.float32]:
    """How every head of T2S looks at the phones of the text when it draws each token: (heads, T, P)."""
    row = whole_row(voice, prompt, text, tokens)
    voice.t2s.prefill([row])
    # A token is drawn by the look of the one before it; without a prompt, the first is taken to look as the second.
    before = torch.arange(prompt.tokens.numel() - 1, row.prompt.numel() - 1).clamp(min=0)
    looks = [layer[:, before, prompt.phones.numel() :] for layer in row.looks or ()]
    return torch.cat(looks).float().numpy(force=True)
