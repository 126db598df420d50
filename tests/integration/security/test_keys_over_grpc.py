"""API keys on a real server: which call needs which scope, what is open, and rotation while it runs."""

import asyncio

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from voxswap_client import NO_RETRY, Client, PermissionDenied, Tls, Unauthenticated
from voxswap_server.auth import Authenticator, Scope
from voxswap_server.auth.keys import create_key, revoke_key

ONE_OF_EACH_KIND = {
    "unary_unary": "voxswap.v1.SpeechService/Synthesize",
    "unary_stream": "voxswap.v1.SpeechService/SynthesizeStream",
    "stream_unary": "voxswap.v1.VoiceService/CreateVoice",
    "stream_stream": "voxswap.v1.SpeechService/StreamingSynthesize",
}


def asked(address, kind, *headers):
    """The code of a call whose message is empty."""
    with grpc.insecure_channel(address) as channel:
        call = getattr(channel, kind)(f"/{ONE_OF_EACH_KIND[kind]}")
        try:
            answer = call(iter([b""]) if kind.startswith("stream") else b"", metadata=headers)
            if kind.endswith("stream"):
                list(answer)
        except grpc.RpcError as error:
            return error.code().name
        return "OK"


def bearer(key):
    return ("authorization", f"Bearer {key}")


@pytest.mark.parametrize("kind", ONE_OF_EACH_KIND)
def test_every_kind_of_call_is_refused_before_it_is_read(serve, keys_file, key, kind):
    metrics, speak, voices = key("metrics"), key("speak"), key("voices")
    with serve(authenticator=Authenticator(keys_file)) as server:
        assert asked(server.address, kind) == "UNAUTHENTICATED"
        assert asked(server.address, kind, bearer("voxswap_guess")) == "UNAUTHENTICATED"
        assert asked(server.address, kind, bearer(metrics)) == "PERMISSION_DENIED"
        # Let in, it is the empty message that is refused.
        right = voices if kind == "stream_unary" else speak
        for header in (bearer(right), ("x-api-key", right)):
            assert asked(server.address, kind, header) not in {"OK", "UNAUTHENTICATED", "PERMISSION_DENIED"}


def test_a_refusal_is_typed_and_names_what_is_missing(serve, keys_file, key):
    key("voices")
    with serve(authenticator=Authenticator(keys_file)) as server:
        with Client(server.address, retry=NO_RETRY) as client, pytest.raises(Unauthenticated, match="authorization"):
            client.list_voices()
        with (
            Client(server.address, api_key=key("speak"), retry=NO_RETRY) as client,
            pytest.raises(Unauthenticated, match="not known"),
        ):
            client.list_voices()  # the key came after the server had read the file


def test_the_caller_is_on_record_and_the_key_is_not(serve, keys_file, key, lines):
    one = key("speak")
    with serve(authenticator=Authenticator(keys_file)) as server, Client(server.address, api_key=one) as client:
        client.synthesize("Three small words", "narrator")
        with pytest.raises(PermissionDenied) as caught:
            client.load_voice("narrator")
    assert str(caught.value) == "'key-speak' may speak; this needs admin"
    assert one not in str(lines)
    assert not server.admin.residents
    assert {line["caller"] for line in lines if line["event"] == "rpc"} == {"key-speak"}


def test_health_is_open_and_reflection_needs_any_key(serve, keys_file, key):
    one = key("metrics")
    with serve(authenticator=Authenticator(keys_file)) as server:
        with Client(server.address) as client:
            assert client.health().serving
            assert client.voice_health("narrator").serving
        with grpc.insecure_channel(server.address) as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            asking = reflection_pb2.ServerReflectionRequest(list_services="")
            with pytest.raises(grpc.RpcError) as caught:
                list(stub.ServerReflectionInfo(iter([asking])))
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            (answer,) = stub.ServerReflectionInfo(iter([asking]), metadata=[bearer(one)])
            assert "voxswap.v1.SpeechService" in {service.name for service in answer.list_services_response.service}


def test_keys_are_rotated_while_the_server_runs(serve, keys_file, key, authority):
    old = key("speak")
    authenticator, changed = Authenticator(keys_file), asyncio.Event()
    tls = authority.server()
    with serve(authenticator=authenticator, tls=tls) as server:

        async def follow():
            server.task = asyncio.create_task(authenticator.follow(changed.set))
            await asyncio.sleep(0)  # now it watches

        async def stop():
            server.task.cancel()
            await asyncio.wait([server.task])

        def reaches(one):
            with Client(server.address, tls=authority.trusting(), api_key=one, retry=NO_RETRY) as client:
                try:
                    return bool(client.list_voices())
                except Unauthenticated:
                    return False

        def after_a_change():
            server.on_loop(changed.wait())
            server.call(changed.clear)

        server.on_loop(follow())
        assert reaches(old)
        new = create_key(keys_file, "next", [Scope.SPEAK])
        while not reaches(new):
            after_a_change()
        assert reaches(old)
        revoke_key(keys_file, "key-speak")
        while reaches(old):
            after_a_change()
        assert reaches(new)
        server.on_loop(stop())


def test_a_key_over_plain_text_is_the_callers_choice_but_tls_is_not_optional(serve, authority):
    with serve(tls=authority.server()) as server:
        with Client(server.address, tls=Tls(authority.file.read_bytes())) as client:
            assert client.health().serving
        assert asked(server.address, "unary_unary") == "UNAVAILABLE"
