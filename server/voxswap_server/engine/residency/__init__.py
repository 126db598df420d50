"""Residency: which voices are in memory, and who may use them.

`ResidencyManager` is the one way to weights. It knows bytes and content addresses; a `VoiceLoader` knows the rest.
"""

from voxswap_server.engine.residency.contract import (
    DeviceOutOfMemory,
    Lease,
    Levels,
    LoadedPart,
    LoadPlan,
    LookupCounter,
    PartPlan,
    ResidencyConfig,
    ResidencyMetrics,
    VoiceLoader,
    VoiceState,
    network_id,
    network_name,
)
from voxswap_server.engine.residency.manager import ResidencyManager

__all__ = [
    "DeviceOutOfMemory",
    "Lease",
    "Levels",
    "LoadPlan",
    "LoadedPart",
    "LookupCounter",
    "PartPlan",
    "ResidencyConfig",
    "ResidencyManager",
    "ResidencyMetrics",
    "VoiceLoader",
    "VoiceState",
    "network_id",
    "network_name",
]
