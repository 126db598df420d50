"""The one table from error class to status code and google.rpc details.

Knows nothing of calls: it turns an exception into a status, and whoever has a call sends it. `UNKNOWN` is not in the
table, and an exception that is not one of ours is an INTERNAL with a fixed message.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from voxswap_server.errors import (
    AssetMissing,
    Cancelled,
    CapacityError,
    DeadlineExceeded,
    DegenerateAudio,
    Draining,
    EngineError,
    InvalidFields,
    NotBuilt,
    PermissionDenied,
    RequestError,
    Unauthenticated,
    VoiceExists,
    VoiceNotFound,
    VoiceUnusable,
    VoxswapError,
)

DOMAIN = "voxswap"
VOICE_TYPE = "voxswap.v1.Voice"


@dataclass(frozen=True, slots=True)
class Row:
    """What becomes of one class of error and of the classes below it that have no row."""

    code: grpc.StatusCode
    details: Callable[[Any], list[Message]] = lambda _: []
    secret: bool = False
    """The message is for our log only; the caller gets a fixed one."""


# The table guarantees the class of what each of these is given, so the parameter is Any.


def _bad_request(error: Any) -> list[Message]:
    violations = error.violations if isinstance(error, InvalidFields) else ((error.field, error.message),)
    return [
        error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
                for field, description in violations
            ]
        )
    ]


def _voice(error: Any) -> list[Message]:
    return [
        error_details_pb2.ResourceInfo(
            resource_type=VOICE_TYPE, resource_name=error.voice_id, description=error.message
        )
    ]


def _precondition(error: Any, subject: str) -> Message:
    violation = error_details_pb2.PreconditionFailure.Violation(
        type=error.reason, subject=subject, description=error.message
    )
    failure: Message = error_details_pb2.PreconditionFailure(violations=[violation])
    return failure


def _unusable(error: Any) -> list[Message]:
    return [_precondition(error, error.voice_id), *_voice(error)]


def _asset(error: Any) -> list[Message]:
    return [_precondition(error, error.asset)]


def _retry(error: Any) -> list[Message]:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMilliseconds(round(error.retry_after_s * 1000))
    return [info]


def _capacity(error: Any) -> list[Message]:
    violation = error_details_pb2.QuotaFailure.Violation(subject=DOMAIN, description=error.message)
    return [*_retry(error), error_details_pb2.QuotaFailure(violations=[violation])]


_Code = grpc.StatusCode

ROWS: Mapping[type[VoxswapError], Row] = {
    VoxswapError: Row(_Code.INTERNAL, secret=True),
    RequestError: Row(_Code.INVALID_ARGUMENT, _bad_request),
    VoiceNotFound: Row(_Code.NOT_FOUND, _voice),
    VoiceExists: Row(_Code.ALREADY_EXISTS, _voice),
    Unauthenticated: Row(_Code.UNAUTHENTICATED),
    PermissionDenied: Row(_Code.PERMISSION_DENIED),
    VoiceUnusable: Row(_Code.FAILED_PRECONDITION, _unusable),
    AssetMissing: Row(_Code.FAILED_PRECONDITION, _asset),
    CapacityError: Row(_Code.RESOURCE_EXHAUSTED, _capacity),
    Draining: Row(_Code.UNAVAILABLE, _retry),
    DeadlineExceeded: Row(_Code.DEADLINE_EXCEEDED),
    Cancelled: Row(_Code.CANCELLED),
    NotBuilt: Row(_Code.UNIMPLEMENTED),
    EngineError: Row(_Code.INTERNAL, secret=True),
    DegenerateAudio: Row(_Code.DATA_LOSS),
}


def row_of(kind: type[VoxswapError]) -> Row:
    """The row of the nearest ancestor that has one."""
    return next(ROWS[ancestor] for ancestor in kind.__mro__ if ancestor in ROWS)


def code_of(error: BaseException) -> grpc.StatusCode:
    return row_of(type(error)).code if isinstance(error, VoxswapError) else grpc.StatusCode.INTERNAL


def status_of(error: BaseException, request_id: str) -> grpc.Status:
    """The status of an error, with ErrorInfo and RequestInfo beside the details of its class."""
    known = error if isinstance(error, VoxswapError) else EngineError("not one of ours")
    row = row_of(type(known))
    message = f"internal error; the server's log has it under request id {request_id}" if row.secret else known.message
    code: tuple[int, str] = row.code.value
    status = status_pb2.Status(code=code[0], message=message)
    info = error_details_pb2.ErrorInfo(reason=known.reason, domain=DOMAIN)
    for detail in (info, error_details_pb2.RequestInfo(request_id=request_id), *row.details(known)):
        status.details.add().Pack(detail)
    rich: grpc.Status = rpc_status.to_status(status)
    return rich
