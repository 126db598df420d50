"""Whole requests through the engine: how soon the first audio, how fast the rest, and what company costs.

Knows nothing of gRPC: the transport is not in these numbers.
"""

import asyncio
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from voxswap_server.bench.engines import Driven, engine_over
from voxswap_server.bench.options import Options
from voxswap_server.bench.report import Reference, Row
from voxswap_server.bench.timing import Series, interleaved
from voxswap_server.bench.voices import IDS, Workbench
from voxswap_server.domain import (
    AudioChunk,
    Language,
    SamplingParams,
    StreamStarted,
    SynthesisDone,
    SynthesisRequest,
)

TITLE: Final = "Whole requests"
TEXT: Final = "The kettle is on, and the first guests are at the gate."
QUICK_TEXT: Final = "The kettle is on."
_TOGETHER: Final = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request came to."""

    ttfa_ms: float
    rtf: float
    audio_s: float
    underrun_ms: float


class Requests:
    """Sends requests to an engine; the methods return audio seconds a second, unless they say otherwise."""

    def __init__(self, on: Driven, text: str) -> None:
        self._on = on
        self._text = text
        self.alone: dict[bool, list[Answer]] = {False: [], True: []}
        """Answers of `single`; by whether they were exact."""
        self.cpu_s: dict[str, list[float]] = {}
        """Seconds that all processors spent on a second of audio, in every round; by the name of what was asked."""

    def single(self, *, exact: bool) -> float:
        """One request by itself; its answer is kept in `alone`."""
        begin = time.perf_counter()
        answer = self._on.run(self._answer(IDS[0], 0, exact=exact))
        self.alone[exact].append(answer)
        return answer.audio_s / (time.perf_counter() - begin)

    def one_by_one(self, voices: Sequence[str], name: str = "") -> float:
        """Each begins when the one before it is done."""
        return self._rate(self._sequence(voices), name)

    def together(self, voices: Sequence[str], name: str = "") -> float:
        """All begin at once."""
        return self._rate(self._crowd(voices), name)

    def _rate(self, work: Coroutine[Any, Any, list[Answer]], name: str) -> float:
        begin_s, cpu_s = time.perf_counter(), time.process_time()
        audio_s = sum(answer.audio_s for answer in self._on.run(work))
        if name:
            self.cpu_s.setdefault(name, []).append((time.process_time() - cpu_s) / audio_s)
        return audio_s / (time.perf_counter() - begin_s)

    async def _sequence(self, voices: Sequence[str]) -> list[Answer]:
        return [await self._answer(voice, number) for number, voice in enumerate(voices)]

    async def _crowd(self, voices: Sequence[str]) -> list[Answer]:
        return await asyncio.gather(*(self._answer(voice, number) for number, voice in enumerate(voices)))

    async def _answer(self, voice: str, number: int, *, exact: bool = False) -> Answer:
        """The seed follows from the number, so that both ways of asking ask for the same."""
        sampling = SamplingParams(top_k=5, seed=number)
        request = SynthesisRequest(f"bench-{number}", voice, self._text, Language("en"), sampling=sampling, exact=exact)
        rate_hz, received_bytes = 0, 0
        async for event in self._on.engine.synthesizer.synthesize(request):
            match event:
                case StreamStarted():
                    rate_hz = event.sample_rate_hz
                case AudioChunk():
                    received_bytes += len(event.data)
                case SynthesisDone():
                    if received_bytes != 2 * event.samples:
                        raise ValueError(f"{event.samples} samples were promised, {received_bytes} bytes came")
                    return Answer(event.ttfa_ms, event.rtf, event.samples / rate_hz, event.underrun_ms)
                case _:
                    continue
        raise ValueError("the stream ended without saying so")


def measure(options: Options, bench: Workbench) -> Iterator[Row]:
    """One sentence; voices in memory."""
    with engine_over(bench.store(len(IDS)), options.threads) as on:
        requests = Requests(on, QUICK_TEXT if options.quick else TEXT)
        requests.one_by_one(IDS)  # loads the voices and encodes their prompts
        one_voice = [IDS[0]] * _TOGETHER
        work = {
            "single": lambda: requests.single(exact=False),
            "exact": lambda: requests.single(exact=True),
            "one by one": lambda: requests.one_by_one(one_voice, "one by one"),
            "together": lambda: requests.together(one_voice, "together"),
            "voices one by one": lambda: requests.one_by_one(IDS, "voices one by one"),
            "voices together": lambda: requests.together(IDS, "voices together"),
        }
        found = interleaved(work, options.rounds, warm_up=False)
    heard, joint = requests.alone[False], requests.alone[True]
    first, later = (
        found[name].instead(one.ttfa_ms for one in answers) for name, answers in (("single", heard), ("exact", joint))
    )
    whole = Reference("exact, all tokens first", later)
    yield Row("requests", "alone: time to first audio", "ms", first, reference=whole)
    yield Row("requests", "alone: real-time factor", "RTF", Series(tuple(one.rtf for one in heard)))
    yield Row(
        "requests", "alone: the listener waits in mid-stream", "ms", Series(tuple(one.underrun_ms for one in heard))
    )
    unit = "audio s/s"
    yield Row("requests", "alone", unit, found["single"], "higher", Reference("exact", found["exact"]))
    for name, prefix in (
        (f"{_TOGETHER} of one voice at once", ""),
        (f"{len(IDS)} of as many voices at once", "voices "),
    ):
        reference = Reference("one after another", found[f"{prefix}one by one"])
        yield Row("requests", name, unit, found[f"{prefix}together"], "higher", reference)
        ways = ("together", "one by one")
        spent = {way: found[prefix + way].instead(requests.cpu_s[prefix + way]) for way in ways}
        whole = Reference("one after another", spent["one by one"])
        yield Row("requests", f"{name}, all processors", "CPU s/audio s", spent["together"], reference=whole)
