"""Which call needs which scope."""

import pytest

from voxswap.v1 import model_admin_service_pb2, speech_service_pb2, voice_service_pb2
from voxswap_server.auth import Authenticator, Scope
from voxswap_server.auth.keys import Certificate, Keys, create_key, formatted
from voxswap_server.errors import PermissionDenied, Unauthenticated
from voxswap_server.rpc.guard import NEEDS, Guard

METHODS = {
    f"{service.full_name}/{method.name}"
    for module in (speech_service_pb2, voice_service_pb2, model_admin_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
PROBE = "grpc.health.v1.Health/Check"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
ANOTHER = "voxswap.v1.SpeechService/Sing"


class Context:
    """Of a gRPC call: what the guard looks at."""

    def __init__(self, key="", certificate=None):
        self._metadata = (("authorization", f"Bearer {key}"), ("x-noise-bin", b"\xff")) if key else None
        self._facts = {"x509_subject_alternative_name": [certificate]} if certificate else {}

    def invocation_metadata(self):
        return self._metadata

    def auth_context(self):
        return self._facts


@pytest.fixture
def keys(tmp_path):
    return {scope: create_key(tmp_path / "keys.toml", scope, [scope]) for scope in Scope}


@pytest.fixture
def guard(tmp_path, keys):
    return Guard(Authenticator(tmp_path / "keys.toml"))


def outcome(guard, method, context):
    try:
        principal = guard.admit(method, context)
    except (PermissionDenied, Unauthenticated) as error:
        return type(error)
    return principal and principal.name


def test_the_table_has_every_method_and_no_other():
    assert NEEDS.keys() == METHODS


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_method_opens_with_each_of_its_scopes_and_with_no_other(guard, keys, method):
    for scope, key in keys.items():
        expected = str(scope) if scope in NEEDS[method] else PermissionDenied
        assert outcome(guard, method, Context(key)) == expected
    for context in (Context(), Context("voxswap_guess"), Context(certificate=b"panel")):
        assert outcome(guard, method, context) is Unauthenticated


def test_probes_are_open_reflection_is_for_the_known_and_a_new_method_is_shut(guard, keys):
    assert outcome(guard, PROBE, Context()) is None
    assert outcome(guard, REFLECTION, Context()) is Unauthenticated
    assert outcome(guard, ANOTHER, Context()) is Unauthenticated
    for scope, key in keys.items():
        assert outcome(guard, REFLECTION, Context(key)) == scope
        assert outcome(guard, ANOTHER, Context(key)) is PermissionDenied


def test_without_keys_everything_is_open():
    for method in (*METHODS, REFLECTION, ANOTHER):
        assert outcome(Guard(Authenticator()), method, Context()) == "anonymous"


def test_a_certificate_speaks_for_itself(tmp_path):
    mixer = Certificate(name="mixer.studio", scopes=frozenset({Scope.ADMIN}))
    (tmp_path / "keys.toml").write_text(formatted(Keys(certificates=(mixer,))))
    guard = Guard(Authenticator(tmp_path / "keys.toml"))
    assert outcome(guard, "voxswap.v1.ModelAdminService/LoadVoice", Context(certificate=b"mixer.studio"))
    assert outcome(guard, "voxswap.v1.SpeechService/Synthesize", Context(certificate=b"mixer.studio")) is (
        PermissionDenied
    )
