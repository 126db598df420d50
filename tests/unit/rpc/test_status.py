"""The status table: every error of the tree has its documented code, and tells no secrets."""

import asyncio
import inspect
import re

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from voxswap_server import errors
from voxswap_server.rpc.status import ROWS, code_of, row_of, status_of

SAMPLES = {
    errors.InvalidFields: errors.InvalidFields([("text", "must be set"), ("voice_id", "is odd")]),
    errors.VoiceNotFound: errors.VoiceNotFound("narator", ["narrator", "slate"]),
    errors.VoiceExists: errors.VoiceExists("narrator"),
    errors.PermissionDenied: errors.PermissionDenied("panel", has=["speak"], needs=["admin"]),
    errors.VoiceUnusable: errors.VoiceUnusable("narrator", "its decoder is broken"),
    errors.AssetMissing: errors.AssetMissing("the text encoder", "fetch it"),
}
"""Of the classes that need more than a message."""

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.VoxswapError) and kind.__module__ == errors.__name__
]


def sample(kind):
    return SAMPLES.get(kind) or kind("the sample message")


def details_of(status):
    """google.rpc details of a status by the name of their type."""
    (key, value), *rest = status.trailing_metadata
    assert (key, rest) == ("grpc-status-details-bin", [])
    rich = status_pb2.Status.FromString(value)
    assert (rich.code, rich.message) == (status.code.value[0], status.details)
    found = {}
    for packed in rich.details:
        name = packed.type_url.rsplit(".", 1)[1]
        found[name] = getattr(error_details_pb2, name)()
        assert packed.Unpack(found[name])
    return found


def documented():
    """(class, code) as drawn in the docstring of errors.py: a class without a code has its parent's."""
    codes = set(grpc.StatusCode.__members__)
    found = {}
    for line in errors.__doc__.splitlines():
        code = next((word for word in re.findall(r"[A-Z_]{6,}", line) if word in codes), None)
        for name in re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)*\b", line):
            kind = getattr(errors, name, None)
            if inspect.isclass(kind) and issubclass(kind, errors.VoxswapError):
                found[kind] = code or found[kind.__mro__[1]]
    return found


def test_every_class_of_the_tree_is_drawn():
    assert set(documented()) == set(CLASSES)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_has_the_code_it_is_drawn_with(kind):
    assert row_of(kind).code.name == documented()[kind]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_becomes_a_status_with_details(kind):
    error = sample(kind)
    status = status_of(error, "r-1")
    found = details_of(status)
    assert status.code is row_of(kind).code is code_of(error)
    assert (found["ErrorInfo"].reason, found["ErrorInfo"].domain) == (kind.reason, "voxswap")
    assert found["RequestInfo"].request_id == "r-1"


def test_unknown_and_ok_are_not_in_the_table():
    assert not {row.code for row in ROWS.values()} & {grpc.StatusCode.UNKNOWN, grpc.StatusCode.OK}


def test_a_class_without_a_row_takes_that_of_its_nearest_ancestor():
    class VoiceNotFoundHere(errors.VoiceNotFound):
        pass

    assert row_of(VoiceNotFoundHere) is ROWS[errors.VoiceNotFound]


@pytest.mark.parametrize(
    "bug", [RuntimeError("/srv/secret"), errors.EngineError("/srv/secret"), asyncio.CancelledError()]
)
def test_our_bugs_are_told_by_request_id_only(bug):
    status = status_of(bug, "r-1")
    assert status.code is grpc.StatusCode.INTERNAL
    assert "r-1" in status.details
    assert "secret" not in status.details
    assert set(details_of(status)) == {"ErrorInfo", "RequestInfo"}


def test_all_violations_are_told():
    found = details_of(status_of(sample(errors.InvalidFields), "r-1"))["BadRequest"]
    assert [(violation.field, violation.description) for violation in found.field_violations] == [
        ("text", "must be set"),
        ("voice_id", "is odd"),
    ]


def test_a_single_field_is_told_with_its_message():
    (violation,) = details_of(status_of(errors.TextTooLong("too long", field="text"), "r"))[
        "BadRequest"
    ].field_violations
    assert (violation.field, violation.description) == ("text", "too long")


def test_a_missing_voice_is_named_and_the_nearest_suggested():
    status = status_of(sample(errors.VoiceNotFound), "r-1")
    info = details_of(status)["ResourceInfo"]
    assert (info.resource_type, info.resource_name) == ("voxswap.v1.Voice", "narator")
    assert "did you mean narrator?" in status.details


def test_capacity_tells_when_to_come_back():
    found = details_of(status_of(errors.Overloaded("full", retry_after_s=2.5), "r-1"))
    assert found["RetryInfo"].retry_delay.ToMilliseconds() == 2500
    assert found["QuotaFailure"].violations[0].description == "full"
    drained = details_of(status_of(errors.Draining("going"), "r-1"))
    assert drained["RetryInfo"].retry_delay.ToMilliseconds() == 1000
    assert "QuotaFailure" not in drained


@pytest.mark.parametrize(
    ("kind", "subject"), [(errors.VoiceUnusable, "narrator"), (errors.AssetMissing, "the text encoder")]
)
def test_a_precondition_names_its_subject(kind, subject):
    (violation,) = details_of(status_of(sample(kind), "r-1"))["PreconditionFailure"].violations
    assert (violation.type, violation.subject) == (kind.reason, subject)
