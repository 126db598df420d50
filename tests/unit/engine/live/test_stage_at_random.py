"""The state machine of a live stream under any list of messages: what holds whatever is said when."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.fake_backstage import Ears, char_of, staged, voice_of
from voxswap_server.domain_live import SwitchPoint, SwitchVoice, UtteranceCancelled, VoiceChanged

MESSAGES = st.one_of(
    st.tuples(st.just("text"), st.sampled_from(["Hello you. ", "One, two", " and three. ", "Stop! Go on, then. "])),
    st.tuples(st.just("flush"), st.none()),
    st.tuples(
        st.just("switch"),
        st.builds(
            SwitchVoice,
            st.sampled_from(["slate", "coral", "onyx"]),
            st.sampled_from(list(SwitchPoint)),
            st.sampled_from([0, 0, 15]),
        ),
    ),
    st.tuples(st.just("load"), st.integers(0, 3)),
    st.tuples(st.just("fail"), st.integers(0, 3)),
    st.tuples(st.just("deliver"), st.tuples(st.integers(0, 3), st.integers(1, 400))),
    st.tuples(st.just("deliver"), st.tuples(st.integers(0, 3), st.integers(1, 400))),
    st.tuples(st.just("pull"), st.integers(1, 30)),
    st.tuples(st.just("pull"), st.integers(1, 30)),
    st.tuples(st.just("wait"), st.floats(0.001, 0.5)),
    st.tuples(st.just("playhead"), st.integers(0, 2000)),
    st.tuples(st.just("cancel"), st.none()),
)


class Play:
    """A stage under a list of messages, and what must hold at the end of each."""

    def __init__(self, *, paced: bool) -> None:
        self.stage, self.backstage = staged(ahead_samples=300, paced=paced, chunk_samples=17)
        self.ears = Ears(self.stage)
        self.now_s = 0.0
        self.given = ""

    def do(self, action: str, argument: Any) -> None:
        getattr(self, f"_{action}")(argument)

    def _text(self, piece: str) -> None:
        self.given += piece
        self.stage.text(piece)

    def _flush(self, _: None) -> None:
        self.stage.flush()

    def _switch(self, asked: SwitchVoice) -> None:
        self.stage.switch(asked)

    def _load(self, index: int) -> None:
        self.backstage.load(index)

    def _fail(self, index: int) -> None:
        self.backstage.fail(index)

    def _deliver(self, which: tuple[int, int]) -> None:
        self.backstage.deliver(*which)

    def _pull(self, limit: int) -> None:
        self.ears.pull(self.now_s, limit)

    def _wait(self, seconds: float) -> None:
        self.now_s += seconds

    def _playhead(self, sample: int) -> None:
        self.stage.playhead(sample, self.now_s)

    def _cancel(self, _: None) -> None:
        self.stage.cancel()
        self.ears.pull(self.now_s, 1)

    def finish(self) -> None:
        """The text ends, all voices load, all takes are made, and the listener hears all."""
        self.stage.end()
        for _ in range(400):
            while self.backstage.loading:
                self.backstage.load()
            self.ears.pull(self.now_s)
            self.backstage.deliver_all()
            self.stage.playhead(self.stage.listener.sent_samples, self.now_s)
            self.now_s += 0.01
            if self.stage.finished:
                return
        pytest.fail("the stream never ends")


@settings(max_examples=300)
@given(st.lists(MESSAGES, max_size=40), st.booleans())
def test_no_voice_is_heard_where_it_was_not_announced(messages: list[tuple[str, Any]], paced: bool) -> None:
    play = Play(paced=paced)
    for message in messages:
        play.do(*message)
    play.finish()
    fades = [argument.crossfade_ms for action, argument in messages if action == "switch"]
    changes = [(0, 1)] + [
        (changed.start_sample, play.backstage.voices[changed.voice_id]) for changed in play.ears.of(VoiceChanged)
    ]
    assert [start for start, _ in changes] == sorted(start for start, _ in changes)
    samples = play.ears.samples
    for (start, voice), (end, _) in pairwise([*changes, (samples.size, 0)]):
        faded = start + max(fades, default=0)
        assert {voice_of(sample) for sample in samples[faded:end]} <= {voice}


@settings(max_examples=300)
@given(st.lists(MESSAGES, max_size=40), st.booleans())
def test_no_text_is_lost_and_everything_is_given_back(messages: list[tuple[str, Any]], paced: bool) -> None:
    play = Play(paced=paced)
    for action, argument in messages:
        if action == "switch":  # without a fade: faded characters cannot be told from the audio
            play.do(action, SwitchVoice(argument.voice_id, argument.at))
        elif action != "cancel":
            play.do(action, argument)
    play.finish()
    heard = {char_of(sample) for sample in play.ears.samples}
    letters = {index for index, char in enumerate(play.given) if char.isalnum()}
    assert letters <= heard
    steps = [after - before for before, after in pairwise(play.ears.chars)]
    assert all(step == 1 or step < 0 or step <= 3 for step in steps)  # only blanks and marks are ever skipped
    backstage = play.backstage
    assert not backstage.works
    assert len(backstage.released) == len({id(cast) for cast in backstage.released})
    assert len(backstage.leased) + 1 - len(backstage.released) == 1  # the voice that spoke last


@settings(max_examples=300)
@given(st.lists(MESSAGES, max_size=40), st.booleans())
def test_each_barge_in_accounts_for_the_text_before_it(messages: list[tuple[str, Any]], paced: bool) -> None:
    play = Play(paced=paced)
    for action, argument in messages:
        before = len(play.ears.of(UtteranceCancelled))
        sent = play.stage.listener.sent_samples
        play.do(action, argument)
        if action == "cancel":
            play.ears.pull(play.now_s, 50)
            cancelled = play.ears.of(UtteranceCancelled)[-1]
            assert len(play.ears.of(UtteranceCancelled)) == before + 1
            assert play.given.endswith(cancelled.heard_text + cancelled.unheard_text)
            assert cancelled.heard_sample <= cancelled.next_sample == sent
            play.given = ""
    play.finish()
