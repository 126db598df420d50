"""What is made of reference audio, kept by content: in memory, on disk, in a Redis."""

from voxswap_server.engine.conditioning.cache import ConditioningCache, ValueRoutine
from voxswap_server.engine.conditioning.contract import CacheConfig
from voxswap_server.engine.conditioning.entry import Tensors
from voxswap_server.engine.conditioning.keys import Fact, Key, software
from voxswap_server.engine.conditioning.lookups import Lookups
from voxswap_server.engine.conditioning.opening import describe, open_cache, problems

__all__ = [
    "CacheConfig",
    "ConditioningCache",
    "Fact",
    "Key",
    "Lookups",
    "Tensors",
    "ValueRoutine",
    "describe",
    "open_cache",
    "problems",
    "software",
]
