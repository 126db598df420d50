"""The state machine of a live stream: moment by moment, on a clock that the test holds."""

import numpy as np
import pytest

from tests.fixtures.fake_backstage import (
    CHAR_SAMPLES,
    PAUSE_SAMPLES,
    Ears,
    FakeBackstage,
    char_of,
    play_out,
    staged,
    voice_of,
)
from voxswap_server.domain import Notice
from voxswap_server.domain_live import SwitchPoint, SwitchVoice, UtteranceCancelled, VoiceChanged
from voxswap_server.engine.live.stage import Stage
from voxswap_server.errors import EngineError, RequestError

TEXT = "One two, three four. Five six, seven."
FIRST = len("One two, three four. ")


def test_sentences_are_spoken_in_order_and_whole() -> None:
    stage, backstage = staged()
    ears = Ears(stage)
    for piece in (TEXT[:5], TEXT[5:25], TEXT[25:]):
        stage.text(piece)
    stage.end()
    ears.pull()
    play_out(backstage, ears)
    assert ears.chars == list(range(len(TEXT)))
    assert ears.samples.size == len(TEXT) * CHAR_SAMPLES + 2 * PAUSE_SAMPLES
    assert stage.finished


def test_an_unfinished_sentence_waits_for_its_flush() -> None:
    stage, backstage = staged()
    ears = Ears(stage)
    stage.text("One two")
    ears.pull()
    assert not backstage.works
    stage.flush()
    ears.pull()
    assert [work.take.text for work in backstage.works] == ["One two"]


def speaking(at: SwitchPoint, *, crossfade_ms: int = 0, sent_chars: int = 3) -> tuple[Stage, FakeBackstage, Ears]:
    """The first sentence is made, and sent up to a character; the switch is asked for, its voice still loads."""
    stage, backstage = staged(chunk_samples=10)
    ears = Ears(stage)
    stage.text(TEXT)
    stage.flush()
    stage.next_output(0.0)
    backstage.deliver_all()
    ears.pull(limit=sent_chars)
    stage.switch(SwitchVoice("slate", at, crossfade_ms))
    return stage, backstage, ears


@pytest.mark.parametrize(
    ("at", "start_char", "start_sample"),
    [
        (SwitchPoint.NOW, 0, 40),
        (SwitchPoint.NEXT_PHRASE, 9, 80),  # between the end of "two" and the beginning of "three"
        (SwitchPoint.NEXT_SENTENCE, FIRST, FIRST * CHAR_SAMPLES + PAUSE_SAMPLES),
    ],
)
def test_a_switch_comes_where_it_was_asked_for(at: SwitchPoint, start_char: int, start_sample: int) -> None:
    stage, backstage, ears = speaking(at)
    backstage.load()
    ears.pull(limit=1)  # another chunk of the old voice goes out, and the new one is asked to speak
    play_out(backstage, ears)
    (changed,) = ears.of(VoiceChanged)
    assert (changed.voice_id, changed.start_sample) == ("slate", start_sample)
    assert [voice_of(sample) for sample in ears.samples[start_sample - 1 : start_sample + 1]] == [1, 2]
    assert ears.chars[-1] == len(TEXT) - 1
    assert char_of(ears.samples[start_sample]) == start_char
    assert stage.switches == 1
    first = next(take for take in backstage.begun if take.cast.voice_id == "slate")
    assert first.cued == (at is not SwitchPoint.NEXT_SENTENCE)  # amid a sentence it comes in with its first sound
    assert [cast.voice_id for cast in backstage.released] == ["amber"]


def test_a_crossfade_mixes_both_voices_and_ends_where_it_should() -> None:
    _stage, backstage, ears = speaking(SwitchPoint.NEXT_PHRASE, crossfade_ms=30)
    backstage.load()
    ears.pull(limit=1)
    play_out(backstage, ears)
    (changed,) = ears.of(VoiceChanged)
    begin, end = changed.start_sample, changed.start_sample + 30
    assert [voice_of(sample) for sample in ears.samples[:begin]] == [1] * begin
    assert {voice_of(sample) for sample in ears.samples[end:]} == {2}
    old, new = 10_000 + 9, 20_000 + 10  # the characters before and after the boundary
    first = ears.samples[begin]
    angle = 0.5 / 30 * np.pi / 2
    assert first == pytest.approx(old * np.cos(angle) + new * np.sin(angle), rel=1e-3)


def test_at_the_end_of_a_sentence_the_old_voice_fades_out_of_its_pause() -> None:
    _stage, backstage, ears = speaking(SwitchPoint.NEXT_SENTENCE, crossfade_ms=15)
    backstage.load()
    ears.pull(limit=1)
    play_out(backstage, ears)
    (changed,) = ears.of(VoiceChanged)
    assert changed.start_sample == FIRST * CHAR_SAMPLES + PAUSE_SAMPLES - 15


def test_while_the_new_voice_loads_the_old_one_goes_on() -> None:
    stage, backstage, ears = speaking(SwitchPoint.NOW)
    ears.pull()
    backstage.deliver_all()
    ears.pull()
    assert set(ears.voices) == {1}
    assert ears.chars == list(range(len(TEXT)))
    backstage.load()
    ears.pull()
    (changed,) = ears.of(VoiceChanged)
    assert changed.start_sample == ears.samples.size
    stage.text("More. ")
    stage.end()
    ears.pull()
    backstage.deliver_all()
    ears.pull()
    assert ears.voices == [1, 2]
    assert stage.finished


def test_what_is_said_after_a_switch_in_silence_waits_for_the_new_voice() -> None:
    stage, backstage = staged()
    ears = Ears(stage)
    stage.switch(SwitchVoice("slate"))
    stage.text(TEXT)
    stage.end()
    ears.pull()
    assert not backstage.works
    backstage.load()
    ears.pull()
    play_out(backstage, ears)
    assert set(ears.voices) == {2}
    assert [changed.start_sample for changed in ears.of(VoiceChanged)] == [0]


def test_what_is_said_after_a_switch_in_silence_is_said_by_the_old_voice_if_the_new_one_fails() -> None:
    stage, backstage = staged()
    ears = Ears(stage)
    stage.switch(SwitchVoice("slate"))
    stage.text(TEXT)
    stage.end()
    ears.pull()
    backstage.fail()
    ears.pull()
    play_out(backstage, ears)
    assert set(ears.voices) == {1}
    assert stage.finished


def test_a_voice_that_cannot_load_leaves_the_old_one_speaking() -> None:
    stage, backstage, ears = speaking(SwitchPoint.NOW)
    stage.end()
    backstage.fail()
    ears.pull()
    play_out(backstage, ears)
    (notice,) = ears.of(Notice)
    assert notice.code == "VOICE_UNUSABLE"
    assert "'amber' goes on" in notice.message
    assert not ears.of(VoiceChanged)
    assert set(ears.voices) == {1}
    assert [cast.voice_id for cast in backstage.released] == ["slate"]
    assert stage.finished


def test_a_new_voice_that_loads_but_cannot_speak_is_not_switched_to() -> None:
    stage, backstage, ears = speaking(SwitchPoint.NEXT_SENTENCE)
    backstage.load()
    ears.pull(limit=1)
    stage.take_failed(backstage.works[-1].take, EngineError("broken"))
    ears.pull()
    play_out(backstage, ears)
    assert [notice.code for notice in ears.of(Notice)] == ["INTERNAL"]
    assert set(ears.voices) == {1}
    assert ears.chars == list(range(len(TEXT)))


def test_a_later_switch_replaces_one_that_waits() -> None:
    stage, backstage, ears = speaking(SwitchPoint.NEXT_SENTENCE)
    stage.switch(SwitchVoice("coral", SwitchPoint.NEXT_SENTENCE))
    assert [cast.voice_id for cast in backstage.released] == ["slate"]
    backstage.load()
    ears.pull()
    play_out(backstage, ears)
    assert [notice.code for notice in ears.of(Notice)] == ["SWITCH_REPLACED"]
    assert [changed.voice_id for changed in ears.of(VoiceChanged)] == ["coral"]


def test_a_listener_who_runs_dry_is_not_kept_waiting_for_the_new_voice() -> None:
    stage, backstage, ears = speaking(SwitchPoint.NEXT_PHRASE)
    backstage.load()
    ears.pull(limit=10)  # the boundary is reached
    assert ears.samples.size == 80
    ears.pull(now_s=0.01)
    assert ears.samples.size == 80
    assert stage.wake_s == pytest.approx(0.03)  # 80 ms were sent, less the margin
    ears.pull(now_s=0.04)
    assert set(ears.voices) == {1}
    assert ears.samples.size > 80
    play_out(backstage, ears, now_s=1.0)
    (changed,) = ears.of(VoiceChanged)
    assert char_of(ears.samples[changed.start_sample]) == FIRST
    assert ears.chars == list(range(len(TEXT)))


def test_now_begins_anew_when_the_next_phrase_comes_first() -> None:
    _stage, backstage, ears = speaking(SwitchPoint.NOW)
    backstage.load()
    ears.pull(limit=10)
    assert ears.samples.size == 80
    assert [work.take.start_char for work in backstage.works if work.take.cast.voice_id == "slate"] == [9]
    play_out(backstage, ears)
    (changed,) = ears.of(VoiceChanged)
    assert changed.start_sample == 80
    assert ears.chars == list(range(8)) + list(range(9, len(TEXT)))  # half of the blank between them is cut


def test_what_cannot_be_read_is_left_out_with_a_notice() -> None:
    stage, backstage, _ = speaking(SwitchPoint.NOW)
    stage, backstage = staged()
    ears = Ears(stage)
    stage.text(TEXT)
    stage.end()
    ears.pull()
    stage.take_failed(backstage.works[0].take, RequestError("nothing to speak", field="text"))
    backstage.works.clear()
    ears.pull()
    play_out(backstage, ears)
    assert [notice.message for notice in ears.of(Notice)] == ["nothing to speak"]
    assert ears.chars == list(range(FIRST, len(TEXT)))
    assert stage.finished


def test_a_failure_of_the_present_voice_ends_the_stream() -> None:
    stage, backstage = staged()
    stage.text(TEXT)
    assert stage.next_output(0.0) is None
    stage.take_failed(backstage.works[0].take, EngineError("broken"))
    with pytest.raises(EngineError, match="broken"):
        stage.next_output(0.0)


@pytest.mark.parametrize(("playhead", "heard"), [(0, ""), (30, "One"), (69, "One"), (70, "One two"), (90, "One two")])
def test_a_barge_in_tells_what_was_heard(playhead: int, heard: str) -> None:
    stage, backstage = staged(chunk_samples=10)
    ears = Ears(stage)
    stage.text(TEXT + " And")
    ears.pull()
    backstage.deliver_all()
    ears.pull(limit=12)
    stage.playhead(playhead, 0.0)
    stage.cancel()
    ears.pull()
    (cancelled,) = ears.of(UtteranceCancelled)
    assert cancelled == UtteranceCancelled(heard, (TEXT + " And")[len(heard) :], playhead, 120)
    assert not backstage.works
    stage.text("Again. ")
    stage.end()
    ears.pull()
    backstage.deliver_all()
    ears.pull()
    assert ears.samples.size == 120 + len("Again. ") * CHAR_SAMPLES + PAUSE_SAMPLES
    assert stage.finished


@pytest.mark.parametrize(("playhead", "heard"), [(0, ""), (200, ""), (300, "One"), (600, "One two")])
def test_before_the_words_are_placed_what_was_heard_is_estimated(playhead: int, heard: str) -> None:
    stage, backstage = staged(chunk_samples=10)
    ears = Ears(stage)
    stage.text(TEXT)
    ears.pull()
    stage.audio(backstage.works[0].take, np.zeros(1000, np.float32))
    ears.pull()
    stage.playhead(playhead, 0.0)
    stage.cancel()
    ears.pull()
    (cancelled,) = ears.of(UtteranceCancelled)
    assert (cancelled.heard_text, cancelled.unheard_text) == (heard, TEXT[len(heard) :])


def test_a_listener_who_never_tells_heard_all_that_was_sent() -> None:
    stage, backstage = staged()
    ears = Ears(stage)
    stage.text(TEXT)
    ears.pull()
    backstage.deliver_all()
    ears.pull()
    stage.cancel()
    ears.pull()
    (cancelled,) = ears.of(UtteranceCancelled)
    assert (cancelled.heard_text, cancelled.unheard_text) == ("", TEXT[FIRST:])  # the first sentence is long past


def test_audio_keeps_to_the_pace_of_the_listener() -> None:
    stage, backstage = staged(ahead_samples=100, paced=True)
    ears = Ears(stage)
    stage.text(TEXT)
    ears.pull()
    backstage.deliver_all()
    ears.pull()
    assert ears.samples.size == 100
    stage.playhead(60, 0.0)
    ears.pull()
    assert ears.samples.size == 160


def test_a_pace_does_not_wait_for_playheads_that_nobody_reads() -> None:
    stage, backstage = staged(ahead_samples=100, paced=True)
    ears = Ears(stage)
    stage.text(TEXT)
    ears.pull()
    backstage.deliver_all()
    ears.pull()
    assert (ears.samples.size, stage.wake_s) == (100, None)
    stage.deaf = True
    ears.pull(now_s=0.04)
    assert (ears.samples.size, stage.wake_s) == (100, pytest.approx(0.05))  # 60 samples are left to play
    ears.pull(now_s=0.05)
    assert (ears.samples.size, stage.wake_s) == (150, pytest.approx(0.1))
    stage.deaf = False
    ears.pull(now_s=9.0)
    assert (ears.samples.size, stage.wake_s) == (150, None)


def test_a_new_speaking_rate_holds_from_the_next_sentence_that_begins() -> None:
    stage, backstage = staged()
    ears = Ears(stage)
    stage.text(TEXT)
    ears.pull()
    stage.set_speaking_rate(2.0)
    rates = [backstage.works[0].take.speaking_rate]
    backstage.deliver_all()
    stage.flush()
    ears.pull()
    rates.append(backstage.works[0].take.speaking_rate)
    assert rates == [1.0, 2.0]
