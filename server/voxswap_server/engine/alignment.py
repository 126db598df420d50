"""When each word, each phone and each shape of the mouth of an utterance is heard.

The decoder tells which phones each frame is about (its own attention from content to text), and so do some heads of
T2S; the best monotone path through the clearest of them gives every phone its time. The sound itself tells where the
pauses are: nothing is told to be spoken, and no mouth to be open, where nothing is heard. Which heads are clear differs
from voice to voice. Runs on the device thread. Knows nothing of sentences or streams.
"""

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
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
_GLIMPSE_STEPS = 4
"""A mark that is heard for less than this is no pause: the mouth does not shut for it."""


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
        return UtteranceAligned((), (), (), samples)
    names = [phone for run in utterance.runs for phone in run.phones]
    units = [unit for run in utterance.runs for unit in run.units]
    quiet, pauses = loudness.quiet(), np.array([VISEME_OF[name] == _PAUSE for name in names])
    placed = partial(_placed, voice, prompt, text, tokens, quiet, pauses, _begins(units, pauses))
    spans: NDArray[np.float64] = yield DeviceCall("align", _run, placed)
    step = loudness.step_samples
    edges = [(min(samples, round(start * step)), min(samples, round(end * step))) for start, end in spans]
    sounding = _Sounding(quiet, step)
    return UtteranceAligned(
        words=tuple(
            Span(word.text, *sounding.within(edges[word.start_phone][0], edges[word.end_phone - 1][1]))
            for word in spoken_words(utterance.text, units)
        ),
        phones=tuple(Span(name, *edge) for name, edge in zip(names, edges, strict=True)),
        visemes=tuple(
            Span(shape, start * step, min(samples, end * step)) for shape, start, end in _shapes(names, spans, quiet)
        ),
        samples=samples,
    )


def _begins(units: Sequence[tuple[str, int]], pauses: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(P,) at which phones a word begins: a unit of what is spoken, other than a mark."""
    counts = np.array([count for _, count in units if count])
    begins = np.zeros(pauses.size, bool)
    begins[np.cumsum(counts) - counts] = True
    return begins & ~pauses


def _shapes(
    names: Sequence[str], spans: NDArray[np.float64], quiet: NDArray[np.bool_]
) -> Iterator[tuple[str, int, int]]:
    """The mouth from the first step to the last: visemes, each with the steps at which it begins and ends.

    It is shut where nothing is heard and where no phone is; the same ones that follow each other are one.
    """
    shapes = [_PAUSE] * quiet.size
    for name, (start, end) in zip(names, spans, strict=True):
        first, last, shape = int(start), -int(-end // 1), VISEME_OF[name]
        if shape == _PAUSE and first and last - first < _GLIMPSE_STEPS:
            shape = shapes[first - 1]
        shapes[first:last] = [shape] * (last - first)
    begin = 0
    for shape, group in groupby(_PAUSE if is_quiet else shape for shape, is_quiet in zip(shapes, quiet, strict=True)):
        end = begin + len(list(group))
        yield shape, begin, end
        begin = end


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
    """Of the utterance, at the rate of the voice; negative where its beginning was left out."""
    voice_hz: int
    out_hz: int

    def __call__(self, sample: int) -> int:
        return max(0, self.start_sample + sample) * self.out_hz // self.voice_hz


def timestamps(told: UtteranceAligned, kinds: Collection[TimestampKind], scale: Scale) -> tuple[Timestamp, ...]:
    """The kinds that are asked for."""
    spans = {
        TimestampKind.WORD: told.words,
        TimestampKind.PHONE: told.phones,
        TimestampKind.VISEME: told.visemes,
    }
    return tuple(
        Timestamp(kind, span.label, scale(span.start_sample), scale(span.end_sample))
        for kind, named in spans.items()
        if kind in kinds
        for span in named
        if scale(span.end_sample) > scale(span.start_sample)
    )


def _run(calls: list[Callable[[], NDArray[np.float64]]]) -> list[NDArray[np.float64]]:
    return [call() for call in calls]


def _placed(
    voice: Voice,
    prompt: EncodedPrompt,
    text: EncodedText,
    tokens: list[int],
    quiet: NDArray[np.bool_],
    pauses: NDArray[np.bool_],
    begins: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """(P, 2) where each phone begins and ends, in steps of the loudness."""
    return best_path(_clearest(voice, prompt, text, tokens), quiet, pauses, begins)


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
