"""What the replays of all decoders share: utterances, recorded noise, comparison by name and number, the samples.

Knows nothing of any decoder.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from voxswap_server.audio.pcm import limit_peak, to_int16
from voxswap_server.parity.cases import Case, T2SCall
from voxswap_server.parity.compare import Row, Stage, failed, int16_samples
from voxswap_server.parity.replay_t2s import segment_of

PAUSE_RATE_HZ = 32_000
"""Upstream counts its pauses at this rate whatever the rate of the voice is."""

HIDDEN: Mapping[str, str] = {
    "encp_encoder_ssl": "content_encoder",
    "encp_encoder_text": "phone_encoder",
    "encp_mrte": "mrte",
    "encp_encoder2": "joint_encoder",
}
"""Stored stage to the part of the prior whose output it is."""

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Item:
    """One utterance of a decode."""

    segment: int
    tokens: tuple[int, ...]
    phones: tuple[int, ...]


def items_of(case: Case, call: T2SCall) -> list[Item]:
    """Utterances of one call of the token generator, in its order."""
    segments = [segment_of(case, phones) for phones in call.all_phones]
    return [
        Item(segment, tokens, case.record.text_segments[segment].phones)
        for segment, tokens in zip(segments, call.tokens, strict=True)
    ]


class Stages:
    """One collector for each stage, in order of appearance."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._stages: dict[str, Stage] = {}

    def compare(self, name: str, index: int, ours: Tensor) -> None:
        """Compares with `name_index`, where that is stored."""
        stored = f"{name}_{index}"
        if self._case.has(stored):
            stage = self._stages.setdefault(name, Stage(self._case.name, name))
            stage.tensors(ours, self._case.array(stored), stored)

    def rows(self) -> list[Row]:
        return [stage.row() for stage in self._stages.values()]


Heard = tuple[tuple[Any, ...], Tensor]
"""Arguments of one call of a part, and its answer."""


@contextmanager
def listening(parts: Mapping[str, nn.Module]) -> Iterator[dict[str, list[Heard]]]:
    """Collects, by stage, the calls of these parts in their order, while it lasts."""
    heard: dict[str, list[Heard]] = {name: [] for name in parts}
    with ExitStack() as stack:
        for name, part in parts.items():
            keep = heard[name].append
            handle = part.register_forward_hook(lambda _module, inputs, output, keep=keep: keep((inputs, output)))
            stack.callback(handle.remove)
        yield heard


def noises(case: Case) -> Iterator[Tensor]:
    """Noise of each decode, checked against its sha256."""
    random = np.random.RandomState(case.record.noise.seed)
    for shape, sha256 in zip(case.record.noise.shapes, case.record.noise.sha256, strict=True):
        zero = case.record.noise.mode == "zero"
        noise = np.zeros(shape, np.float32) if zero else random.standard_normal(shape).astype(np.float32)
        if hashlib.sha256(noise.tobytes()).hexdigest() != sha256:
            raise ValueError(f"{case.name}: the noise of this machine is not the golden's")
        yield torch.from_numpy(noise)


def samples_row(case: Case, pieces: Mapping[int, Sequence[Samples]]) -> Row:
    """The row "int16": pieces of each segment, in order of the text, each followed by its pause."""
    pause = np.zeros(int(PAUSE_RATE_HZ * case.inputs.fragment_interval), np.float32)
    spoken = [piece for _, group in sorted(pieces.items()) for piece in group]
    ours = to_int16(np.concatenate([part for piece in spoken for part in (limit_peak(piece), pause)]))
    golden = case.array("audio_int16")
    if int16_digests(golden, [output.n for output in case.record.outputs]) != [o.sha256 for o in case.record.outputs]:
        return failed(case.name, "int16", "the stored samples do not fit their own sha256")
    return int16_samples(case.name, "int16", ours, golden)


def int16_digests(samples: NDArray[np.int16], sizes: Sequence[int]) -> list[str]:
    """The sha256 of each yield, over its little-endian bytes."""
    parts = np.split(samples.astype("<i2"), np.cumsum(sizes))[: len(sizes)]
    return [hashlib.sha256(part.tobytes()).hexdigest() for part in parts]
