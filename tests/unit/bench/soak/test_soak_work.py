"""The two soaks over a subject that counts what it is asked: when samples are taken, and when it is enough."""

from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from bench.soak.work import Bounds, Meter, sentence, swaps, text

VOICES = ("amber", "slate", "birch")


class Counting:
    """Loads every voice that is not the last one, and speaks six seconds for each sentence."""

    def __init__(self, *, holds_all=False, sentences=10**6):
        self.loaded: list[str] = []
        self.said: list[str] = []
        self.closed = 0
        self._holds_all = holds_all
        self._sentences = sentences

    async def load(self, voice_id):
        if not (self._holds_all and voice_id in self.loaded):
            self.loaded.append(voice_id)

    async def loads(self):
        return len(self.loaded)

    async def talk(self, voice_id, sentences: AsyncIterator[str]) -> AsyncGenerator[float, None]:
        try:
            async for words in sentences:
                self.said.append(words)
                if len(self.said) > self._sentences:
                    return
                yield 2.0
                yield 4.0
        finally:
            self.closed += 1

    def rss_bytes(self):
        return 1000 + len(self.loaded) + len(self.said)


class Clock:
    def __init__(self, step_s=0.0):
        self.now_s, self._step_s = 0.0, step_s

    def __call__(self):
        self.now_s += self._step_s
        return self.now_s


def meter(subject, samples, *, minutes=1e9, count=1e9, every=1.0, clock=None):
    return Meter(subject, Bounds(minutes, count, every), samples.append, clock or Clock())


async def test_voices_take_turns_until_the_count_is_full():
    subject, samples = Counting(), []
    await swaps(subject, VOICES, meter(subject, samples, count=12, every=6), speak_every=5)
    assert subject.loaded == [*VOICES] * 4
    assert subject.said == [sentence(5), sentence(10)]
    assert [sample.count for sample in samples] == [6, 12]
    assert samples[-1].rss_bytes == 1000 + 12 + 2


async def test_swaps_that_are_none_are_told():
    subject = Counting(holds_all=True)
    with pytest.raises(ValueError, match="9 voices were asked for and only 3 were loaded"):
        await swaps(subject, VOICES, meter(subject, []), speak_every=100)


async def test_the_clock_ends_a_run_and_its_last_sample_is_kept():
    subject, samples = Counting(), []
    await swaps(subject, VOICES, meter(subject, samples, minutes=1, every=1000, clock=Clock(11)), speak_every=100)
    assert [sample.count for sample in samples] == [len(subject.loaded)]
    assert samples[0].wall_s >= 60


async def test_text_is_counted_in_minutes_of_audio_and_the_stream_is_closed():
    subject, samples = Counting(), []
    await text(subject, "amber", meter(subject, samples, count=1.0, every=0.3))
    assert [round(sample.count, 2) for sample in samples] == [0.3, 0.6, 0.9, 1.0]
    assert subject.closed == 1
    assert len(set(subject.said)) == len(subject.said) == 10


async def test_a_stream_that_ends_by_itself_is_a_failure():
    subject = Counting(sentences=3)
    with pytest.raises(ValueError, match="ended by itself"):
        await text(subject, "amber", meter(subject, []))


def test_every_sentence_is_another():
    assert len({sentence(number) for number in range(5000)}) == 5000
