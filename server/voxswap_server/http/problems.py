"""The one table from error class to HTTP status, and problem documents (RFC 9457).

Knows nothing of requests: it turns an exception into a status, headers and a document, and whoever answers sends them.
The names of the codes are those that gRPC has for the same error; a test holds the two tables together.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from voxswap_server.errors import (
    AssetMissing,
    BadReferenceAudio,
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

MEDIA_TYPE = "application/problem+json"
CLIENT_CLOSED_REQUEST = 499
"""Not in any RFC, but what proxies and logs call it; nobody is left to read it."""


class NoSuchPath(RequestError):
    """Nothing is served under this path."""

    reason = "NO_SUCH_PATH"


class NoSuchMethod(RequestError):
    """The path is served, but not for this method."""

    reason = "NO_SUCH_METHOD"

    def __init__(self, method: str, path: str, allowed: tuple[str, ...]) -> None:
        super().__init__(f"{path} does not take {method}; choices: {', '.join(allowed)}")
        self.allowed = allowed


class BodyTooLarge(RequestError):
    """The body is longer than this path takes."""

    reason = "BODY_TOO_LARGE"


class ForeignPage(VoxswapError):
    """A browser asks on behalf of a page that is not ours and not allowed."""

    reason = "FOREIGN_PAGE"


class Repeated(RequestError):
    """The same was said a moment ago."""

    reason = "REPEATED_LINE"


class NoSuchLine(RequestError):
    """No line of this number waits."""

    reason = "NO_SUCH_LINE"


class NotYours(VoxswapError):
    """It would change the server for everyone, so no caller may."""

    reason = "NOT_YOURS"


@dataclass(frozen=True, slots=True)
class Row:
    """What becomes of one class of error and of the classes below it that have no row."""

    status: int
    code: str
    """Name of the gRPC status code that this error has there."""
    secret: bool = False
    """The message is for our log only; the caller gets a fixed one."""
    headers: Callable[[Any], dict[str, str]] = lambda _: {}


def _retry_after(error: CapacityError) -> dict[str, str]:
    return {"retry-after": str(max(1, math.ceil(error.retry_after_s)))}


def _allow(error: NoSuchMethod) -> dict[str, str]:
    return {"allow": ", ".join(error.allowed)}


ROWS: Mapping[type[VoxswapError], Row] = {
    VoxswapError: Row(500, "INTERNAL", secret=True),
    RequestError: Row(400, "INVALID_ARGUMENT"),
    NoSuchPath: Row(404, "UNIMPLEMENTED"),
    NoSuchMethod: Row(405, "UNIMPLEMENTED", headers=_allow),
    # Closed: the rest of the body would be taken for the next request.
    BodyTooLarge: Row(413, "INVALID_ARGUMENT", headers=lambda _: {"connection": "close"}),
    VoiceNotFound: Row(404, "NOT_FOUND"),
    VoiceExists: Row(409, "ALREADY_EXISTS"),
    Repeated: Row(409, "ALREADY_EXISTS"),
    NoSuchLine: Row(404, "NOT_FOUND"),
    Unauthenticated: Row(401, "UNAUTHENTICATED", headers=lambda _: {"www-authenticate": "Bearer"}),
    PermissionDenied: Row(403, "PERMISSION_DENIED"),
    VoiceUnusable: Row(422, "FAILED_PRECONDITION"),
    AssetMissing: Row(422, "FAILED_PRECONDITION"),
    CapacityError: Row(429, "RESOURCE_EXHAUSTED", headers=_retry_after),
    Draining: Row(503, "UNAVAILABLE", headers=_retry_after),
    DeadlineExceeded: Row(504, "DEADLINE_EXCEEDED"),
    Cancelled: Row(CLIENT_CLOSED_REQUEST, "CANCELLED"),
    NotBuilt: Row(501, "UNIMPLEMENTED"),
    ForeignPage: Row(403, "PERMISSION_DENIED"),
    NotYours: Row(403, "PERMISSION_DENIED"),
    EngineError: Row(500, "INTERNAL", secret=True),
    DegenerateAudio: Row(500, "DATA_LOSS"),
}


def row_of(error: BaseException) -> Row:
    """The row of the nearest class that has one; what is not one of ours is an INTERNAL."""
    kind = type(error) if isinstance(error, VoxswapError) else EngineError
    return next(ROWS[ancestor] for ancestor in kind.__mro__ if ancestor in ROWS)


Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one family of clients reads errors."""

    fields: Mapping[str, str] = field(default_factory=dict)
    """From the engine's names of fields to those of this surface."""
    extend: Callable[[Document], Document] = lambda _: {}
    """Members that its clients look for, beside those of the problem."""


PLAIN = Dialect()


@dataclass(frozen=True, slots=True)
class Problem:
    status: int
    headers: Mapping[str, str]
    document: Document


def problem_of(error: BaseException, request_id: str, dialect: Dialect = PLAIN) -> Problem:
    """What a caller is told of an error. The `reason` is the one that gRPC callers get in ErrorInfo."""
    known = error if isinstance(error, VoxswapError) else EngineError("not one of ours")
    row = row_of(known)
    detail = f"internal error; the server's log has it under request id {request_id}" if row.secret else known.message
    document: Document = {
        "type": f"urn:voxswap:error:{known.reason}",
        "title": _title(row.status),
        "status": row.status,
        "detail": detail,
        "reason": known.reason,
        "request_id": request_id,
    }
    if violations := _violations(known, dialect):
        document["errors"] = [{"field": name, "detail": what} for name, what in violations]
    if isinstance(known, CapacityError):
        document["retry_after_s"] = known.retry_after_s
    return Problem(row.status, row.headers(known), document | dialect.extend(document))


def _violations(error: VoxswapError, dialect: Dialect) -> tuple[tuple[str, str], ...]:
    if isinstance(error, InvalidFields):
        return error.violations
    if not isinstance(error, RequestError):
        return ()
    unnamed = "prompt.audio" if isinstance(error, BadReferenceAudio) else ""
    name = error.field or unnamed
    return ((dialect.fields.get(name, name), error.message),) if name else ()


def _title(status: int) -> str:
    return "Client Closed Request" if status == CLIENT_CLOSED_REQUEST else HTTPStatus(status).phrase
