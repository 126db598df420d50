"""The feed between the strand that draws tokens and the one that speaks them."""

from collections.abc import Generator
from typing import Any

import pytest

from voxswap_server.engine.feed import TokenFeed
from voxswap_server.engine.job import Await


def waiting(reading: Generator[Any, Any, bool]) -> Await:
    work = next(reading)
    assert isinstance(work, Await)
    assert not work.future.done()
    return work


def answered(reading: Generator[Any, Any, bool]) -> bool:
    with pytest.raises(StopIteration) as end:
        next(reading)
    return bool(end.value.value)


def filled(count: int, before: tuple[TokenFeed, ...] = ()) -> TokenFeed:
    feed = TokenFeed(before)
    for token in range(count):
        feed.put(token)
    return feed


def test_a_reader_is_woken_by_the_token_it_waits_for_and_by_no_earlier_one() -> None:
    feed = filled(1)
    reading = feed.until(3)
    work = waiting(reading)
    feed.put(1)
    assert not work.future.done()
    feed.put(2)
    assert work.future.done()
    assert answered(reading)


def test_what_is_there_already_is_not_waited_for() -> None:
    assert answered(filled(5).until(4))
    feed = filled(5)
    feed.end()
    assert answered(feed.until(5))
    assert not answered(feed.until(6))


def test_the_end_wakes_a_reader_who_wants_more_than_there_will_be() -> None:
    feed = filled(2)
    reading = feed.until(10)
    work = waiting(reading)
    feed.end()
    assert work.future.done()
    assert not answered(reading)


def test_tokens_before_a_failure_can_still_be_read() -> None:
    feed = filled(4)
    feed.fail(ValueError("lost"))
    assert answered(feed.until(4))
    with pytest.raises(ValueError, match="lost"):
        next(feed.until(5))


def test_the_next_token_is_wanted_at_once_while_the_reader_waits_for_it() -> None:
    feed = filled(10)
    assert answered(feed.until(10))
    assert feed.later_s == pytest.approx(0.4)
    feed.heard = 8
    assert feed.later_s == pytest.approx(0.08)
    waiting(feed.until(20))
    assert feed.later_s == 0.0


def test_tokens_of_a_later_utterance_are_wanted_after_the_audio_before_it() -> None:
    first = filled(50)
    second = filled(25, before=(first,))
    waiting(second.until(100))
    assert second.later_s == pytest.approx(2.0)
    first.heard = 40
    assert second.later_s == pytest.approx(0.4)
    first.close()
    assert first.closed
    assert first.unheard_s == second.later_s == 0.0


def test_a_closed_feed_lets_go_of_those_before_it() -> None:
    first = filled(1)
    second = filled(1, before=(first,))
    second.close()
    assert second._before == ()
