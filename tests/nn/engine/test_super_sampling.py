"""A request at a higher rate: what is told keeps its place, and nothing that befalls the request is lost on the way."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.ap_bwe import made, super_sampler
from tests.fixtures.scripted import Device
from voxswap_server.demo.tiny_ap_bwe import ap_bwe_state
from voxswap_server.domain import Notice
from voxswap_server.engine.job import (
    Begin,
    DeviceCall,
    Emit,
    Routine,
    Span,
    Tell,
    UtteranceAligned,
    UtteranceRetried,
    UtteranceSpoken,
)
from voxswap_server.engine.super_sampling import super_sampled
from voxswap_server.errors import AssetMissing
from voxswap_server.nn.ap_bwe import SuperSampledSignal, SuperSampler


class Shelf:
    """Holds the one network, and counts who has it."""

    def __init__(self, network: SuperSampler | Exception) -> None:
        self._network = network
        self.leases = 0

    @contextmanager
    def lease(self, name: str) -> "Iterator[Future[Any]]":
        assert name == "ap_bwe"
        future: Future[Any] = Future()
        if isinstance(self._network, Exception):
            future.set_exception(self._network)
        else:
            future.set_result(self._network)
        self.leases += 1
        try:
            yield future
        finally:
            self.leases -= 1


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32) * np.float32(0.1)


def utterance(pieces: list[int], pause: int, seed: int = 0) -> Routine:
    """Speaks pieces, tells where its word was, is silent, and tells that it is through."""
    samples = sum(pieces)
    for number, size in enumerate(pieces):
        piece = yield DeviceCall("decode", lambda payloads: payloads, noise(size, seed + number))
        yield Emit(piece)
    word = Span("word", samples // 4, samples // 2)
    yield Tell(UtteranceAligned((word,), (word,), (word,), samples))
    yield Emit(np.zeros(pause, np.float32))
    yield Tell(UtteranceSpoken(5, samples + pause))


def heard(routine: Routine, *, whole: bool, network: SuperSampler | None = None) -> tuple[list[Any], Device]:
    """What came, in order, audio as its number of samples; and the device that ran it."""
    order: list[Any] = []
    device, shelf = Device(), Shelf(network or super_sampler())

    def noted() -> Routine:
        wrapped = super_sampled(routine, shelf, whole=whole)
        answer = None
        while True:
            try:
                work = wrapped.send(answer)
            except StopIteration:
                return
            if isinstance(work, Emit):
                order.append(work.samples.size)
            elif isinstance(work, Tell):
                order.append(work.note)
            answer = yield work

    device.run(noted())
    assert shelf.leases == 0
    return order, device


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 9000), min_size=1, max_size=4), st.sampled_from([0, 1, 700, 7200]), st.booleans())
def test_what_is_told_keeps_its_place_between_the_audio(pieces: list[int], pause: int, whole: bool) -> None:
    samples = sum(pieces)
    order, _ = heard(utterance(pieces, pause), whole=whole)
    aligned = next(place for place, item in enumerate(order) if isinstance(item, UtteranceAligned))
    assert sum(order[:aligned]) == 2 * samples
    assert sum(order[aligned + 1 : -1]) == 2 * pause
    word = Span("word", 2 * (samples // 4), 2 * (samples // 2))
    assert order[aligned] == UtteranceAligned((word,), (word,), (word,), 2 * samples)
    assert order[-1] == UtteranceSpoken(5, 2 * (samples + pause))
    assert max(item for item in order if isinstance(item, int)) <= 48_000


def test_an_utterance_and_its_pause_are_one_signal_and_the_next_is_another() -> None:
    def two() -> Routine:
        yield from utterance([5000, 3000], 700)
        yield from utterance([4000], 0, seed=9)

    _, device = heard(two(), whole=True)
    silence = np.zeros(700, np.float32)
    first = super_sampler().samples(torch.from_numpy(np.concatenate([noise(5000), noise(3000, 1), silence])))
    second = super_sampler().samples(torch.from_numpy(noise(4000, 9)))
    assert device.samples == [*first.tolist(), *second.tolist()]


def test_pieces_are_heard_before_the_utterance_is_through_and_are_those_of_its_signal() -> None:
    order, device = heard(utterance([9600, 14400, 24000], 0), whole=False)
    assert isinstance(order[0], int)
    assert order[0] == 180 * 80
    assert device.calls[:2] == ["decode", "super_sampling"]
    signal = SuperSampledSignal(super_sampler())
    for number, size in enumerate((9600, 14400, 24000)):
        signal.push(torch.from_numpy(noise(size, number)))
    alone = []
    while signal.ready(final=True):
        alone += made(signal.make()).tolist()
    assert device.samples == alone


def test_a_whole_utterance_that_is_too_loud_is_divided_by_its_peak() -> None:
    state = ap_bwe_state(3)
    state["linear_post_mag.bias"] += 3.0
    loud = super_sampler(state)
    _, device = heard(utterance([3000], 100), whole=True, network=loud)
    assert np.abs(device.samples).max() == pytest.approx(1.0, abs=1e-6)
    _, device = heard(utterance([3000], 100), whole=False, network=loud)
    assert np.abs(device.samples).max() > 1


def test_silence_without_an_utterance_is_heard_too() -> None:
    def silent() -> Routine:
        yield Emit(np.zeros(2400, np.float32))

    order, _ = heard(silent(), whole=False)
    assert order == [4800]


def test_other_work_and_other_news_pass_as_they_are() -> None:
    seen = []

    def busy() -> Routine:
        strand = yield Begin(one for one in ())
        seen.append(strand)
        yield Tell(Notice("CODE", "news"))
        yield Tell(UtteranceRetried("loop", "again"))
        yield from utterance([100], 0)

    order, device = heard(busy(), whole=True)
    assert order[:2] == [Notice("CODE", "news"), UtteranceRetried("loop", "again")]
    assert len(device.samples) == 200
    assert seen == [None]


def test_a_failure_is_the_routines_to_handle_and_else_ends_the_request() -> None:
    closed = []

    def brave() -> Routine:
        try:
            yield DeviceCall("decode", list, None)
        except ValueError:
            yield from utterance([100], 0)

    def timid() -> Routine:
        try:
            yield DeviceCall("decode", list, None)
        finally:
            closed.append(True)

    shelf = Shelf(super_sampler())
    for routine in (brave(), timid()):
        wrapped = super_sampled(routine, shelf, whole=True)
        next(wrapped)
        assert isinstance(wrapped.send(super_sampler()), DeviceCall)
        if routine.__name__ == "timid":
            with pytest.raises(ValueError, match="lost"):
                wrapped.throw(ValueError("lost"))
        else:
            assert isinstance(wrapped.throw(ValueError("lost")), DeviceCall)
            wrapped.close()
    assert closed == [True]
    assert shelf.leases == 0


def test_a_request_that_is_dropped_lets_go_of_everything() -> None:
    closed = []

    def endless() -> Routine:
        try:
            while True:
                yield DeviceCall("decode", list, None)
        finally:
            closed.append(True)

    shelf = Shelf(super_sampler())
    wrapped = super_sampled(endless(), shelf, whole=False)
    next(wrapped)
    wrapped.send(super_sampler())
    wrapped.close()
    assert closed == [True]
    assert shelf.leases == 0


def test_what_is_not_installed_is_told() -> None:
    shelf = Shelf(AssetMissing("AP-BWE", "get it"))
    with pytest.raises(AssetMissing, match="get it"):
        Device().run(super_sampled(utterance([100], 0), shelf, whole=True))
    assert shelf.leases == 0
