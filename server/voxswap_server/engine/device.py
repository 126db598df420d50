"""The device: which one, in which precision, with how many threads; and what its exhaustion looks like.

The only file of the engine that knows that devices differ.
"""

import ctypes
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from voxswap_server.errors import OutOfMemory, RequestError

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    name: str = "auto"
    """auto, cpu, cuda or cuda:N. auto is the first CUDA device, or else the CPU."""
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    """Of weights and arithmetic; fp32 is the one that equals upstream's reference."""
    threads: int = 0
    """Of one network call on a CPU; 0: as many as there are cores for this process."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device that exists."""

    device: torch.device
    dtype: torch.dtype
    threads: int

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def host_arithmetic(self) -> str:
        """What decides how this process rounds on the CPU: where it is equal, so is every bit."""
        return f"{_processor()} {torch.backends.cpu.get_cpu_capability()} x{self.threads}"

    @property
    def arithmetic(self) -> str:
        """The same of what the networks compute."""
        cuda = f" {torch.cuda.get_device_name(self.device)} {torch.version.cuda}" if self.is_cuda else ""
        return f"{self.host_arithmetic} {self.dtype}{cuda}"

    def run(self, body: Callable[[], None]) -> None:
        """Runs the device thread's loop with what torch keeps per thread set up."""
        torch.set_num_threads(self.threads)
        with torch.inference_mode():
            body()

    def memory_bytes(self) -> dict[str, int]:
        """What the device says of its memory, by kind; empty on a CPU."""
        if not self.is_cuda:
            return {}
        free, total = torch.cuda.mem_get_info(self.device)
        return {
            "allocated": torch.cuda.memory_allocated(self.device),
            "reserved": torch.cuda.memory_reserved(self.device),
            "free": free,
            "total": total,
        }


def open_device(config: DeviceConfig) -> Device:
    """The device that the settings name.

    Raises:
        RequestError: it is not there, or cannot compute in the asked precision.
    """
    name = config.name
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise RequestError(f"device {name!r} is unknown; choose auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RequestError(f"device {name!r}: this process sees no CUDA device; choose cpu or auto")
    if device.type not in ("cpu", "cuda"):
        raise RequestError(f"device {name!r} is not supported; choose auto, cpu, cuda or cuda:N")
    return Device(device, _DTYPES[config.precision], config.threads or usable_cores())


def usable_cores() -> int:
    """Cores that the scheduler may give this process."""
    return len(os.sched_getaffinity(0))


def _processor() -> str:
    """The model of the CPU: libraries choose their kernels by it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def default_budgets(device: Device) -> tuple[int, int]:
    """Bytes for voices on the device and on the host, where the settings leave them open.

    A CPU gives voices half of its memory and has no other tier; a GPU gives them most of its own, and half of the
    host's for those that have to leave it.
    """
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    if not device.is_cuda:
        return host, 0
    return device.memory_bytes()["total"] * 8 // 10, host


def is_exhausted(error: BaseException) -> bool:
    """Whether this is the device (or the machine) running out of memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # The CPU allocator raises a bare RuntimeError.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def out_of_memory(error: BaseException) -> OutOfMemory | None:
    """The typed error for a device that stayed full; None where something else went wrong."""
    if not is_exhausted(error):
        return None
    return OutOfMemory("the device has no memory for this request, even after idle voices were evicted")


def give_back_to_the_system() -> None:
    """Returns freed memory: the CUDA cache to the driver, the C heap's free pages to the kernel.

    Without it a process that swaps voices keeps the high-water mark of its heap for good.
    """
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        # Not glibc: its allocator decides by itself.
        return
