"""The logs: one format for all, ids on every line, nothing left behind by a request."""

import io
import json
import logging

import pytest
import structlog

from voxswap_server import logs


@pytest.fixture
def stream():
    """Where the configured logs go; the state of both logging systems is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_lines_are_json_where_there_is_no_terminal(stream):
    logs.configure(logs.LogConfig(), stream)
    with logs.request_context("r-1", "t-1"):
        logs.annotate(voice="narrator", text_chars=12)
        logs.canonical("rpc", code="OK", rtf=0.123456789)
    (line,) = lines(stream)
    assert line | {"timestamp": ""} == {
        "event": "rpc",
        "level": "info",
        "timestamp": "",
        "request_id": "r-1",
        "trace_id": "t-1",
        "voice": "narrator",
        "text_chars": 12,
        "code": "OK",
        "rtf": 0.1235,
    }


def test_a_terminal_gets_lines_for_people(stream):
    stream.isatty = lambda: True
    logs.configure(logs.LogConfig(), stream)
    logs.canonical("rpc", code="OK")
    with pytest.raises(json.JSONDecodeError):
        json.loads(stream.getvalue())
    assert "rpc" in stream.getvalue()


def test_lines_of_libraries_have_the_same_form(stream):
    logs.configure(logs.LogConfig(), stream)
    with logs.request_context("r-1", "t-1"):
        logging.getLogger("grpc").warning("%s is odd", "that", extra={"peer": "here"})
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["request_id"], line["peer"]) == ("that is odd", "warning", "r-1", "here")


def test_the_level_is_kept(stream):
    logs.configure(logs.LogConfig(level="warning"), stream)
    logs.canonical("quiet")
    logging.getLogger("library").info("quiet too")
    logs.canonical("loud", level=logging.ERROR)
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_an_unknown_level_lists_the_choices():
    with pytest.raises(ValueError, match=r"'CHATTY' is not one of DEBUG"):
        logs.configure(logs.LogConfig(level="CHATTY"), io.StringIO())


def speak(text):
    try:
        int("seven")
    except ValueError as error:
        raise RuntimeError("out of paper") from error
    return text


@pytest.mark.parametrize("as_json", [True, False])
def test_a_traceback_tells_the_place_and_no_values(stream, as_json):
    logs.configure(logs.LogConfig(json=as_json), stream)
    confidential = "sentence that is confidential".title()  # so that the source line does not hold it
    try:
        speak(confidential)
    except RuntimeError as error:
        logs.canonical("rpc", error=error, level=logging.ERROR)
    for told in ("out of paper", "ValueError", "in speak" if not as_json else '"name": "speak"'):
        assert told in stream.getvalue()
    assert confidential not in stream.getvalue()


def test_a_request_leaves_nothing_behind():
    with logs.request_context("r-1", "t-1"):
        logs.annotate(voice="narrator")
        assert structlog.contextvars.get_contextvars() == {
            "request_id": "r-1",
            "trace_id": "t-1",
            "voice": "narrator",
        }
        assert logs.current_trace_id() == "t-1"
    assert structlog.contextvars.get_contextvars() == {}
    assert logs.current_trace_id() == ""


def test_audit_lines_name_the_action(stream):
    logs.configure(logs.LogConfig(), stream)
    logs.audit("evict", voice="narrator", reason="lru", idle_s=1.23456)
    (line,) = lines(stream)
    assert (line["event"], line["action"], line["voice"], line["idle_s"]) == ("audit", "evict", "narrator", 1.2346)
