"""Swapping: a voice that is in memory, a voice that is on disk, and what the same costs without our store.

Knows nothing of speech. Files lie in the page cache, for they were just read: what a disk adds is the disk's.
"""

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import torch

from voxswap_server.bench.engines import Driven, engine_over
from voxswap_server.bench.memory_speed import copying
from voxswap_server.bench.options import Options
from voxswap_server.bench.page_cache import read_afresh
from voxswap_server.bench.report import Reference, Row
from voxswap_server.bench.timing import SHORT_ROUNDS, Clock, Sample, interleaved, timed
from voxswap_server.bench.voices import IDS, Workbench
from voxswap_store.blocks import Blocks
from voxswap_store.catalogue import Catalogue
from voxswap_store.known_headers import KnownHeaders
from voxswap_store.weights import load_weights

TITLE: Final = "Swapping voices"
_LEASES: Final = 50
_VOICE: Final = IDS[0]


class Swaps:
    """What happens to one voice of an engine; every method returns seconds."""

    def __init__(self, on: Driven, files: tuple[Path, ...], clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self._on = on
        self._files = files

    def resident(self) -> float:
        """One lease of a voice in memory, as the mean of many."""
        return self._on.run(self._leases(_LEASES))

    def cold(self) -> float:
        """A lease of a voice that has to be read: until it can speak."""
        return self._on.run(self._unloaded())

    def first(self) -> float:
        """The same where the files were never seen before, so that their sha256 is compared too."""
        for file in self._files:
            os.utime(file)
        return self.cold()

    async def _leases(self, count: int) -> float:
        async with self._on.engine.residency.lease(_VOICE):
            pass
        begin = self._clock()
        for _ in range(count):
            async with self._on.engine.residency.lease(_VOICE):
                pass
        return (self._clock() - begin) / count

    async def _unloaded(self) -> float:
        await self._on.engine.residency.unload_voice(_VOICE, wait=True)
        begin = self._clock()
        async with self._on.engine.residency.lease(_VOICE):
            return self._clock() - begin


def measure(options: Options, bench: Workbench) -> Iterator[Row]:
    """One voice, again and again: what is short has more rounds, each beside a memcpy of its own."""
    store = bench.store(1)
    entry = Catalogue(store).get(_VOICE)
    files = tuple(entry.path(file) for file in (entry.manifest.files.t2s, entry.manifest.files.decoder))
    checkpoint, _ = bench.checkpoints(0)
    size_bytes = sum(file.stat().st_size for file in files)
    read_afresh((*files, checkpoint))
    with engine_over(store, options.threads) as on:
        swaps, blocks, headers = Swaps(on, files, options.clock), Blocks(2 * size_bytes), KnownHeaders()
        read = partial(load_weights, blocks=blocks, headers=headers)
        copy = copying(size_bytes, options.clock)
        short: dict[str, Sample] = {"copy": copy, "resident": swaps.resident, "cold": swaps.cold}
        short["store"] = timed(lambda: [read(file) for file in files], clock=options.clock)
        long: dict[str, Sample] = {"copy": copy, "first": swaps.first}
        long["half"] = timed(lambda: read(files[0]), clock=options.clock)
        long["pickle"] = timed(lambda: _unpickled(checkpoint), clock=options.clock)
        often, seldom = (
            {name: series.map(lambda s: 1e3 * s) for name, series in interleaved(work, rounds).items()}
            for work, rounds in ((short, SHORT_ROUNDS * options.rounds), (long, options.rounds))
        )
    copies = f"memcpy of its files' {size_bytes / 1e6:.0f} MB"
    beside = Reference(copies, often["copy"])
    yield Row("swap", "lease of a voice in memory", "ms", often["resident"])
    yield Row("swap", "lease of a voice on disk (page cache)", "ms", often["cold"], reference=beside)
    checked = Reference(copies, seldom["copy"])
    yield Row("swap", "the same, its sha256 checked", "ms", seldom["first"], reference=checked)
    yield Row("swap", "its files read by the store", "ms", often["store"], reference=beside)
    pickle = Reference("torch.load of its .ckpt", seldom["pickle"])
    yield Row("swap", "its T2S half read by the store", "ms", seldom["half"], reference=pickle)


def _unpickled(checkpoint: Path) -> object:
    """As GPT-SoVITS reads its files; this one we wrote ourselves a moment ago."""
    return torch.load(checkpoint, map_location="cpu", weights_only=False)
