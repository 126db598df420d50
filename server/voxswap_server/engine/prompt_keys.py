"""Which facts each piece of an encoded prompt depends on: one key a piece.

Knows nothing of how a piece is made or where it is kept. What is missing here would be served wrongly; what is too much
here is computed again for nothing.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self

import torch
from torch import Tensor

from voxswap_server.engine.conditioning import Fact, Key, software
from voxswap_server.engine.device import Device
from voxswap_server.nn.reference import FFT_SAMPLES, HOP_SAMPLES, SPECTRUM_RATE_HZ
from voxswap_server.nn.specs import VersionSpec


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one reference, as it is sent."""

    max_s: float
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Ground:
    """What every piece depends on, whatever it is made of: libraries and machines that round alike."""

    host: Mapping[str, Fact]
    """Of pieces that are worked out on the CPU, in fp32."""
    device: Mapping[str, Fact]
    """Of pieces that networks compute, which may stand on the others."""

    @classmethod
    def of(cls, device: Device) -> Self:
        host = {**software(), "host": device.host_arithmetic}
        return cls(host, {**host, "device": device.arithmetic})


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a prompt is made of, by content."""

    clips: Sequence[str]
    """Addresses of the reference audio: the main one, then those that the version mixes in, in their order (a mean
    rounds by it)."""
    networks: Mapping[str, str]
    """Addresses of the shared networks, by name."""
    decoder: str
    """Address of the decoder's weights and config."""
    quantizer: str
    """Address of those of its weights that make prompt tokens."""
    phones: Sequence[int]
    """Of the transcript."""
    content: str = "hubert"
    """Name of the content encoder, among the networks."""


@dataclass(frozen=True, slots=True)
class PromptKeys:
    """The keys of one prompt's pieces."""

    spec: VersionSpec
    ground: Ground
    inputs: Inputs

    def tokens(self) -> Key:
        """Any decoder with this quantizer shares them."""
        inputs = self.inputs
        return Key.of(
            "tokens",
            ground=self.ground.device,
            clip=inputs.clips[0],
            content=inputs.networks[inputs.content],
            quantizer=inputs.quantizer,
        )

    def spectrum(self, clip: str) -> Key:
        """Every voice shares it."""
        return Key.of("spectrum", ground=self.ground.host, clip=clip, made=[SPECTRUM_RATE_HZ, FFT_SAMPLES, HOP_SAMPLES])

    def speaker_vector(self, clip: str) -> Key:
        return Key.of("speaker_vector", ground=self.ground.device, clip=clip, network=self.inputs.networks["eres2net"])

    def mel(self, clip: str) -> Key:
        """Only of versions that have one."""
        mel = asdict(self.spec.flow.mel) if self.spec.flow else None
        return Key.of("mel", ground=self.ground.host, clip=clip, made=mel)

    def conditioning(self) -> Key:
        """A flow-matching decoder reads the transcript and the tokens too."""
        inputs, flow = self.inputs, self.spec.flow is not None
        return Key.of(
            "conditioning",
            tensors=("speaker", "mel", "features") if flow else ("speaker",),
            ground=self.ground.device,
            clips=list(inputs.clips),
            decoder=inputs.decoder,
            speaker=inputs.networks.get("eres2net"),
            tokens=self.tokens().digest if flow else None,
            phones=list(inputs.phones) if flow else None,
        )


def address_of_clip(audio: bytes, limits: Limits) -> str:
    """Address of reference audio as somebody with these limits takes it: nothing kept passes for what is refused."""
    return f"{hashlib.sha256(audio).hexdigest()} {limits.max_s} {limits.max_bytes}"


def address_of_weights(tensors: Iterable[Tensor]) -> str:
    """sha256 over kind, shape and values of tensors in host memory."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
