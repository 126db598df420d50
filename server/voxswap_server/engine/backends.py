"""Which of several ways computes a network.

Knows nothing of voices' files: names only, as the settings have them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from voxswap_server.engine.device import Device
from voxswap_server.nn.native.team import Team
from voxswap_server.nn.t2s_backends import BackendName, Placement, Precision, chosen


@dataclass(frozen=True, slots=True)
class EngineConfig:
    t2s_backend: BackendName = "auto"
    """auto, native or torch. auto is the fastest that computes exactly on the device; native runs on CPUs only."""
    int8_voices: tuple[str, ...] = ()
    """Voices whose T2S weights are rounded to 8 bits when they are loaded: faster and half as large, a little less
    exact. Needs the native backend."""
    rounded_bytes: int = 4 * 2**30
    """Of rounded weights that are kept in the store, so that a load reads them; 0: they are rounded at every load."""
    bf16_voices: tuple[str, ...] = ()
    """Voices of v1 to v2ProPlus that make their waveform in bfloat16: half the memory for it, decoded a tenth to a
    fifth faster on processors with instructions for it, a little less exact."""

    def precision_of(self, voice_id: str) -> Precision:
        return "int8" if voice_id in self.int8_voices else "exact"


def placed(device: Device) -> Placement:
    """The device as networks see it, with threads for our kernels where they run."""
    return Placement(device.device, device.dtype, Team(1 if device.is_cuda else device.threads))


def describe(config: EngineConfig, placement: Placement) -> str:
    """What computes T2S, in a few words.

    Raises:
        RequestError: the device cannot do what the settings ask for.
    """
    usual = chosen(config.t2s_backend, placement)
    if not config.int8_voices:
        return usual
    return f"{usual}; {chosen(config.t2s_backend, placement, 'int8')} in 8 bits for {', '.join(config.int8_voices)}"


def strangers(config: EngineConfig, present: Iterable[str]) -> list[str]:
    """Warnings of voices that settings name and the store does not have."""
    known = set(present)
    return [
        f"engine.{field} names {voice_id}, which is not in the store"
        for field, voices in (("int8_voices", config.int8_voices), ("bf16_voices", config.bf16_voices))
        for voice_id in voices
        if voice_id not in known
    ]
