"""From settings to a cache: the table of the layers that there are."""

from collections.abc import Iterator
from pathlib import Path

from voxswap_server.engine.conditioning.cache import ConditioningCache
from voxswap_server.engine.conditioning.contract import CacheConfig, CacheMetrics, Store
from voxswap_server.engine.conditioning.disk import Disk
from voxswap_server.engine.conditioning.lookups import Lookups
from voxswap_server.engine.conditioning.memory import Memory
from voxswap_server.engine.conditioning.redis_store import connect, place_of
from voxswap_server.engine.conditioning.stored import StoredLayer

_NAMES = "prompts_{layer}"
"""Of a layer among the caches of the process."""


def open_cache(config: CacheConfig, metrics: CacheMetrics) -> ConditioningCache:
    """The cache that the settings describe. Nothing is read or sent yet: a layer that is away costs nothing.

    Raises:
        RequestError: the package of a layer is not installed.
    """
    lookups = [Lookups(_NAMES.format(layer="memory"), metrics)]
    memory = Memory(config.memory_bytes, config.memory_ttl_s, lookups[0])
    outside = []
    for store, timeout_s in _stores(config):
        lookups.append(Lookups(_NAMES.format(layer=store.name), metrics))
        outside.append(StoredLayer(store, lookups[-1], timeout_s=timeout_s, retry_s=config.retry_s))
    return ConditioningCache(memory, outside, lookups)


def describe(config: CacheConfig) -> str:
    """One line for operators; no secrets."""
    layers = [f"memory {_mib(config.memory_bytes)}"]
    if config.directory is not None:
        layers.append(f"disk {_mib(config.disk_bytes)} in {config.directory}")
    if config.redis_url:
        layers.append(f"redis at {place_of(config.redis_url)}")
    return ", ".join(layers)


def problems(config: CacheConfig) -> Iterator[str]:
    """Yields a line for each layer outside of the process that cannot be used now. May take as long as its time-outs.

    Raises:
        RequestError: as `open_cache`.
    """
    for store, _ in _stores(config):
        try:
            for writing in (False, True):
                store.probe(writing=writing)
        except Exception as error:  # each store has exceptions of its own
            yield f"cache layer {store.name} cannot be used ({type(error).__name__}); what it would have is computed"
        finally:
            store.close()


def _stores(config: CacheConfig) -> Iterator[tuple[Store, float]]:
    """The nearest first, each with the time that a read may take."""
    if config.directory is not None:
        yield Disk(Path(config.directory), config.disk_bytes), config.disk_timeout_s
    if config.redis_url:
        timeout_s = config.redis_timeout_s
        yield (
            connect(config.redis_url, prefix=config.redis_prefix, ttl_s=config.redis_ttl_s, timeout_s=timeout_s),
            timeout_s,
        )


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.0f} MiB"
