"""The decoder of v1, v2, v2Pro and v2ProPlus: speaker, prior, flow, waveform, and the samples that come out.

Replays upstream's joint decodes: at speed 1 all utterances of a batch are decoded in one pass and cut apart by their
token counts; at other speeds each alone.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxswap_server.audio.pcm import limit_peak, to_int16
from voxswap_server.nn.reference import ReferenceFeatures
from voxswap_server.nn.vits import Vits
from voxswap_server.parity.cases import Case, T2SCall
from voxswap_server.parity.compare import Row, Stage, failed, int16_samples
from voxswap_server.parity.replay_t2s import segment_of

PAUSE_RATE_HZ = 32_000
"""Upstream counts its pauses at this rate whatever the rate of the voice is."""

_HIDDEN = {
    "encp_encoder_ssl": "content_encoder",
    "encp_encoder_text": "phone_encoder",
    "encp_mrte": "mrte",
    "encp_encoder2": "joint_encoder",
}
"""Stored stage to the part of the prior whose output it is."""


@dataclass(frozen=True)
class _Item:
    """One utterance of a decode."""

    segment: int
    tokens: tuple[int, ...]
    phones: tuple[int, ...]


@torch.inference_mode()
def replay_vits(case: Case, decoder: Vits, references: Sequence[ReferenceFeatures]) -> list[Row]:
    """Rows of the speaker, of every stored stage of the decodes, and of the samples.

    Args:
        case: what to replay; upstream's own tokens and phones are used.
        decoder: the network.
        references: the main one, then the auxiliary ones.
    """
    stages = _Stages(case)
    speaker = _speaker(case, decoder, references, stages)
    if case.inputs.streaming_mode:
        unreplayed = [name for name in case.unused() if not name.startswith("s1_")]
        case.used.update(unreplayed)
        return [
            *stages.rows(),
            *(failed(case.name, _stage_of(name), "streaming is not replayed") for name in unreplayed),
        ]
    pieces: dict[int, list[NDArray[np.float32]]] = {}
    noises = _noises(case)
    groups = list(_groups(case))
    for index, items in enumerate(groups):
        noise = next(noises, None)
        if noise is None:
            return [*stages.rows(), failed(case.name, "noise", f"{len(groups)} decodes, upstream had {index}")]
        samples = _decode(case, decoder, items, speaker, noise, index, stages)
        for item, piece in zip(items, _cut(case, samples, items, decoder), strict=True):
            pieces.setdefault(item.segment, []).append(piece)
    if next(noises, None) is not None:
        return [*stages.rows(), failed(case.name, "noise", "upstream decoded more often")]
    ours = to_int16(
        np.concatenate([_with_pause(case, piece) for _, group in sorted(pieces.items()) for piece in group])
    )
    return [*stages.rows(), _samples(case, ours)]


class _Stages:
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


def _speaker(case: Case, decoder: Vits, references: Sequence[ReferenceFeatures], stages: _Stages) -> Tensor:
    speaker = decoder.conditioning(references).speaker
    calls = len(case.record.capture_shapes.get("ref_enc_out", ())) or len(references)
    for index in range(calls):  # every decode encodes all references anew
        stages.compare("ref_enc_out", index, decoder.reference.style(references[index % len(references)].spectrum))
        stages.compare("ge", index, speaker)
    return speaker


def _groups(case: Case) -> Iterator[list[_Item]]:
    """Utterances of each decode, in upstream's order."""
    for call in case.calls():
        items = [_item(case, call, row) for row in range(len(call.all_phones))]
        if case.inputs.speed_factor == 1:
            yield items
        else:
            yield from ([item] for item in items)


def _item(case: Case, call: T2SCall, row: int) -> _Item:
    segment = segment_of(case, call.all_phones[row])
    return _Item(segment, call.tokens[row], case.record.text_segments[segment].phones)


def _noises(case: Case) -> Iterator[Tensor]:
    """Noise of each decode, checked against its sha256."""
    random = np.random.RandomState(case.record.noise.seed)
    for shape, sha256 in zip(case.record.noise.shapes, case.record.noise.sha256, strict=True):
        zero = case.record.noise.mode == "zero"
        noise = np.zeros(shape, np.float32) if zero else random.standard_normal(shape).astype(np.float32)
        if hashlib.sha256(noise.tobytes()).hexdigest() != sha256:
            raise ValueError(f"{case.name}: the noise of this machine is not the golden's")
        yield torch.from_numpy(noise)


def _decode(
    case: Case, decoder: Vits, items: Sequence[_Item], speaker: Tensor, noise: Tensor, index: int, stages: _Stages
) -> NDArray[np.float32]:
    tokens = torch.tensor([token for item in items for token in item.tokens])
    phones = torch.tensor([phone for item in items for phone in item.phones])
    with _listening(decoder) as heard:
        mean, log_std = decoder.encode(tokens, phones, speaker, case.inputs.speed_factor)
    for name, hidden in heard.items():
        stages.compare(name, index, hidden.transpose(1, 2))
    stages.compare("m_p", index, mean)
    stages.compare("logs_p", index, log_std)
    stages.compare("noise", index, noise)
    frames = decoder.flow(decoder.latent(mean, log_std, noise), speaker)
    stages.compare("z", index, frames)
    samples = decoder.generate(frames, speaker)
    stages.compare("audio", index, samples)
    return samples.numpy()


@contextmanager
def _listening(decoder: Vits) -> Iterator[dict[str, Tensor]]:
    """Collects the outputs (1, T, C) of the parts of the prior while it lasts."""
    heard: dict[str, Tensor] = {}

    def keep(name: str, value: Tensor) -> None:
        heard[name] = value

    handles = [
        getattr(decoder.prior, part).register_forward_hook(lambda _m, _i, out, name=name: keep(name, out))
        for name, part in _HIDDEN.items()
    ]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


def _cut(case: Case, samples: NDArray[np.float32], items: Sequence[_Item], decoder: Vits) -> list[NDArray[np.float32]]:
    """The pieces of a joint decode."""
    if len(items) == 1 and case.inputs.speed_factor != 1:
        return [samples]
    ends = np.cumsum([len(item.tokens) for item in items]) * decoder.spec.samples_per_token
    return np.split(samples, ends)[:-1]


def _with_pause(case: Case, piece: NDArray[np.float32]) -> NDArray[np.float32]:
    pause = np.zeros(int(PAUSE_RATE_HZ * case.inputs.fragment_interval), np.float32)
    return np.concatenate([limit_peak(piece), pause])


def _samples(case: Case, ours: NDArray[np.int16]) -> Row:
    golden = case.array("audio_int16")
    if int16_digests(golden, [output.n for output in case.record.outputs]) != [o.sha256 for o in case.record.outputs]:
        return failed(case.name, "int16", "the stored samples do not fit their own sha256")
    return int16_samples(case.name, "int16", ours, golden)


def int16_digests(samples: NDArray[np.int16], sizes: Sequence[int]) -> list[str]:
    """The sha256 of each yield, over its little-endian bytes."""
    parts = np.split(samples.astype("<i2"), np.cumsum(sizes))[: len(sizes)]
    return [hashlib.sha256(part.tobytes()).hexdigest() for part in parts]


def _stage_of(array: str) -> str:
    return "int16" if array == "audio_int16" else array.rpartition("_")[0]
