"""Live streams through the real engine on tiny voices."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from tests.fixtures.engines import asking, engine_over, hear
from tests.fixtures.live import LiveEars, hear_live, live_config
from voxswap_server.app import Engine
from voxswap_server.domain import (
    AudioChunk,
    AudioFormat,
    Language,
    Notice,
    Prompt,
    StreamStarted,
    SynthesisDone,
    TimestampKind,
    Timestamps,
)
from voxswap_server.domain_live import (
    CancelUtterance,
    Flush,
    LiveText,
    Playhead,
    SetSpeakingRate,
    SwitchPoint,
    SwitchVoice,
    UtteranceCancelled,
    VoiceChanged,
)
from voxswap_server.engine.job import Emit, Routine
from voxswap_server.engine.live import performer
from voxswap_server.engine.speaking import speak
from voxswap_server.errors import DeadlineExceeded, EngineError, Overloaded, RequestError, TextTooLong, VoiceNotFound

pytestmark = pytest.mark.asyncio(loop_scope="module")
ONE, TWO = "Good morning to all of you. ", "How are you today?"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(tiny_store: Path) -> AsyncIterator[Engine]:
    async with engine_over(tiny_store) as (engine, _):
        yield engine


def nothing_is_leased(engine: Engine) -> bool:
    return all(resident.leases == 0 for resident in engine.residency.residents())


async def alone(engine: Engine, voice_id: str, text: str, *, seed: int, **changes: object) -> np.ndarray:
    """A sentence as a request of its own."""
    return (await hear(engine.synthesizer, asking(voice_id, text, seed=seed, **changes))).pcm


async def test_each_sentence_sounds_as_a_request_with_its_own_seed(engine: Engine) -> None:
    pieces = [LiveText(piece) for piece in ("Good mor", "ning to all", " of you. Ho", "w are you today?")]
    heard = await hear_live(engine.live, live_config("amber"), *pieces)
    first, second = [await alone(engine, "amber", text, seed=seed) for text, seed in ((ONE, 7), (TWO, 8))]
    assert (heard.pcm == np.concatenate([first, second])).all()
    assert [type(event) for event in heard.events if not isinstance(event, AudioChunk)] == [
        StreamStarted,
        SynthesisDone,
    ]
    assert (heard.started.voice_id, heard.started.seed, heard.started.request_id) == ("amber", 7, "live")
    assert heard.done.samples == heard.samples == heard.pcm.size
    assert heard.done.utterances == 2
    chunks = heard.of(AudioChunk)
    assert [chunk.sequence for chunk in chunks] == list(range(len(chunks)))
    assert [chunk.start_sample for chunk in chunks] == [0, *np.cumsum([chunk.samples for chunk in chunks])[:-1]]
    assert nothing_is_leased(engine)


async def test_the_largest_seeds_are_those_of_requests_too(engine: Engine) -> None:
    heard = await hear_live(engine.live, live_config("amber", seed=2**64 - 1), LiveText(ONE))
    assert heard.started.seed == 2**64 - 1
    assert (heard.pcm == await alone(engine, "amber", ONE, seed=2**64 - 1)).all()


async def test_a_switch_at_the_next_sentence_is_exact_to_the_sample(engine: Engine) -> None:
    ears = LiveEars()
    config = live_config("amber", max_ahead_s=0.5, timestamps=frozenset({TimestampKind.WORD}))
    listening = asyncio.create_task(ears.listen(engine.live, config))
    ears.say(LiveText(ONE))
    ears.say(Flush())
    await ears.heard(lambda ears: ears.samples > 0)
    ears.follow()
    said = await ears.switched(SwitchVoice("slate"), ONE, 1)
    ears.end()
    await listening
    (changed,) = ears.of(VoiceChanged)
    at = ears.events.index(changed)
    assert sum(event.samples for event in ears.events[:at] if isinstance(event, AudioChunk)) == changed.start_sample
    old, new = [
        [await alone(engine, voice, ONE, seed=7 + number) for number in range(said)] for voice in ("amber", "slate")
    ]
    ends = [0, *np.cumsum([sentence.size for sentence in old])]
    assert changed.start_sample in ends[1:]
    spoken = ends.index(changed.start_sample)
    assert (ears.pcm == np.concatenate([*old[:spoken], *new[spoken:]])).all()
    assert nothing_is_leased(engine)


async def test_a_voice_that_takes_its_time_comes_in_with_its_first_sound(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*arguments: Any) -> Routine:
        yield Emit(np.zeros(12_800, np.float32))
        yield from speak(*arguments)

    monkeypatch.setattr(performer, "speak", slowly)
    words = frozenset({TimestampKind.WORD})
    ears = LiveEars()
    listening = asyncio.create_task(ears.listen(engine.live, live_config("amber", max_ahead_s=0.5, timestamps=words)))
    ears.say(LiveText(ONE))
    ears.say(Flush())
    await ears.heard(lambda ears: ears.samples > 0)
    ears.say(SwitchVoice("slate", SwitchPoint.NOW))
    await ears.heard(lambda ears: bool(ears.of(VoiceChanged)))  # the listener is not ahead, so it is in mid-sentence
    ears.follow()
    ears.end()
    await listening
    (changed,) = ears.of(VoiceChanged)
    old, new = [await alone(engine, voice, ONE, seed=7) for voice in ("amber", "slate")]
    begun = np.concatenate([np.zeros(12_800, np.int16), old])[: changed.start_sample]
    assert (ears.pcm == np.concatenate([begun, np.zeros(320, np.int16), new])).all()
    plain = asking("slate", ONE, seed=7, timestamps=words)
    (told,) = [event async for event in engine.synthesizer.synthesize(plain) if isinstance(event, Timestamps)]
    assert [word.start_sample for word in ears.of(Timestamps)[-1].timestamps] == [
        changed.start_sample + 320 + word.start_sample for word in told.timestamps
    ]


async def test_a_switch_to_a_voice_that_is_not_there_is_a_warning(engine: Engine) -> None:
    heard = await hear_live(engine.live, live_config("amber"), SwitchVoice("ambre"), LiveText(ONE))
    (notice,) = heard.of(Notice)
    assert notice.code == "VOICE_NOT_FOUND"
    assert "did you mean amber" in notice.message
    assert (heard.pcm == await alone(engine, "amber", ONE, seed=7)).all()


async def test_text_after_a_switch_in_silence_is_spoken_by_the_new_voice(engine: Engine) -> None:
    heard = await hear_live(engine.live, live_config("amber"), SwitchVoice("coral"), LiveText(ONE))
    (changed,) = heard.of(VoiceChanged)
    assert (changed.voice_id, changed.start_sample) == ("coral", 0)
    assert (heard.pcm == await alone(engine, "coral", ONE, seed=7)).all()


async def test_a_barge_in_frees_the_slot_and_the_stream_lives_on(engine: Engine) -> None:
    ears = LiveEars()
    listening = asyncio.create_task(ears.listen(engine.live, live_config("amber", max_ahead_s=0.2)))
    ears.say(LiveText(ONE * 20))
    await ears.heard(lambda ears: ears.samples >= 3000)
    ears.say(Playhead(3000), CancelUtterance())
    await ears.heard(lambda ears: bool(ears.of(UtteranceCancelled)))
    (cancelled,) = ears.of(UtteranceCancelled)
    assert cancelled.heard_sample == 3000
    assert cancelled.next_sample == ears.samples
    assert cancelled.heard_text + cancelled.unheard_text == ONE * 20
    ears.say(LiveText(TWO), Flush())
    ears.follow()
    ears.end()
    await listening
    again = await alone(engine, "amber", TWO, seed=7 + 19)  # 19 sentences were whole before it
    assert (ears.pcm[cancelled.next_sample :] == again).all()
    assert nothing_is_leased(engine)


async def test_the_next_sentence_is_faster_at_the_same_pitch(engine: Engine) -> None:
    heard = await hear_live(engine.live, live_config("amber", pause_s=0.0), SetSpeakingRate(2.0), LiveText(ONE))
    fast = await alone(engine, "amber", ONE, seed=7, pause_s=0.0, speaking_rate=2.0)
    assert (heard.pcm == fast).all()


async def test_a_voice_of_another_rate_is_resampled_to_the_streams(engine: Engine) -> None:
    heard = await hear_live(engine.live, live_config("amber", audio=AudioFormat(sample_rate_hz=24000)), LiveText(ONE))
    plain = await alone(engine, "amber", ONE, seed=7, audio=AudioFormat(sample_rate_hz=24000))
    assert heard.started.sample_rate_hz == 24000
    assert (heard.pcm == plain).all()


async def test_what_cannot_be_read_is_passed_over_with_a_notice(engine: Engine) -> None:
    heard = await hear_live(engine.live, live_config("amber"), LiveText("____. " + ONE))
    assert [notice.code for notice in heard.of(Notice)] == ["INVALID_REQUEST"]
    assert heard.pcm.size > 0


async def test_a_transcript_that_cannot_be_read_is_an_error_and_not_silence(engine: Engine) -> None:
    prompt = Prompt(b"", "word " * 200, Language("en"))
    with pytest.raises(TextTooLong) as refusal:
        await hear_live(engine.live, live_config("amber", prompt=prompt), LiveText(ONE))
    assert refusal.value.field == "prompt.transcript"
    assert nothing_is_leased(engine)


async def test_refusals(engine: Engine) -> None:
    with pytest.raises(VoiceNotFound, match="'nobody'"):
        await hear_live(engine.live, live_config("nobody"), LiveText(ONE))
    with pytest.raises(DeadlineExceeded):
        await hear_live(engine.live, live_config("amber", deadline_s=0.0), LiveText(ONE))
    ears = LiveEars()
    ears.say(LiveText(ONE), RequestError("a message is wrong", field="text"))  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="a message is wrong"):
        await ears.listen(engine.live, live_config("amber"))
    assert nothing_is_leased(engine)


async def test_a_bug_is_our_error_and_tells_no_secret(engine: Engine) -> None:
    ears = LiveEars()
    ears.say(LiveText(ONE), ValueError("a secret"))  # type: ignore[arg-type]
    with capture_logs() as lines, pytest.raises(EngineError) as caught:
        await ears.listen(engine.live, live_config("amber"))
    assert "secret" not in str(caught.value)
    assert "live" in caught.value.message  # the request's id
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["live stream failed"]
    assert nothing_is_leased(engine)


async def test_a_deadline_ends_a_stream_that_only_waits(engine: Engine) -> None:
    ears = LiveEars()
    with pytest.raises(DeadlineExceeded, match="of the stream"):
        await ears.listen(engine.live, live_config("amber", deadline_s=time.monotonic() + 0.3))
    assert len(ears.of(StreamStarted)) <= 1
    assert nothing_is_leased(engine)


async def test_a_client_that_goes_away_leaves_nothing_behind(engine: Engine) -> None:
    ears = LiveEars()
    ears.say(LiveText(ONE * 20), SwitchVoice("slate", SwitchPoint.NOW, 50))
    listening = asyncio.create_task(ears.listen(engine.live, live_config("amber", max_ahead_s=0.2)))
    await ears.heard(lambda ears: ears.samples > 0)
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    assert nothing_is_leased(engine)


async def test_there_are_only_so_many_streams(tiny_store: Path) -> None:
    async with engine_over(tiny_store, live={"max_streams": 1}) as (engine, registry):
        ears = LiveEars()
        listening = asyncio.create_task(ears.listen(engine.live, live_config("amber")))
        await ears.heard(lambda ears: bool(ears.events))
        assert registry.get_sample_value("voxswap_live_streams_running") == 1
        with pytest.raises(Overloaded):
            await hear_live(engine.live, live_config("amber"), LiveText(ONE))
        ears.say(SwitchVoice("nobody"))
        await ears.heard(lambda ears: bool(ears.of(Notice)))
        assert registry.get_sample_value("voxswap_notices_total", {"code": "VOICE_NOT_FOUND"}) == 1
        ears.end()
        await listening
        assert registry.get_sample_value("voxswap_live_streams_running") == 0
