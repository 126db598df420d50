"""Live streams under pressure: more text than may wait, a reader that stalls, voices of other rates, words heard."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.engines import asking, engine_over, hear
from tests.fixtures.live import LiveEars, hear_live, live_config
from voxswap_server.audio.resample import StreamResampler
from voxswap_server.demo.tiny import build_tiny_store
from voxswap_server.domain import AudioFormat, Notice, TimestampKind, Timestamps
from voxswap_server.domain_live import (
    CancelUtterance,
    LiveMessage,
    LiveText,
    Playhead,
    SwitchVoice,
    UtteranceCancelled,
    VoiceChanged,
)

ONE = "Good morning to all of you. "


async def test_a_client_that_writes_too_much_is_not_read(tiny_store: Path) -> None:
    async with engine_over(tiny_store, live={"max_waiting_characters": 100}) as (engine, _):
        ears, taken = LiveEars(), 0

        async def counted() -> AsyncIterator[LiveMessage]:
            nonlocal taken
            for _ in range(12):
                taken += 1
                yield LiveText(ONE)

        listening = asyncio.create_task(ears.listen(engine.live, live_config("amber", max_ahead_s=0.2), counted()))
        await ears.heard(lambda ears: ears.samples >= 6400)  # at once, without a playhead
        assert 4 <= taken < 12
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening
        assert all(resident.leases == 0 for resident in engine.residency.residents())


async def test_playheads_that_wait_behind_text_do_not_stop_the_stream(tiny_store: Path) -> None:
    async with engine_over(tiny_store, live={"max_waiting_characters": 30}) as (engine, _):
        more = LiveText("Bye now. So long to all of you, my dear friends. Farewell.")
        config = live_config("amber", max_ahead_s=0.1, speaking_rate=4.0)
        heard = await hear_live(engine.live, config, LiveText(ONE + "Yes. "), more, Playhead(10**9))
    assert heard.done.utterances >= 4


async def test_a_text_of_marks_alone_is_told_of_and_does_not_stop_the_stream(tiny_store: Path) -> None:
    async with engine_over(tiny_store, live={"max_waiting_characters": 500}) as (engine, _):
        heard = await hear_live(engine.live, live_config("amber"), LiveText("🙂" * 3000), LiveText("... " + ONE))
    assert "INVALID_REQUEST" in {notice.code for notice in heard.of(Notice)}
    assert heard.done.utterances == 1


async def test_a_reader_that_stalls_holds_up_nobody_else(tiny_store: Path) -> None:
    async with engine_over(tiny_store, live={"max_made_s": 0.5}, worker={"max_ahead_s": 0.5}) as (engine, _):
        stalled = LiveEars()
        stalled.say(LiveText(ONE * 5))
        stalled.end()
        stalled.hearing.clear()
        listening = asyncio.create_task(stalled.listen(engine.live, live_config("amber")))
        await stalled.heard(lambda ears: bool(ears.events))
        other = await hear_live(engine.live, live_config("slate"), LiveText(ONE))
        assert other.samples > 0
        stalled.hearing.set()
        await listening
        assert stalled.done.utterances == 5


async def test_a_barge_in_is_exact_to_the_word(tiny_store: Path) -> None:
    async with engine_over(tiny_store) as (engine, _):
        words = frozenset({TimestampKind.WORD})
        (told,) = (await hear_live(engine.live, live_config("amber", timestamps=words), LiveText(ONE))).of(Timestamps)
        morning = told.timestamps[1]
        for playhead, heard in ((morning.end_sample, "Good morning"), (morning.end_sample - 1, "Good")):
            ears = LiveEars()
            ears.say(LiveText(ONE + "Bye"))
            listening = asyncio.create_task(ears.listen(engine.live, live_config("amber", timestamps=words)))
            await ears.heard(lambda ears: bool(ears.of(Timestamps)) and ears.samples >= morning.end_sample)
            ears.say(Playhead(playhead), CancelUtterance())
            ears.end()
            await listening
            (cancelled,) = ears.of(UtteranceCancelled)
            assert (cancelled.heard_text, cancelled.heard_sample) == (heard, playhead)
            assert cancelled.heard_text + cancelled.unheard_text == ONE + "Bye"


async def test_a_voice_of_another_rate_speaks_at_the_rate_of_the_stream(tmp_path: Path) -> None:
    build_tiny_store(tmp_path, {"amber": ("v2", 1), "jade": ("v3", 5)})
    async with engine_over(tmp_path) as (engine, _):
        config = live_config("amber", sample_steps=2)
        heard = await hear_live(engine.live, config, SwitchVoice("jade"), LiveText(ONE))
        alone = await hear(
            engine.synthesizer, asking("jade", ONE, sample_steps=2, audio=AudioFormat(sample_rate_hz=24000))
        )
    (changed,) = heard.of(VoiceChanged)
    assert (heard.started.sample_rate_hz, changed.voice_id, changed.start_sample) == (32000, "jade", 0)
    resampler = StreamResampler(24000, 32000)
    expected = np.concatenate([resampler.push(alone.pcm.astype(np.float32)), resampler.finish()])
    assert heard.samples == expected.size
    assert abs(heard.pcm - expected).max() <= 4  # rounded to 16 bits before the resampler, not behind it
