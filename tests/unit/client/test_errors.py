"""A status and its details become the error that the server meant."""

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from voxswap_client import errors as theirs
from voxswap_client.errors import from_rpc_error
from voxswap_server import errors as ours
from voxswap_server.rpc.status import ROWS, status_of


class Failed(grpc.RpcError):
    """What gRPC raises, sync or not."""

    def __init__(self, code, details="", trailers=()):
        super().__init__()
        self.code, self.details = lambda: code, lambda: details
        self.trailing_metadata = lambda: trailers


def through_the_wire(error: Exception, request_id: str = "r-1") -> theirs.VoxswapError:
    status = status_of(error, request_id)
    return from_rpc_error(Failed(status.code, status.details, status.trailing_metadata), "mine")


EVERY_ERROR = [
    ours.RequestError("no text", field="text"),
    ours.InvalidFields([("text", "empty"), ("config.voice_id", "bad")]),
    ours.UnsupportedLanguage("no xx"),
    ours.TextTooLong("9000 characters"),
    ours.BadReferenceAudio("2 s; 3 to 10 s", field="prompt.audio"),
    ours.VoiceNotFound("narator", ["narrator"]),
    ours.VoiceExists("narrator"),
    ours.ConfigError("no such port"),
    ours.Unauthenticated("no key"),
    ours.PermissionDenied("panel", has=["speak"], needs=["admin"]),
    ours.VoiceUnusable("narrator", "its decoder is missing"),
    ours.AssetMissing("ECAPA", "fetch it"),
    ours.CapacityError("full"),
    ours.Overloaded("queue full", retry_after_s=2.5),
    ours.OutOfMemory("no room", retry_after_s=7),
    ours.Draining("shutting down"),
    ours.DeadlineExceeded("too late"),
    ours.Cancelled("gone"),
    ours.NotBuilt("later"),
    ours.EngineError("secret"),
    ours.DegenerateAudio("silence"),
]
NAMES = {
    "RequestError": "InvalidRequest",
    "InvalidFields": "InvalidRequest",
    "ConfigError": "InvalidRequest",
    "EngineError": "ServerError",
}


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: type(error).__name__)
def test_each_error_of_the_server_arrives_as_itself(error: ours.VoxswapError):
    name = type(error).__name__
    arrived = through_the_wire(error)
    assert type(arrived) is getattr(theirs, NAMES.get(name, name))
    assert arrived.reason == error.reason
    assert arrived.request_id == "r-1"
    assert arrived.code == status_of(error, "").code
    assert isinstance(arrived.failure.status, status_pb2.Status)
    if name != "EngineError":
        assert arrived.message == error.message
    else:
        assert "secret" not in arrived.message
    assert "r-1" in arrived.message or name != "EngineError"


def test_no_error_of_the_server_is_left_out():
    assert set(ROWS) - {ours.VoxswapError} <= {type(error) for error in EVERY_ERROR}


def test_what_the_details_say():
    wrong = through_the_wire(ours.InvalidFields([("text", "empty"), ("config.voice_id", "bad")]))
    assert isinstance(wrong, theirs.InvalidRequest)
    assert wrong.violations == (theirs.Violation("text", "empty"), theirs.Violation("config.voice_id", "bad"))
    assert through_the_wire(ours.Overloaded("x", retry_after_s=2.5)).retry_after_s == 2.5
    missing = through_the_wire(ours.VoiceNotFound("narator", ["narrator"]))
    assert isinstance(missing, theirs.VoiceNotFound)
    assert missing.voice_id == "narator"
    assert missing.retry_after_s is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, theirs.Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, theirs.DeadlineExceeded),
        (grpc.StatusCode.CANCELLED, theirs.Cancelled),
        (grpc.StatusCode.UNIMPLEMENTED, theirs.NotBuilt),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, theirs.CapacityError),
        (grpc.StatusCode.NOT_FOUND, theirs.NotFound),
        (grpc.StatusCode.UNKNOWN, theirs.ServerError),
        (grpc.StatusCode.UNAUTHENTICATED, theirs.Unauthenticated),
        (grpc.StatusCode.PERMISSION_DENIED, theirs.PermissionDenied),
        (grpc.StatusCode.ABORTED, theirs.ServerError),
    ],
)
def test_without_details_the_code_decides(code: grpc.StatusCode, kind: type):
    error = from_rpc_error(Failed(code, "from a proxy"), "mine")
    assert type(error) is kind
    assert (error.message, error.reason, error.request_id, error.code) == ("from a proxy", "", "mine", code)
    assert str(from_rpc_error(Failed(code), "")) == f"the call failed with {code.name}"


@pytest.mark.parametrize("trailer", [b"\xff\xff\xff", "text"])
def test_details_that_are_no_status_do_not_hide_the_error(trailer):
    error = from_rpc_error(Failed(grpc.StatusCode.NOT_FOUND, "gone", [("grpc-status-details-bin", trailer)]), "mine")
    assert type(error) is theirs.NotFound
    assert error.message == "gone"


def test_a_reason_of_a_newer_server_falls_back_to_its_code():
    status = status_pb2.Status(code=8, message="busy")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="BRAND_NEW", domain="voxswap"))
    status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=3)))
    status.details.add().Pack(error_details_pb2.Help())
    trailers = [("other", "x"), ("grpc-status-details-bin", status.SerializeToString())]
    error = from_rpc_error(Failed(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", trailers), "mine")
    assert type(error) is theirs.CapacityError
    assert (error.reason, error.retry_after_s) == ("BRAND_NEW", 3.0)
