"""Which scope each method needs, and who a caller is.

Knows nothing of what methods do. A method that stands in no row is refused to everyone while keys are asked for: a new
RPC is shut until somebody says who may call it.
"""

from collections.abc import Mapping

from voxswap_server.auth import Authenticator, Principal, Scope, credentials_of
from voxswap_server.errors import PermissionDenied
from voxswap_server.logs import annotate
from voxswap_server.rpc.calls import Context

PROBES = "grpc.health."
"""Open to all: balancers and orchestrators have no keys, and the answers are yes and no."""
REFLECTION = "grpc.reflection."
"""Open to whoever has any key."""

_READING = (Scope.SPEAK, Scope.VOICES)
_WATCHING = (Scope.METRICS, Scope.ADMIN)

NEEDS: Mapping[str, tuple[Scope, ...]] = {
    f"voxswap.v1.{method}": scopes
    for method, scopes in {
        "SpeechService/Synthesize": (Scope.SPEAK,),
        "SpeechService/SynthesizeStream": (Scope.SPEAK,),
        "SpeechService/StreamingSynthesize": (Scope.SPEAK,),
        "VoiceService/ListVoices": _READING,
        "VoiceService/GetVoice": _READING,
        "VoiceService/CreateVoice": (Scope.VOICES,),
        "VoiceService/UpdateVoice": (Scope.VOICES,),
        "VoiceService/DeleteVoice": (Scope.VOICES,),
        "VoiceService/EmbedSpeaker": (Scope.VOICES,),
        "VoiceService/CompareSpeakers": (Scope.VOICES,),
        "VoiceService/FindVoices": (Scope.VOICES,),
        "ModelAdminService/LoadVoice": (Scope.ADMIN,),
        "ModelAdminService/UnloadVoice": (Scope.ADMIN,),
        "ModelAdminService/PinVoice": (Scope.ADMIN,),
        "ModelAdminService/UnpinVoice": (Scope.ADMIN,),
        "ModelAdminService/ListResidents": _WATCHING,
        "ModelAdminService/WatchResidents": _WATCHING,
        "ModelAdminService/GetCacheStats": _WATCHING,
    }.items()
}
"""Method -> scopes, any one of which will do."""

_NAMES = ("x509_subject_alternative_name", "x509_common_name")


class Guard:
    """Lets calls in, or does not."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    def admit(self, method: str, context: Context) -> Principal | None:
        """Who calls; None for a probe.

        Raises:
            Unauthenticated: the caller is not known.
            PermissionDenied: the caller may not.
        """
        if method.startswith(PROBES):
            return None
        headers = ((key, value) for key, value in context.invocation_metadata() or () if isinstance(value, str))
        shown = credentials_of(headers, _certificate_names(context))
        principal = self._authenticator.identify(shown)
        if self._authenticator.asks:
            annotate(caller=principal.name)  # also of those who may not
            principal.require(*NEEDS.get(method, ()))
            if method not in NEEDS and not method.startswith(REFLECTION):
                raise PermissionDenied(principal.name, has=sorted(principal.scopes), needs=["a scope yet to be named"])
        return principal


def _certificate_names(context: Context) -> list[str]:
    facts = context.auth_context()
    return [name.decode("utf-8", "replace") for field in _NAMES for name in facts.get(field, ())]
