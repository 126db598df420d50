"""Every way a call can fail, as the caller sees it.

VoxswapError
├─ InvalidRequest    change the request                       INVALID_ARGUMENT
│  └─ UnsupportedLanguage, TextTooLong, BadReferenceAudio
├─ NotFound          what the call names does not exist       NOT_FOUND
│  └─ VoiceNotFound     no voice of this id
├─ VoiceExists       the id is taken                          ALREADY_EXISTS
├─ Unauthenticated   send an API key that the server knows    UNAUTHENTICATED
├─ PermissionDenied  the key is good, but not for this        PERMISSION_DENIED
├─ VoiceUnusable     in the store but broken                  FAILED_PRECONDITION
├─ AssetMissing      the server lacks a shared network        FAILED_PRECONDITION
├─ CapacityError     try again after `retry_after_s`          RESOURCE_EXHAUSTED
│  ├─ Overloaded, OutOfMemory
│  └─ Draining       shutting down; try another server        UNAVAILABLE
├─ Unavailable       no server could be reached               UNAVAILABLE
├─ DeadlineExceeded                                           DEADLINE_EXCEEDED
├─ Cancelled                                                  CANCELLED
├─ NotBuilt          promised by the protocol, built later    UNIMPLEMENTED
└─ ServerError       the server's fault, or an unknown status
   └─ DegenerateAudio  the model made no speech               DATA_LOSS

Classes follow `google.rpc.ErrorInfo.reason` where the server gives one it knows, else the status code. Knows nothing of
calls and retries; `from_rpc_error` is the one door from gRPC.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

_DETAILS_KEY = "grpc-status-details-bin"

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong with one field of a request."""

    field: str
    """Dotted path in the request message; "" is the request as a whole."""
    description: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A status with its details, read."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    """Stable, upper-case name for programs, such as QUEUE_FULL; "" where the server gave none."""
    request_id: str = ""
    """Under which the server's log has the call."""
    violations: tuple[Violation, ...] = ()
    voice_id: str = ""
    retry_after_s: float | None = None
    """After which the same call may succeed; None where the server does not say."""
    status: status_pb2.Status | None = None
    """The raw status, where the server sent one."""


class VoxswapError(Exception):
    """Base of all errors of calls."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure

    @property
    def message(self) -> str:
        return self.failure.message

    @property
    def code(self) -> grpc.StatusCode:
        return self.failure.code

    @property
    def reason(self) -> str:
        return self.failure.reason

    @property
    def request_id(self) -> str:
        return self.failure.request_id

    @property
    def retry_after_s(self) -> float | None:
        return self.failure.retry_after_s


class InvalidRequest(VoxswapError):
    """The request cannot be served as it is."""

    @property
    def violations(self) -> tuple[Violation, ...]:
        """What is wrong, field by field."""
        return self.failure.violations


class UnsupportedLanguage(InvalidRequest):
    """No front-end speaks this language, or this version of voice does not."""


class TextTooLong(InvalidRequest):
    """The text is longer than the server's limit."""


class BadReferenceAudio(InvalidRequest):
    """The reference audio cannot be read, or breaks a rule of its length."""


class _VoiceError(VoxswapError):
    @property
    def voice_id(self) -> str:
        return self.failure.voice_id


class NotFound(_VoiceError):
    """What the call names does not exist."""


class VoiceNotFound(NotFound):
    """No voice of this id is in the store."""


class VoiceExists(_VoiceError):
    """A voice of this id is already in the store."""


class Unauthenticated(VoxswapError):
    """The server knows no such API key, or wants one."""


class PermissionDenied(VoxswapError):
    """The API key is good, but not for this call."""


class VoiceUnusable(_VoiceError):
    """The voice is in the store but cannot be loaded."""


class AssetMissing(VoxswapError):
    """The server lacks a shared network or table that this call needs."""


class CapacityError(VoxswapError):
    """The server cannot take this now."""


class Overloaded(CapacityError):
    """Its queue is full."""


class OutOfMemory(CapacityError):
    """The voice does not fit, and nothing that is resident may be evicted."""


class Draining(CapacityError):
    """It is shutting down."""


class Unavailable(VoxswapError):
    """No server could be reached, or the connection broke."""


class DeadlineExceeded(VoxswapError):
    """The time given to the call passed, or the server saw that it would."""


class Cancelled(VoxswapError):
    """The call was cancelled."""


class NotBuilt(VoxswapError):
    """The protocol promises this; this release of the server does not have it."""


class ServerError(VoxswapError):
    """The server's fault. Its log has the cause under `request_id`."""


class DegenerateAudio(ServerError):
    """The model produced audio that no one should hear."""


_BY_REASON: Mapping[str, type[VoxswapError]] = {
    "INVALID_REQUEST": InvalidRequest,
    "UNSUPPORTED_LANGUAGE": UnsupportedLanguage,
    "TEXT_TOO_LONG": TextTooLong,
    "BAD_REFERENCE_AUDIO": BadReferenceAudio,
    "VOICE_NOT_FOUND": VoiceNotFound,
    "VOICE_EXISTS": VoiceExists,
    "UNAUTHENTICATED": Unauthenticated,
    "PERMISSION_DENIED": PermissionDenied,
    "VOICE_UNUSABLE": VoiceUnusable,
    "ASSET_MISSING": AssetMissing,
    "OVER_CAPACITY": CapacityError,
    "QUEUE_FULL": Overloaded,
    "OUT_OF_MEMORY": OutOfMemory,
    "DRAINING": Draining,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "CANCELLED": Cancelled,
    "NOT_BUILT": NotBuilt,
    "INTERNAL": ServerError,
    "DEGENERATE_AUDIO": DegenerateAudio,
}

_BY_CODE: Mapping[grpc.StatusCode, type[VoxswapError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: VoiceExists,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: CapacityError,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.UNIMPLEMENTED: NotBuilt,
    grpc.StatusCode.DATA_LOSS: DegenerateAudio,
}


def from_rpc_error(error: Any, request_id: str) -> VoxswapError:
    """The typed error of a failed call (`grpc.RpcError` of a sync call, `grpc.aio.AioRpcError`).

    Args:
        error: has `code()`, `details()` and `trailing_metadata()`.
        request_id: that the caller sent; told where the server did not answer with it.
    """
    failure = _read(error.code(), error.details() or "", error.trailing_metadata() or (), request_id)
    kind = _BY_REASON.get(failure.reason) or _BY_CODE.get(failure.code, ServerError)
    return kind(failure)


def _read(code: grpc.StatusCode, message: str, trailers: Iterable[tuple[str, str | bytes]], request_id: str) -> Failure:
    status = _status(trailers)
    if status is None:
        return Failure(code, message or f"the call failed with {code.name}", request_id=request_id)
    violations = (
        Violation(violation.field, violation.description)
        for found in _all(status, error_details_pb2.BadRequest)
        for violation in found.field_violations
    )
    reasons = (found.reason for found in _all(status, error_details_pb2.ErrorInfo))
    ids = (found.request_id for found in _all(status, error_details_pb2.RequestInfo))
    voices = (found.resource_name for found in _all(status, error_details_pb2.ResourceInfo))
    delays = (found.retry_delay.ToNanoseconds() / 1e9 for found in _all(status, error_details_pb2.RetryInfo))
    return Failure(
        code=code,
        message=status.message or message,
        reason=next(reasons, ""),
        request_id=next(ids, "") or request_id,
        violations=tuple(violations),
        voice_id=next(voices, ""),
        retry_after_s=next(delays, None),
        status=status,
    )


def _status(trailers: Iterable[tuple[str, str | bytes]]) -> status_pb2.Status | None:
    for key, value in trailers:
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None  # a proxy's own idea of details; code and message still stand
    return None


def _all(status: status_pb2.Status, kind: type[M]) -> Iterable[M]:
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            detail = kind()
            packed.Unpack(detail)
            yield detail
