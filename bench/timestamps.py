"""Timestamps of voices, checked against their own sound.

`python -m bench.timestamps --store DIR [--voice ID]...` speaks sentences and prints one line a gate. What is looked at
is the sound alone (see `bench.marks`), so any voice can be checked, and one whose speech nobody understands is told
apart from one whose marks are wrong: its marks are no better than the same marks elsewhere.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from bench.marks import Numbers, Samples, distances, offsets, onsets, ranks, rotated
from voxswap_server.domain import (
    AudioChunk,
    AudioEncoding,
    AudioFormat,
    CutMethod,
    Language,
    SamplingParams,
    StreamStarted,
    SynthesisRequest,
    Synthesizer,
    TimestampKind,
    Timestamps,
)

_SENTENCES = Path(__file__).with_name("sentences.txt")
_EARLY_S, _LATE_S = 0.045, 0.125
"""A picture that leads its sound by less than the one, or follows it by less than the other, is not noticed (ITU-R
BT.1359)."""
_NEAR = 0.9
"""Share of the ends of silence that must have the beginning of a word at them, and of its beginnings the end of one."""
_RANK = 0.1
"""By so much must phones rank above phones elsewhere, which rank at about 0.5."""
_KINDS = frozenset({TimestampKind.WORD, TimestampKind.PHONE})


@dataclass(frozen=True, slots=True)
class Spoken:
    """One sentence and its marks."""

    samples: Samples
    rate_hz: int
    words_s: Numbers
    """Beginnings, as `phones_s`."""
    phones_s: Numbers
    word_ends_s: Numbers

    @property
    def total_s(self) -> float:
        return len(self.samples) / self.rate_hz


@dataclass(slots=True)
class Found:
    """What the marks of many sentences are worth."""

    late_s: list[float] = field(default_factory=list)
    """From each end of a silence within a sentence to the nearest beginning of a word."""
    chance_s: list[float] = field(default_factory=list)
    """The same, for words in the wrong place."""
    ends_late_s: list[float] = field(default_factory=list)
    """From each beginning of a silence within a sentence to the nearest end of a word."""
    ends_chance_s: list[float] = field(default_factory=list)
    ranks: list[float] = field(default_factory=list)
    """Of the changes of the spectrum at beginnings of phones."""
    chance_ranks: list[float] = field(default_factory=list)

    def add(self, spoken: Spoken) -> None:
        # The first word begins where the recording does, and the last one ends there, whatever the marks are worth.
        begins = onsets(spoken.samples, spoken.rate_hz)[1:]
        ends = offsets(spoken.samples, spoken.rate_hz)[:-1]
        words, word_ends, phones = (
            rotated(marks, spoken.total_s / 2, spoken.total_s)
            for marks in (spoken.words_s, spoken.word_ends_s, spoken.phones_s)
        )
        self.late_s += distances(spoken.words_s, begins).tolist()
        self.chance_s += distances(words, begins).tolist()
        self.ends_late_s += distances(spoken.word_ends_s, ends).tolist()
        self.ends_chance_s += distances(word_ends, ends).tolist()
        self.ranks += ranks(spoken.phones_s, spoken.samples, spoken.rate_hz).tolist()
        self.chance_ranks += ranks(phones, spoken.samples, spoken.rate_hz).tolist()

    def lines(self) -> list[tuple[bool, str]]:
        """One a gate: whether it is passed, and its words."""
        if not self.late_s:
            return [(False, "no silence ends within any sentence: nothing tells what the words are worth")]
        rank, chance_rank = float(np.mean(self.ranks)), float(np.mean(self.chance_ranks))
        return [
            *_placed("words begin where silence ends", self.late_s, self.chance_s),
            *_placed("words end where silence begins", self.ends_late_s, self.ends_chance_s),
            (
                rank >= chance_rank + _RANK,
                f"the spectrum changes where phones begin: rank {rank:.3f}; phones elsewhere {chance_rank:.3f}",
            ),
        ]


def _placed(what: str, late_s: Sequence[float], chance_s: Sequence[float]) -> list[tuple[bool, str]]:
    """Two gates: how many are near, and how near they are beside words in the wrong place."""
    late = np.array(late_s)
    near = float(np.mean((late >= -_EARLY_S) & (late <= _LATE_S)))
    apart_ms, chance_ms = (float(np.median(np.abs(times))) * 1e3 for times in (late, np.array(chance_s)))
    return [
        (near >= _NEAR, f"{what}, -45 to +125 ms: {near:.1%} of {late.size}"),
        (apart_ms < chance_ms / 2, f"{what}: median distance {apart_ms:.0f} ms; words elsewhere {chance_ms:.0f} ms"),
    ]


async def speak(synthesizer: Synthesizer, request: SynthesisRequest) -> Spoken:
    """A request with its marks; its audio is 32-bit floats, whatever it says."""
    asked = replace(request, timestamps=_KINDS, audio=AudioFormat(AudioEncoding.PCM_F32))
    pieces, rate_hz = list[bytes](), 1
    begins, ends = ({kind: list[int]() for kind in _KINDS} for _ in range(2))
    async for event in synthesizer.synthesize(asked):
        match event:
            case StreamStarted():
                rate_hz = event.sample_rate_hz
            case AudioChunk():
                pieces.append(event.data)
            case Timestamps():
                for one in event.timestamps:
                    begins[one.kind].append(one.start_sample)
                    ends[one.kind].append(one.end_sample)
    words, phones = (np.array(begins[kind]) / rate_hz for kind in (TimestampKind.WORD, TimestampKind.PHONE))
    word_ends = np.array(ends[TimestampKind.WORD]) / rate_hz
    return Spoken(np.frombuffer(b"".join(pieces), "<f4"), rate_hz, words, phones, word_ends)


async def check(synthesizer: Synthesizer, voice: str, sentences: Sequence[str], language: str) -> Found:
    """What a voice's marks are worth. Sentences are not cut, so that there are silences within them."""
    found = Found()
    for number, text in enumerate(sentences):
        request = SynthesisRequest(
            f"{voice}-{number}",
            voice,
            text,
            language=Language(language),
            sampling=SamplingParams(seed=number),
            cut_method=CutMethod.NONE,
        )
        found.add(await speak(synthesizer, request))
    return found


async def _main(arguments: argparse.Namespace) -> int:
    from voxswap_server.app import build_engine  # noqa: PLC0415 - brings torch, and the rest is tested without
    from voxswap_server.metrics import Metrics  # noqa: PLC0415 - as above
    from voxswap_server.settings import Settings  # noqa: PLC0415 - as above

    sentences = [line for line in arguments.sentences.read_text(encoding="utf-8").splitlines() if line.strip()]
    failed = 0
    async with build_engine(Settings(store=arguments.store), Metrics(CollectorRegistry())) as engine:
        voices = arguments.voice or [voice.voice_id for voice in await engine.library.list_voices()]
        for voice in voices:
            found = await check(engine.synthesizer, voice, sentences[: arguments.limit], arguments.language)
            for passed, words in found.lines():
                failed += not passed
                print(f"{'ok  ' if passed else 'FAIL'} {voice}: {words}")
    return int(failed > 0)


def main(words: Sequence[str] | None = None) -> int:
    """Whether a gate was not passed."""
    parser = argparse.ArgumentParser(prog="python -m bench.timestamps", description=__doc__)
    parser.add_argument("--store", type=Path, required=True, help="with the voices; built-in ones are brought to it")
    parser.add_argument("--voice", action="append", help="all voices of the store, if there is none")
    parser.add_argument("--language", default="en")
    parser.add_argument("--sentences", type=Path, default=_SENTENCES, help="one a line")
    parser.add_argument("--limit", type=int, default=20, help="sentences a voice")
    return asyncio.run(_main(parser.parse_args(words)))


if __name__ == "__main__":
    sys.exit(main())
