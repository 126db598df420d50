"""The machine: what it is and how busy it was.

Knows nothing of voices.
"""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import torch

from voxswap_server.engine.device import usable_cores


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


def _processor() -> str:
    """The kernel's name for it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
