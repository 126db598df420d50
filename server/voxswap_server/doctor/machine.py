"""The machine: device, threads, memory. Knows nothing of stores and networks."""

import os
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.filesize import decimal

from voxswap_server.doctor.findings import Finding, good, note, problem, warning
from voxswap_server.engine.device import default_budgets, open_device, usable_cores
from voxswap_server.errors import VoxswapError
from voxswap_server.settings import Settings

NVIDIA = Path("/dev/nvidiactl")
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def device(settings: Settings) -> Iterator[Finding]:
    try:
        found = open_device(settings.device)
    except VoxswapError as error:
        yield problem(error.message, "set device.name to auto or cpu, or install the driver and torch's CUDA build")
        return
    yield good(f"{found.device}, {settings.device.precision}, torch {torch.__version__}")
    if not found.is_cuda and NVIDIA.exists() and torch.version.cuda is None:
        yield warning(
            "there is an NVIDIA GPU, and this torch is built for CPUs", "install the CUDA build of the same torch"
        )


def threads(settings: Settings, quota: Path = QUOTA) -> Iterator[Finding]:
    cores = usable_cores()
    wanted = settings.device.threads or cores
    if wanted > cores:
        yield warning(
            f"device.threads is {wanted} on {cores} cores: they would wait for each other",
            f"set device.threads to {cores} or less",
        )
    else:
        yield good(f"{wanted} threads for networks on {cores} cores")
    allowed = _quota_cores(quota)
    if allowed is not None and allowed < wanted:
        yield warning(
            f"this container may use {allowed:g} of its {cores} cores: threads are stopped in the middle of a step",
            f"set device.threads to {max(1, int(allowed))}, or raise the limit",
        )
    load = os.getloadavg()[0]
    if load > cores:
        yield note(f"other programs keep the cores busy (load {load:.1f} on {cores})", "measure when they rest")


def memory(settings: Settings) -> Iterator[Finding]:
    try:
        found = open_device(settings.device)
    except VoxswapError:
        return  # told by the device's check
    budget = settings.residency.device_budget_bytes or default_budgets(found)[0]
    free = found.memory_bytes()["free"] if found.is_cuda else _available_bytes()
    told = f"{decimal(budget)} for voices, {decimal(free)} free on {found.device}"
    if budget > free:
        yield warning(f"{told}: voices may not find the room that they are promised", "lower residency's budgets")
    else:
        yield good(told)


def _quota_cores(path: Path) -> float | None:
    """Cores that the control group allows; None without a limit."""
    try:
        limit, period = path.read_text().split()
    except (OSError, ValueError):
        return None  # another system, or an older one
    return None if limit == "max" else int(limit) / int(period)


def _available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/meminfo does not say what is available")
