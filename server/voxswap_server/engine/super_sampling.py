"""A request at a higher rate and with a wider band: what its routine says goes through the super-sampler.

An utterance and its pause are one signal, as upstream's fragments are. Knows nothing of what is spoken or how: it wraps
any routine, takes its audio, and keeps what it tells in its place between the pieces of audio.
"""

from collections import deque
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from voxswap_server.audio.pcm import limit_peak
from voxswap_server.engine.job import (
    Await,
    DeviceCall,
    Emit,
    Routine,
    Samples,
    Span,
    Tell,
    UtteranceAligned,
    UtteranceSpoken,
    Work,
)
from voxswap_server.engine.networks import Networks
from voxswap_server.engine.stored_networks import SUPER_SAMPLER
from voxswap_server.nn.ap_bwe import SEGMENT_FRAMES, WHOLE, SuperSampledSignal, SuperSampler

STAGE = "super_sampling"


def super_sampled(routine: Routine, networks: Networks, *, whole: bool) -> Routine:
    """The same request at the rate of the super-sampler.

    Args:
        routine: of the request, at the rate that the super-sampler takes.
        networks: has the super-sampler.
        whole: each utterance in one pass and divided by its peak where that is above 1, bit for bit what upstream does
            to it; else piece by piece as it comes.

    Raises:
        AssetMissing: the super-sampler is not installed.
    """
    with networks.lease(SUPER_SAMPLER) as pending:
        network: SuperSampler = yield Await(pending)
        yield from _SuperSampled(network, whole=whole).run(routine)


class _SuperSampled:
    """The state of one `super_sampled`."""

    def __init__(self, network: SuperSampler, *, whole: bool) -> None:
        self._network = network
        self._whole = whole
        self._ratio = network.config.ratio
        self._begin()

    def _begin(self) -> None:
        self._signal = SuperSampledSignal(self._network, WHOLE if self._whole else SEGMENT_FRAMES)
        self._told: deque[tuple[int, UtteranceAligned]] = deque()
        """What is to be told, and before which output sample of the signal."""
        self._taken = self._sent = 0
        """Output samples that the signal has come to, and those that were sent."""

    def run(self, routine: Routine) -> Routine:
        resume = partial(next, routine)
        try:
            while True:
                try:
                    work = resume()
                except StopIteration:
                    break
                answer: Any = None
                if isinstance(work, Emit):
                    yield from self._take(work.samples)
                elif isinstance(work, Tell):
                    yield from self._tell(work)
                else:
                    try:
                        answer = yield work
                    except Exception as error:
                        resume = partial(routine.throw, error)
                        continue
                resume = partial(routine.send, answer)
            yield from self._make(final=True)  # silence after the last utterance
        finally:
            routine.close()

    def _take(self, samples: Samples) -> Generator[Work, Any, None]:
        self._signal.push(torch.from_numpy(samples))
        self._taken += samples.size * self._ratio
        yield from self._make(final=False)

    def _tell(self, told: Tell) -> Generator[Work, Any, None]:
        note, ratio = told.note, self._ratio
        if isinstance(note, UtteranceAligned):
            words, phones, visemes = (
                tuple(_scaled(span, ratio) for span in spans) for spans in (note.words, note.phones, note.visemes)
            )
            self._told.append((self._taken, UtteranceAligned(words, phones, visemes, note.samples * ratio)))
        elif isinstance(note, UtteranceSpoken):
            yield from self._make(final=True)
            yield Tell(replace(note, samples=note.samples * ratio))
            self._begin()
        else:
            yield told

    def _make(self, *, final: bool) -> Generator[Work, Any, None]:
        while self._signal.ready(final=final):
            steps, made = self._signal.make(), None
            while made is None:
                made = yield DeviceCall(STAGE, _step, steps)
            yield from self._send(limit_peak(made) if self._whole else made)
        if final:
            yield from self._send(np.zeros(0, np.float32))  # what is told at the very end

    def _send(self, samples: Samples) -> Generator[Work, Any, None]:
        """Sends samples in pieces of at most a second, and tells what comes between them."""
        while self._told and self._told[0][0] <= self._sent + samples.size:
            place, note = self._told.popleft()
            before, samples = np.split(samples, [place - self._sent])
            yield from self._emit(before)
            yield Tell(note)
        yield from self._emit(samples)

    def _emit(self, samples: Samples) -> Generator[Work, Any, None]:
        most = self._network.config.out_hz
        for start in range(0, samples.size, most):
            yield Emit(samples[start : start + most])
        self._sent += samples.size


def _scaled(span: Span, ratio: int) -> Span:
    return Span(span.label, span.start_sample * ratio, span.end_sample * ratio)


def _step(calls: list[Generator[None, None, Tensor]]) -> list[Samples | None]:
    """A pass gives way to others between its layers: None while it is not through. Without a batch key, it is one."""
    try:
        next(calls[0])
    except StopIteration as end:
        made: Tensor = end.value
        return [made.float().numpy(force=True)]
    return [None]
