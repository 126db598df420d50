"""What the child gives up before it looks at the first byte.

Knows nothing of checkpoints. Namespaces are the kernel's wall, and not every container allows them; the audit hook is
Python's own, and is always there. `lock_down` tells which of them hold.
"""

import ctypes
import os
import resource
import sys
from typing import Any, Final, NoReturn

_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWIPC: Final = 0x08000000
_PR_SET_NO_NEW_PRIVS: Final = 38

USER_AND_NET_NAMESPACE: Final = "user and net namespaces"
EMPTY_ROOT: Final = "empty root directory"
AUDIT_HOOK: Final = "audit hook"
NO_NEW_PRIVILEGES: Final = "no new privileges"
LIMITS: Final = "limits on memory, time, files and processes"


class Refused(BaseException):
    """Something tried what the guard does not allow; no `except Exception` swallows it."""


def lock_down(*, memory_bytes: int, cpu_s: int, file_bytes: int, namespaces: bool = True) -> tuple[str, ...]:
    """Gives up network, files, processes and imports for the rest of this process's life.

    What is open stays open. The current directory becomes the root where the kernel allows it: make it an empty one.

    Args:
        memory_bytes: of address space at most.
        cpu_s: seconds of processor time at most.
        file_bytes: a written file grows to this at most.
        namespaces: try them; False is for tests of the hook alone.

    Returns:
        The protections that hold.
    """
    held = []
    if namespaces and sys.platform == "linux":
        held += _namespaces()
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        _limit(kind, most)
    held.append(LIMITS)
    sys.addaudithook(_refuse)
    held.append(AUDIT_HOOK)
    return tuple(held)


def _namespaces() -> list[str]:
    libc = ctypes.CDLL(None, use_errno=True)
    held = []
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        held.append(NO_NEW_PRIVILEGES)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWNS | _CLONE_NEWIPC) != 0:
        return held
    held.append(USER_AND_NET_NAMESPACE)
    try:
        os.chroot(".")
        os.chdir("/")
    except OSError:  # allowed to enter a namespace but not to use it: some hardened kernels
        return held
    return [*held, EMPTY_ROOT]


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
    # The kernel tells of the processor's soft limit with a signal of its own, and kills at the hard one.
    above = bound + 1 if kind == resource.RLIMIT_CPU and hard == resource.RLIM_INFINITY else bound
    resource.setrlimit(kind, (bound, above))


def _refuse(event: str, _: tuple[Any, ...]) -> NoReturn:
    """Taking a checkpoint apart raises no audit event at all, so every event is one too many."""
    raise Refused(event)
