"""What every call gets: statuses with details, ids, one canonical line, a count."""

import asyncio

import grpc
import pytest
import structlog

from tests.fixtures.fake_engine import STARTED, Changes
from voxswap.v1 import model_admin_service_pb2, speech_service_pb2, synthesis_pb2, voice_service_pb2
from voxswap_server import errors
from voxswap_server.exposition import MetricsServer

TRACE = "0af7651916cd43dd8448eb211c80319c"

FAILURES = {
    errors.VoxswapError("secret"): "INTERNAL",
    errors.RequestError("odd", field="text"): "INVALID_ARGUMENT",
    errors.UnsupportedLanguage("not this one", field="language_code"): "INVALID_ARGUMENT",
    errors.TextTooLong("too long", field="text"): "INVALID_ARGUMENT",
    errors.BadReferenceAudio("2.1 s are too short", field="prompt.audio"): "INVALID_ARGUMENT",
    errors.VoiceNotFound("ghost", ["narrator"]): "NOT_FOUND",
    errors.VoiceExists("narrator"): "ALREADY_EXISTS",
    errors.Unauthenticated("who is this?"): "UNAUTHENTICATED",
    errors.PermissionDenied("panel", has=["speak"], needs=["admin"]): "PERMISSION_DENIED",
    errors.VoiceUnusable("narrator", "broken"): "FAILED_PRECONDITION",
    errors.AssetMissing("BERT", "fetch it"): "FAILED_PRECONDITION",
    errors.CapacityError("no room"): "RESOURCE_EXHAUSTED",
    errors.Overloaded("full", retry_after_s=3): "RESOURCE_EXHAUSTED",
    errors.OutOfMemory("does not fit"): "RESOURCE_EXHAUSTED",
    errors.Draining("going"): "UNAVAILABLE",
    errors.DeadlineExceeded("too late"): "DEADLINE_EXCEEDED",
    errors.Cancelled("gone"): "CANCELLED",
    errors.NotBuilt("later"): "UNIMPLEMENTED",
    errors.EngineError("secret"): "INTERNAL",
    errors.DegenerateAudio("silence"): "DATA_LOSS",
    ValueError("secret"): "INTERNAL",
    asyncio.CancelledError(): "INTERNAL",
    TimeoutError("secret"): "INTERNAL",
    grpc.RpcError("secret"): "INTERNAL",
}


class Lines(Changes):
    """Every line that was logged, with what was bound to it."""

    def __init__(self):
        super().__init__()
        self.all = []

    def __call__(self, _logger, level, line):
        self.all.append(line | {"level": level})
        self.tell()
        raise structlog.DropEvent

    async def rpc(self, number=0):
        """The canonical line of a call; the server writes it after the client has its answer."""
        await self.until(lambda: len(self.of("rpc")) > number)
        return self.of("rpc")[number]

    def of(self, event):
        return [line for line in self.all if line["event"] == event]


@pytest.fixture
async def lines():
    lines = Lines()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, lines])
    yield lines
    structlog.reset_defaults()


def call(rig, kind, **options):
    request = getattr(speech_service_pb2, f"{kind}Request")
    config = synthesis_pb2.SpeechConfig(voice_id="narrator")
    return getattr(rig.speech, kind)(request(text="three small words", config=config), **options)


@pytest.mark.parametrize("step", [STARTED, 1], ids=["at-start", "mid-stream"])
@pytest.mark.parametrize("kind", ["Synthesize", "SynthesizeStream"])
@pytest.mark.parametrize(("failure", "code"), FAILURES.items(), ids=lambda value: type(value).__name__)
async def test_every_failure_is_told_the_same_way(rig, refused, lines, failure, code, kind, step):
    rig.synthesizer.failures[step] = failure
    told = await refused(call(rig, kind, metadata=(("x-request-id", "r-1"),)))
    assert told.code.name == code
    assert told.details["RequestInfo"].request_id == "r-1"
    assert told.details["ErrorInfo"].domain == "voxswap"
    assert told.details["ErrorInfo"].reason == getattr(failure, "reason", "INTERNAL")
    assert "secret" not in told.message
    line = await lines.rpc()
    assert (line["code"], line["request_id"]) == (code, "r-1")
    assert (line["level"] == "error") == (code in {"INTERNAL", "DATA_LOSS"})
    assert (line["exc_info"] is failure) == (code in {"INTERNAL", "DATA_LOSS"})
    assert rig.count(f"SpeechService/{kind}", code) == 1
    assert rig.synthesizer.released == 1


@pytest.mark.parametrize(
    ("failure", "field"),
    [
        (errors.BadReferenceAudio("2.1 s", field="prompt.audio"), "config.prompt.reference_audio"),
        (errors.BadReferenceAudio("not audio"), "config.prompt.reference_audio"),
        (errors.UnsupportedLanguage("no", field="language_code"), "config.language_code"),
        (errors.TextTooLong("long", field="text"), "text"),
        (errors.RequestError("as a whole"), ""),
    ],
)
async def test_a_field_of_the_engine_is_told_by_its_name_in_the_request(rig, refused, failure, field):
    rig.synthesizer.failures[STARTED] = failure
    told = await refused(call(rig, "Synthesize"))
    assert told.details["BadRequest"].field_violations[0].field == field


async def test_a_refused_call_still_has_its_request_id_in_the_initial_metadata(rig):
    rig.synthesizer.failures[STARTED] = errors.Overloaded("full")
    failing = call(rig, "Synthesize")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await failing
    metadata = dict(await failing.initial_metadata())
    assert len(metadata["x-request-id"]) == 32
    assert "x-cache-state" not in metadata
    assert caught.value.initial_metadata() is not None


async def test_one_canonical_line_tells_all_and_no_text(rig, lines):
    parent = f"00-{TRACE}-b7ad6b7169203331-01"
    await call(rig, "Synthesize", metadata=(("x-request-id", "r-9"), ("traceparent", parent)))
    line = await lines.rpc()
    assert len(lines.all) == 1
    told = {key: line[key] for key in ("method", "code", "voice", "text_chars", "utterances", "audio_s", "swap")}
    assert told == {
        "method": "voxswap.v1.SpeechService/Synthesize",
        "code": "OK",
        "voice": "narrator",
        "text_chars": 17,
        "utterances": 1,
        "audio_s": 1.5,
        "swap": False,
    }
    assert {"ttfa_s", "rtf", "queue_s", "duration_s", "underrun_s", "load_s"} <= line.keys()
    assert (line["request_id"], line["trace_id"]) == ("r-9", TRACE)
    assert "small" not in str(line)


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "nonsense",
        f"ff-{TRACE}-b7ad6b7169203331-01",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-b7ad6b7169203331-01",
    ],
)
async def test_a_trace_is_made_where_none_is_usable(rig, lines, parent):
    await call(rig, "Synthesize", metadata=(("traceparent", parent),))
    line = await lines.rpc()
    assert len(line["trace_id"]) == 32
    assert line["trace_id"] != TRACE


async def test_nothing_of_one_call_is_in_the_line_of_the_next(rig, lines):
    await call(rig, "Synthesize")
    await rig.voices.ListVoices(voice_service_pb2.ListVoicesRequest())
    line = await lines.rpc(1)
    assert line["method"] == "voxswap.v1.VoiceService/ListVoices"
    assert not {"voice", "text_chars", "rtf"} & line.keys()


async def test_cancelling_is_counted_as_such(rig, lines):
    rig.synthesizer.stalls.add(1)
    stream = call(rig, "SynthesizeStream")
    await rig.synthesizer.until(lambda: rig.synthesizer.stalled)
    stream.cancel()
    line = await lines.rpc()
    assert line["code"] == "CANCELLED"
    assert rig.count("SpeechService/SynthesizeStream", "CANCELLED") == 1


async def test_a_missed_deadline_is_counted_as_such(rig, lines, refused):
    rig.synthesizer.stalls.add(1)
    for timeout_s in (0.5, 4, 30):  # on a busy machine a short one is over before the call gets anywhere
        await refused(call(rig, "SynthesizeStream", timeout=timeout_s))
        if rig.synthesizer.stalled:
            break
    await lines.rpc()
    assert {line["code"] for line in lines.of("rpc")} == {"DEADLINE_EXCEEDED"}


async def test_who_changes_residency_is_on_record(rig, lines):
    await rig.residency.LoadVoice(
        model_admin_service_pb2.LoadVoiceRequest(voice_id="slate"), metadata=(("x-request-id", "op-7"),)
    )
    (line,) = lines.of("audit")
    assert (line["action"], line["voice"], line["request_id"]) == ("load", "slate", "op-7")


async def test_an_unknown_method_is_unimplemented(rig, refused):
    told = await refused(rig.channel.unary_unary("/voxswap.v1.SpeechService/Sing")(b""))
    assert told.code == grpc.StatusCode.UNIMPLEMENTED


async def garbage():
    yield b"\xff\xff\xff"


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary"])
async def test_a_message_that_cannot_be_read_is_refused_by_us(rig, refused, lines, kind):
    methods = {
        "unary_unary": "SpeechService/Synthesize",
        "unary_stream": "SpeechService/SynthesizeStream",
        "stream_unary": "VoiceService/CreateVoice",
    }
    call = getattr(rig.channel, kind)(f"/voxswap.v1.{methods[kind]}")
    told = await refused(call(garbage() if kind == "stream_unary" else b"\xff\xff\xff"))
    assert told.code == grpc.StatusCode.INVALID_ARGUMENT
    assert told.details["ErrorInfo"].reason == "INVALID_REQUEST"
    await lines.rpc()
    assert rig.count(methods[kind], "INVALID_ARGUMENT") == 1


async def test_the_counts_are_served_over_http(rig, lines):
    await call(rig, "Synthesize")
    await lines.rpc()
    with MetricsServer(rig.registry, "127.0.0.1", 0) as server:
        host, port = server.url.removeprefix("http://").removesuffix("/metrics").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /metrics HTTP/1.0\r\nHost: x\r\n\r\n")
        body = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
    assert 'voxswap_requests_total{code="OK",method="voxswap.v1.SpeechService/Synthesize"} 1.0' in body
