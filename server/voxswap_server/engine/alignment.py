"""When each word and each phone of an utterance is heard.

The decoder tells which phones each frame is about (its own attention from content to text); the best monotone path
through that gives every phone its time. Runs on the device thread. Knows nothing of sentences or streams.
"""

from collections.abc import Collection, Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch

from voxswap_server.domain import Timestamp, TimestampKind
from voxswap_server.engine.job import DeviceCall, Span, UtteranceAligned, Work
from voxswap_server.engine.text_encoder import EncodedText
from voxswap_server.engine.voice import Voice
from voxswap_server.nn.alignment import phone_ends
from voxswap_server.text.visemes import VISEME_OF
from voxswap_server.text.words import spoken_words


def aligned(voice: Voice, text: EncodedText, tokens: list[int], samples: int) -> Generator[Work, Any, UtteranceAligned]:
    """Places words and phones in the audio of an utterance.

    Args:
        voice: that spoke it.
        text: what was spoken.
        tokens: all of them.
        samples: of its audio, the pause after it not included.
    """
    utterance = text.utterance
    if utterance is None or not tokens or not samples:
        return UtteranceAligned((), (), samples)
    ends: Sequence[float] = yield DeviceCall("align", _run, (voice, text, tokens))
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


def _run(calls: list[tuple[Voice, EncodedText, list[int]]]) -> list[list[float]]:
    return [
        phone_ends(voice.decoder.attention(torch.tensor(tokens), text.phones).numpy(force=True)).tolist()
        for voice, text, tokens in calls
    ]
