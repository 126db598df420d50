"""Which of several ways computes a network.

Knows nothing of networks: names only, as the settings have them.
"""

from dataclasses import dataclass

from voxswap_server.nn.t2s_backends import BackendName, Precision


@dataclass(frozen=True, slots=True)
class EngineConfig:
    t2s_backend: BackendName = "auto"
    """auto, native or torch. auto is the fastest that computes exactly on the device; native runs on CPUs only."""
    int8_voices: tuple[str, ...] = ()
    """Voices whose T2S weights are rounded to 8 bits when they are loaded: faster and half as large, a little less
    exact. Needs the native backend."""

    bf16_voices: tuple[str, ...] = ()
    """Voices of v1 to v2ProPlus that make their waveform in bfloat16: nearly twice as fast on processors with
    instructions for it, a little less exact."""

    def precision_of(self, voice_id: str) -> Precision:
        return "int8" if voice_id in self.int8_voices else "exact"
