"""A request as a routine, on a voice whose tokens are written down: what is decoded when, in which order, and retries."""

from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.scripted import (
    DELAY_TOKENS,
    PER_TOKEN,
    RATE_HZ,
    Device,
    ScriptedDecoder,
    line,
    no_prompt,
    params,
    scripted_voice,
    speech,
    taking_turns,
)
from voxswap_server.engine.faults import COLLAPSE_TOKENS
from voxswap_server.engine.feed import TokenFeed
from voxswap_server.engine.job import DeviceCall, UtteranceRetried, UtteranceSpoken
from voxswap_server.engine.pipeline import CHUNK_TOKENS, PIECE_TOKENS, Chunks
from voxswap_server.engine.speaking import LookAhead, SpeechLine, speak
from voxswap_server.errors import DegenerateAudio


def first_end(lead: int) -> int:
    """Tokens after which the first chunk is decoded; two of any kind say nothing yet."""
    return max(DELAY_TOKENS + CHUNK_TOKENS[0], 2 * min(max(lead, 2), 25) + 8)


ENDS = [first_end(0) + end - CHUNK_TOKENS[0] for end in accumulate(CHUNK_TOKENS)]


def said(device: Device) -> list[int]:
    """The tokens that were heard."""
    return [int(value) for value in device.samples[::PER_TOKEN]]


USUAL = LookAhead()


def spoken(scripts, decoder, names, choose=taking_turns, ahead=USUAL, checked=True, **changes) -> Device:
    voice = scripted_voice(scripts, decoder, checked=checked)
    return Device(choose()).run(speak(voice, params(**changes), no_prompt(), (line(name) for name in names), ahead))


@pytest.mark.parametrize("count", [11, ENDS[0] - 1, ENDS[0], ENDS[0] + 1, ENDS[1], 90, 150])
def test_chunks_are_decoded_after_fixed_numbers_of_tokens(count: int) -> None:
    tokens, decoder = speech(count), ScriptedDecoder()
    device = spoken({1: [tokens]}, decoder, [1])
    assert said(device) == tokens
    whole = [(end, False) for end in ENDS if end <= count]
    assert decoder.pushes == [*whole, (count, True)]
    assert device.notes == [UtteranceSpoken(count, count * PER_TOKEN)]


def test_a_chunk_of_a_long_utterance_is_a_quarter_of_what_there_is() -> None:
    decoder = ScriptedDecoder()
    spoken({1: [speech(1100)]}, decoder, [1], checked=False)
    ends = [count for count, final in decoder.pushes if not final]
    grown = [after - before for before, after in pairwise(ends[len(CHUNK_TOKENS) - 1 :])]
    assert len(grown) > 5
    assert grown == [max(50, before // 4) for before in ends[len(CHUNK_TOKENS) - 1 : -1]]


@pytest.mark.parametrize("lead", [1, 6, 12, 20, 25, 40])
def test_nothing_is_decoded_before_more_was_said_than_was_silent_before_it(lead: int) -> None:
    tokens, decoder = [7, *[9] * (lead - 1), *speech(120)], ScriptedDecoder()
    device = spoken({1: [tokens]}, decoder, [1])
    assert said(device) == tokens
    later = [first_end(lead) + end - ENDS[0] for end in ENDS]
    assert decoder.pushes == [*((end, False) for end in later if end <= len(tokens)), (len(tokens), True)]
    assert device.notes == [UtteranceSpoken(len(tokens), len(tokens) * PER_TOKEN)]


@pytest.mark.parametrize(("gathers", "whole"), [(True, False), (True, True), (False, False)])
def test_chunks_that_came_meanwhile_are_spoken_at_once_if_they_are_gathered(*, gathers: bool, whole: bool) -> None:
    class Wary(Device):
        """Decodes only what it must, and keeps how much was pushed before each decoding call ended."""

        def _step(self, strand, waits) -> None:
            before, work = len(self.calls), waits[strand]
            if gathers and isinstance(work, DeviceCall) and work.growth:
                work.growth.gather(whole=whole)
            super()._step(strand, waits)
            if self.calls[before:] == ["decode"]:
                pushed.add(len(decoder.pushes))

    tokens, decoder, pushed = speech(ENDS[4] + 3), ScriptedDecoder(), set()
    voice = scripted_voice({1: [tokens]}, decoder)
    device = Wary(lambda ready: ready - 1)  # the strand of tokens, as long as there is one
    device.run(speak(voice, params(), no_prompt(), iter([line(1)]), LookAhead()))
    assert said(device) == tokens
    assert decoder.pushes == [*((end, False) for end in ENDS[:5]), (len(tokens), True)]
    assert pushed == ({6} if gathers else {1, 2, 3, 4, 5, 6})
    if gathers:
        assert decoder.sizes == [PIECE_TOKENS[-1:] if whole else (CHUNK_TOKENS[0], PIECE_TOKENS[-1])]


@pytest.mark.parametrize(
    ("heard", "known", "ended", "grows"),
    [(0, 30, False, True), (0, 63, False, True), (0, 64, False, False), (0, 30, True, False), (20, 70, False, True)],
)
def test_a_stream_grows_until_it_fills_a_piece_or_ends(heard: int, known: int, ended: bool, grows: bool) -> None:
    feed = TokenFeed()
    for token in range(known):
        feed.put(token)
    feed.heard = heard
    if ended:
        feed.end()
    stream = ScriptedDecoder().stream(None, None, None)
    assert stream is not None
    later_s = Chunks(stream, feed).later_s()
    assert later_s == pytest.approx((known - heard + 1) / 25 if grows else 0.0), "just behind the tokens"


@settings(max_examples=20)
@given(st.lists(st.integers(0, 5), min_size=1), st.integers(1, 3), st.booleans())
def test_however_strands_interleave_the_audio_is_the_same(turns: list[int], utterances: int, exact: bool) -> None:
    scripts = {name: [speech(20 + 17 * name, name)] for name in (1, 2, 3)}
    decoder, serial = ScriptedDecoder(), ScriptedDecoder()

    def choose():
        order = iter(turns * 2000)
        return lambda _ready: next(order)

    device = spoken(scripts, decoder, [1, 2, 3], choose, LookAhead(utterances), exact=exact)
    reference = spoken(scripts, serial, [1, 2, 3], ahead=LookAhead(1), exact=exact)
    assert device.samples == reference.samples
    assert (decoder.pushes, decoder.wholes) == (serial.pushes, serial.wholes)
    assert said(device) == [token for name in (1, 2, 3) for token in scripts[name][0]]


def test_exact_speech_decodes_nothing_before_the_last_token() -> None:
    decoder = ScriptedDecoder()
    device = spoken({1: [speech(60)]}, decoder, [1], exact=True)
    assert (decoder.pushes, decoder.wholes) == ([], [60])
    assert device.calls.index("decode") == device.calls.count("t2s")


def test_a_decoder_that_cannot_stream_gets_all_tokens_at_once() -> None:
    decoder = ScriptedDecoder(streams=False)
    assert said(spoken({1: [speech(60)]}, decoder, [1])) == speech(60)
    assert decoder.wholes == [60]


def test_tokens_are_drawn_while_earlier_ones_are_decoded() -> None:
    calls = spoken({1: [speech(60)]}, ScriptedDecoder(), [1]).calls
    assert "t2s" in calls[calls.index("decode") :]


def test_the_first_chunk_of_a_stream_has_the_device_for_itself() -> None:
    scripts = {name: [speech(60, name)] for name in (1, 2, 3, 4, 5)}
    live = spoken(scripts, ScriptedDecoder(), [1, 2, 3, 4, 5], lambda: lambda _ready: 0)
    first = live.calls.index("decode")
    assert live.calls[:first] == ["t2s"] * ENDS[0]
    batch = spoken(scripts, ScriptedDecoder(), [1, 2, 3, 4, 5], exact=True, live=False)
    assert batch.calls.index("decode") > 2 * 60
    assert live.most_strands == batch.most_strands == 1 + USUAL.utterances


@pytest.mark.parametrize(
    ("ahead", "most"), [(LookAhead(1), 1), (LookAhead(2), 2), (LookAhead(9, 1e9), 5), (LookAhead(9, 0.0), 1)]
)
def test_utterances_run_ahead_within_their_budget(ahead: LookAhead, most: int) -> None:
    scripts = {name: [speech(60, name)] for name in range(5)}
    device = spoken(scripts, ScriptedDecoder(), range(5), ahead=ahead, exact=True, live=False)
    assert device.most_strands - 1 <= most
    assert device.most_strands - 1 == most or ahead.audio_s < 1e9


def test_lines_are_taken_as_they_are_needed_and_silences_keep_their_place() -> None:
    taken: list[int] = []

    def lines():
        for name in range(20):
            taken.append(name)
            yield line(name % 2, pause_ms=100) if name != 1 else SpeechLine(None, 200)

    voice = scripted_voice({0: [speech(12)], 1: [speech(14, 1)]}, ScriptedDecoder())
    routine = speak(voice, params(), no_prompt(), lines(), LookAhead(2))
    device, most = Device(taking_turns()), 0

    class Told(list):
        def append(self, note) -> None:
            nonlocal most
            super().append(note)
            most = max(most, len(taken) - len(self))

    device.notes = Told()
    device.run(routine)
    assert most <= 4
    assert taken == list(range(20))
    pause, silence = RATE_HZ // 10, RATE_HZ // 5
    heard = [int(value) for value in device.samples]
    begin = 12 * PER_TOKEN
    assert heard[begin : begin + pause + silence] == [0] * (pause + silence)
    assert len(device.notes) == 19


def test_a_loop_before_the_first_audio_is_spoken_again_with_another_seed() -> None:
    good, bad = speech(40), [5] * COLLAPSE_TOKENS
    decoder = ScriptedDecoder()
    device = spoken({1: [bad, good], 2: [speech(30, 2)]}, decoder, [1, 2], exact=True)
    assert said(device) == [*good, *speech(30, 2)]
    retried, *whole = device.notes
    assert isinstance(retried, UtteranceRetried)
    assert retried.fault == "collapse"
    assert whole == [UtteranceSpoken(40, 40 * PER_TOKEN), UtteranceSpoken(30, 30 * PER_TOKEN)]


def test_a_second_failure_is_told() -> None:
    with pytest.raises(DegenerateAudio) as caught:
        spoken({1: [[5] * 100]}, ScriptedDecoder(), [1], exact=True)
    assert caught.value.fault == "collapse"


@settings(max_examples=20)
@given(st.lists(st.integers(0, 3), min_size=1))
def test_what_was_heard_is_not_said_again(turns: list[int]) -> None:
    """The chunks before the fault are heard whatever the order in which the device works; then it fails."""
    tokens = [*speech(ENDS[0]), *[5] * 200]
    order = iter(turns * 2000)
    voice = scripted_voice({1: [tokens, speech(40)]}, ScriptedDecoder())
    device = Device(lambda _ready: next(order))
    with pytest.raises(DegenerateAudio):
        device.run(speak(voice, params(), no_prompt(), [line(1)]))
    sure = max(end for end in ENDS if end < ENDS[0] + COLLAPSE_TOKENS) - DELAY_TOKENS
    assert said(device) == tokens[:sure]
    assert device.notes == []


def test_nan_in_the_first_piece_is_spoken_again_and_later_is_told() -> None:
    good = [token for token in speech(80) if token != 62]
    device = spoken({1: [[62, *good], good]}, ScriptedDecoder(frozenset({62})), [1])
    assert said(device) == good
    assert [note.fault for note in device.notes if isinstance(note, UtteranceRetried)] == ["not_finite"]
    with pytest.raises(DegenerateAudio) as caught:
        spoken({1: [[*good, 62], good]}, ScriptedDecoder(frozenset({62})), [1])
    assert caught.value.fault == "not_finite"


def test_an_unchecked_voice_says_whatever_comes() -> None:
    device = spoken({1: [[62] * 90]}, ScriptedDecoder(frozenset({62})), [1], checked=False)
    assert len(device.samples) == 90 * PER_TOKEN
    assert np.isnan(device.samples).all()
