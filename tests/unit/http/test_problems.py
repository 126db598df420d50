"""The table from error to HTTP status: the codes are gRPC's, the reasons are the errors', and nothing secret is told."""

import importlib
import inspect
import pkgutil

import pytest

import voxswap_server.http
from voxswap_server import errors
from voxswap_server.http.openai import DIALECT as OPENAI
from voxswap_server.http.problems import PLAIN, ROWS, Dialect, problem_of, row_of
from voxswap_server.rpc.status import row_of as grpc_row_of

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.VoxswapError)]
GOOGLES_STATUS = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    # Google has 400; but nothing is wrong with the request, so it is told apart.
    "FAILED_PRECONDITION": 422,
}
"""Of google.rpc.Code."""


def made(kind):
    error = kind.__new__(kind)
    Exception.__init__(error, "the sample message")
    error.message, error.field, error.retry_after_s = "the sample message", "text", 1.2
    error.violations = (("text", "must be set"), ("voice_id", "is odd"))
    return error


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_has_the_code_that_it_has_over_grpc(kind):
    row, theirs = row_of(made(kind)), grpc_row_of(kind)
    assert row.code == theirs.code.name
    assert row.secret == theirs.secret
    assert row.status == GOOGLES_STATUS[row.code]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_problem_is_whole(kind):
    problem = problem_of(made(kind), "r-1")
    document = problem.document
    assert document["type"] == f"urn:voxswap:error:{kind.reason}"
    assert (document["reason"], document["request_id"], document["status"]) == (kind.reason, "r-1", problem.status)
    assert document["title"]
    assert ("the sample message" in document["detail"]) != row_of(made(kind)).secret
    assert ("retry-after" in problem.headers) == issubclass(kind, errors.CapacityError)


def test_our_own_errors_have_rows_of_theirs():
    """Those of the gateway are not in errors.py, so nothing else would notice that one has a wrong one."""
    found = set()
    for module in pkgutil.walk_packages(voxswap_server.http.__path__, "voxswap_server.http."):
        members = vars(importlib.import_module(module.name)).values()
        found |= {
            one
            for one in members
            if inspect.isclass(one) and issubclass(one, errors.VoxswapError) and one.__module__ == module.name
        }
    reasons = [kind.reason for kind in found | set(CLASSES)]
    assert len({kind.reason for kind in found}) == len(found)
    assert all(reason.isupper() for reason in reasons)
    for kind in found:
        assert next(ancestor for ancestor in kind.__mro__ if ancestor in ROWS) is not errors.VoxswapError


def test_what_is_not_ours_is_internal_and_secret():
    problem = problem_of(ValueError("secret"), "r-1", OPENAI)
    assert (problem.status, problem.document["reason"]) == (500, "INTERNAL")
    assert "secret" not in str(problem.document)
    assert problem.document["error"]["type"] == "server_error"


def test_several_violations_are_told_at_once():
    error = errors.InvalidFields([("text", "must be set"), ("voice", "is odd")])
    told = problem_of(error, "r-1").document["errors"]
    assert told == [{"field": "text", "detail": "must be set"}, {"field": "voice", "detail": "is odd"}]


@pytest.mark.parametrize(
    ("error", "field"),
    [
        (errors.RequestError("odd", field="speaking_rate"), "speed"),
        (errors.RequestError("odd", field="sample_steps"), "sample_steps"),
        (errors.BadReferenceAudio("2.1 s"), "clip"),
    ],
)
def test_a_field_of_the_engine_has_the_name_that_the_surface_gives_it(error, field):
    dialect = Dialect(fields={"speaking_rate": "speed", "prompt.audio": "clip"})
    assert problem_of(error, "r-1", dialect).document["errors"][0]["field"] == field


def test_a_request_as_a_whole_has_no_field():
    assert "errors" not in problem_of(errors.RequestError("odd"), "r-1", PLAIN).document
