"""Every way a request can fail.

VoxswapError                                             INTERNAL
├─ RequestError      the caller must change something    INVALID_ARGUMENT
│  ├─ InvalidFields     several things at once
│  ├─ ConfigError       settings that cannot be
│  ├─ UnsupportedLanguage, TextTooLong, BadReferenceAudio
│  ├─ VoiceNotFound                                      NOT_FOUND
│  └─ VoiceExists                                        ALREADY_EXISTS
├─ Unauthenticated   nobody that is known here           UNAUTHENTICATED
├─ PermissionDenied  known, but may not                  PERMISSION_DENIED
├─ VoiceUnusable     in the store but broken             FAILED_PRECONDITION
├─ AssetMissing      a shared network is not installed   FAILED_PRECONDITION
├─ CapacityError     try later                           RESOURCE_EXHAUSTED + RetryInfo
│  ├─ Overloaded (queue full), OutOfMemory
│  └─ Draining       shutting down                       UNAVAILABLE
├─ DeadlineExceeded  it cannot be, or was not, in time   DEADLINE_EXCEEDED
├─ Cancelled         the caller went away                CANCELLED
├─ NotBuilt          promised by the proto, built later  UNIMPLEMENTED
└─ EngineError       our bug                             INTERNAL (fixed message, cause logged)
   └─ DegenerateAudio  NaN, silence, runaway, collapse   DATA_LOSS

The right-hand column lives in `rpc/status.py`, the one table from class to status. A message names the offending
value and the choices; it is written for the caller, so nothing internal (a path, a stack) may stand in it.
"""

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import ClassVar


class VoxswapError(Exception):
    """Base of all errors that voxswap raises on purpose."""

    reason: ClassVar[str] = "INTERNAL"
    """Stable, upper-case name for programs (`google.rpc.ErrorInfo.reason`)."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.lasting_message = message
        """Without what holds at this moment only, such as when a load is tried again: equal for equal failures."""


class RequestError(VoxswapError):
    """The request cannot be served as it is: the caller must change `field`."""

    reason = "INVALID_REQUEST"

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field
        """Dotted path of the offending field in the request, or "" when it is the request as a whole."""


class InvalidFields(RequestError):
    """The request breaks rules that need no model to check; all of them are listed at once."""

    def __init__(self, violations: Iterable[tuple[str, str]]) -> None:
        self.violations = tuple(violations)
        """(dotted path of the field, what is wrong with it), at least one."""
        super().__init__("; ".join(f"{field}: {what}" for field, what in self.violations), field=self.violations[0][0])


class ConfigError(RequestError):
    """Settings that do not go together, or that cannot be honoured; raised at the start, never by a request."""

    reason = "BAD_SETTINGS"


class UnsupportedLanguage(RequestError):
    """No front-end speaks this language, or this version of voice does not."""

    reason = "UNSUPPORTED_LANGUAGE"


class TextTooLong(RequestError):
    """The text is longer than the server's limit."""

    reason = "TEXT_TOO_LONG"


class BadReferenceAudio(RequestError):
    """The reference audio cannot be read, or breaks a rule of its length."""

    reason = "BAD_REFERENCE_AUDIO"


class VoiceNotFound(RequestError):
    """No voice of this id is in the store; another voice is never used instead."""

    reason = "VOICE_NOT_FOUND"

    def __init__(self, voice_id: str, known: Iterable[str] = (), *, field: str = "voice_id") -> None:
        names = sorted(known)
        near = get_close_matches(voice_id, names, n=3)
        hint = f"did you mean {', '.join(near)}? " if near else ""
        listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        super().__init__(f"voice {voice_id!r} is not in the store; {hint}voices: {listed or 'none yet'}", field=field)
        self.voice_id = voice_id


class VoiceExists(RequestError):
    """A voice of this id is already in the store."""

    reason = "VOICE_EXISTS"

    def __init__(self, voice_id: str) -> None:
        super().__init__(f"voice {voice_id!r} already exists; delete it first, or choose another id", field="voice_id")
        self.voice_id = voice_id


class Unauthenticated(VoxswapError):
    """The caller has shown nothing that is known here."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(VoxswapError):
    """The caller is known, and may not do this."""

    reason = "PERMISSION_DENIED"

    def __init__(self, name: str, *, has: Iterable[str], needs: Iterable[str]) -> None:
        super().__init__(f"{name!r} may {', '.join(has) or 'nothing'}; this needs {' or '.join(needs)}")


class VoiceUnusable(VoxswapError):
    """The voice is in the store but cannot be loaded."""

    reason = "VOICE_UNUSABLE"

    def __init__(self, voice_id: str, why: str) -> None:
        super().__init__(f"voice {voice_id!r} cannot be used: {why}")
        self.voice_id = voice_id
        self.why = why


class AssetMissing(VoxswapError):
    """A shared network or table that this request needs is not installed."""

    reason = "ASSET_MISSING"

    def __init__(self, asset: str, remedy: str) -> None:
        super().__init__(f"{asset} is not installed; {remedy}")
        self.asset = asset


class CapacityError(VoxswapError):
    """The server cannot take this now; the same request may succeed after `retry_after_s`."""

    reason = "OVER_CAPACITY"

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(CapacityError):
    """The queue is full."""

    reason = "QUEUE_FULL"


class OutOfMemory(CapacityError):
    """The voice does not fit, and nothing that is resident may be evicted."""

    reason = "OUT_OF_MEMORY"


class Draining(CapacityError):
    """The server is shutting down and takes no new work."""

    reason = "DRAINING"


class DeadlineExceeded(VoxswapError):
    """The deadline of the request passed, or cannot be met."""

    reason = "DEADLINE_EXCEEDED"


class Cancelled(VoxswapError):
    """The caller cancelled the request."""

    reason = "CANCELLED"


class NotBuilt(VoxswapError):
    """The surface promises this; this release does not have it yet."""

    reason = "NOT_BUILT"


class EngineError(VoxswapError):
    """A bug of ours; the cause is logged, the caller is told the request id."""

    reason = "INTERNAL"


class DegenerateAudio(EngineError):
    """The model produced audio that no one should hear."""

    reason = "DEGENERATE_AUDIO"

    def __init__(self, message: str, *, fault: str = "") -> None:
        super().__init__(message)
        self.fault = fault
        """What is wrong with it: runaway, loop, collapse, not_finite or silence."""


@contextmanager
def full_disk_told() -> Iterator[None]:
    """For work that writes: a disk without room is no bug of ours.

    Raises:
        CapacityError: it was full; whatever else is wrong with a disk passes as it is.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise CapacityError(
            "the disk of the server is full; its operator must make room", retry_after_s=60.0
        ) from error
