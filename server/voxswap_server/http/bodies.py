"""Reading what a request brings: its body within bounds, JSON and queries into models, violations all at once.

Knows nothing of what the models mean.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.datastructures import Headers
from starlette.types import Receive

from voxswap_server import limits
from voxswap_server.errors import Cancelled, InvalidFields, RequestError
from voxswap_server.http.problems import BodyTooLarge

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
Parsed = TypeVar("Parsed", bound="Asked")


class Asked(BaseModel):
    """What a request asks for. Names that nobody knows are told, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


async def read_body(headers: Headers, receive: Receive, limit_bytes: int) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge: before it is read, where its length is announced.
        Cancelled: the caller went away before the end of it.
    """
    announced = headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limit_bytes:
        raise _too_large(limit_bytes)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Cancelled("the caller went away before the request was complete")
        body += message.get("body", b"")
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
        if not message.get("more_body", False):
            return bytes(body)


def json_object(body: bytes) -> dict[str, Any]:
    """
    Raises:
        RequestError: it is not JSON, or no object.
    """
    try:
        content = json.loads(body or b"null")
    except (ValueError, RecursionError):
        raise RequestError("the body is not JSON") from None
    if not isinstance(content, dict):
        raise RequestError("the body must be a JSON object")
    if _SURROGATE.search(body) and not _is_text(content):
        raise RequestError("the body holds half of a character")
    return content


def from_json(model: type[Parsed], body: bytes) -> Parsed:
    """The model of a JSON object.

    Raises:
        RequestError: it is not JSON, or no object.
        InvalidFields: lists everything that is wrong with it.
    """
    return from_mapping(model, json_object(body))


def from_mapping(model: type[Parsed], content: Mapping[str, Any]) -> Parsed:
    """The model of named values; of a query, all of them are text.

    Raises:
        InvalidFields: lists everything that is wrong with it.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise refused_by(error, model.model_fields) from None


def refused_by(error: ValidationError, known: Iterable[str] = ()) -> InvalidFields:
    """Everything that a model says is wrong; `known` are the fields that there are."""
    return InvalidFields(_violations(error, known))


def require_id(voice_id: str, field: str) -> str:
    """
    Raises:
        RequestError: no voice could have this id.
    """
    if not limits.is_id(voice_id):
        raise RequestError(f"{voice_id[:80]!r} does not match {limits.ID_PATTERN}", field=field)
    return voice_id


def _violations(error: ValidationError, known: Iterable[str]) -> list[tuple[str, str]]:
    found = []
    for one in error.errors(include_url=False, include_context=False):
        name = ".".join(str(part) for part in one["loc"])
        if one["type"] == "extra_forbidden":
            what = f"there is no such field{'; fields: ' if known else ''}{', '.join(known)}"
        elif one["type"] == "missing":
            what = "must be set"
        else:
            what = f"{one['msg'].removeprefix('Value error, ')}; it is {_short(one['input'])}"
        found.append((name, what))
    return found


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _is_text(content: object) -> bool:
    """JSON can spell one half of a surrogate pair, which no encoding can."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _too_large(limit_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is longer than {limit_bytes} bytes")
