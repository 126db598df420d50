"""The machine: what it is, how busy it was, and the two speeds that bound everything else: reading and copying memory.

Knows nothing of voices.
"""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import torch

from voxswap_server.bench.timing import Clock, Sample, timed
from voxswap_server.engine.device import usable_cores

_BLOCK_BYTES: Final = 256 * 2**20
"""Of a reference read or copy, at least: larger than any cache."""


def description(threads: int) -> dict[str, str]:
    """In words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "machine": f"{_processor()}, {usable_cores()} cores for this process, {memory / 2**30:.0f} GiB",
        "software": f"Python {platform.python_version()}, torch {torch.__version__}",
        "networks": f"{threads} thread{'s' if threads > 1 else ''}, fp32 on the CPU",
        "begun": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def load() -> str:
    """How many processes wanted a core in the last minute: above the number of cores, others were at work too."""
    return f"{os.getloadavg()[0]:.1f}"


def reading(size_bytes: int, clock: Clock | None = None) -> Sample:
    """Seconds to read so many bytes of memory once (a sum over a block that no cache holds)."""
    block = torch.ones(max(size_bytes, _BLOCK_BYTES) // 4)
    share = size_bytes / block.nbytes
    sample = timed(block.sum, clock=clock)
    return lambda: sample() * share


def copying(size_bytes: int, clock: Clock | None = None) -> Sample:
    """Seconds to copy so many bytes from memory to memory."""
    source = torch.ones(max(size_bytes, _BLOCK_BYTES) // 4)
    target = torch.zeros_like(source)
    share = size_bytes / source.nbytes
    sample = timed(lambda: target.copy_(source), clock=clock)
    return lambda: sample() * share


def _processor() -> str:
    """The kernel's name for it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
