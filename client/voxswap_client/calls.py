"""Every RPC once: what it sends, how its answer is read, whether it does harm twice.

Knows nothing of channels, threads or event loops; the sync and the async client carry these out.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from voxswap.v1 import model_admin_service_pb2 as admin
from voxswap.v1 import speech_service_pb2 as speech
from voxswap.v1 import voice_service_pb2 as voice
from voxswap_client.convert.live import from_event as from_live_event
from voxswap_client.convert.live import to_first, to_request
from voxswap_client.convert.residency import from_health, from_resident, from_stats, from_watch
from voxswap_client.convert.speech import from_event, from_synthesize, to_config
from voxswap_client.convert.voices import from_matches, from_voice, to_update
from voxswap_client.live import LiveEvent, LiveInput
from voxswap_client.residency import CacheStats, Health, Resident, ResidentEvent
from voxswap_client.speech import Speech, SpeechEvent, SpeechOptions
from voxswap_client.uploads import Upload
from voxswap_client.voices import NewVoice, SpeakerMatch, Voice, VoiceChanges

T = TypeVar("T")
Metadata = tuple[tuple[str, str], ...]

VOICE_SERVICE = "voxswap.v1.SpeechService/voice/"
"""Prefix of the health service's name of one voice."""

_PAGE_VOICES = 1000


@dataclass(frozen=True, slots=True)
class Rpc(Generic[T]):
    """One call of one method."""

    service: str
    method: str
    message: Message | Callable[[], Iterator[Message]]
    """What is sent; for a client stream, a maker of it, because each try sends it anew."""
    read: Callable[[Any], T]
    """A response message; of a stream, one message is any number of events."""
    idempotent: bool = True
    """May be sent again when nobody knows whether it arrived."""
    metadata: Metadata = ()


def _nothing(response: Any) -> None:
    del response


def _for_voice(voice_id: str) -> Metadata:
    """By which a proxy keeps the requests of a voice together."""
    return (("x-voice-id", voice_id),)


def synthesize(text: str, voice_id: str, options: SpeechOptions) -> Rpc[Speech]:
    message = speech.SynthesizeRequest(text=text, config=to_config(voice_id, options))
    return Rpc("SpeechService", "Synthesize", message, from_synthesize, metadata=_for_voice(voice_id))


def stream(text: str, voice_id: str, options: SpeechOptions) -> Rpc[Sequence[SpeechEvent]]:
    message = speech.SynthesizeStreamRequest(text=text, config=to_config(voice_id, options))
    return Rpc("SpeechService", "SynthesizeStream", message, from_event, metadata=_for_voice(voice_id))


def live(
    inputs: Iterable[LiveInput], voice_id: str, options: SpeechOptions, max_ahead_s: float | None
) -> Rpc[Sequence[LiveEvent]]:
    first = to_first(voice_id, options, max_ahead_s)
    return Rpc(
        "SpeechService",
        "StreamingSynthesize",
        lambda: chain([first], map(to_request, inputs)),
        from_live_event,
        metadata=_for_voice(voice_id),
    )


@dataclass(frozen=True, slots=True)
class Page:
    voices: tuple[Voice, ...]
    next_page_token: str


def list_voices(language_code: str, page_token: str) -> Rpc[Page]:
    message = voice.ListVoicesRequest(language_code=language_code, page_size=_PAGE_VOICES, page_token=page_token)
    return Rpc("VoiceService", "ListVoices", message, _page)


def _page(response: voice.ListVoicesResponse) -> Page:
    return Page(tuple(from_voice(found) for found in response.voices), response.next_page_token)


def get_voice(voice_id: str) -> Rpc[Voice]:
    message = voice.GetVoiceRequest(voice_id=voice_id)
    return Rpc("VoiceService", "GetVoice", message, lambda response: from_voice(response.voice))


def create_voice(new: NewVoice) -> Rpc[Voice]:
    return Rpc(
        "VoiceService",
        "CreateVoice",
        Upload(new).messages,
        lambda response: from_voice(response.voice),
        idempotent=False,
        metadata=_for_voice(new.voice_id),
    )


def update_voice(voice_id: str, changes: VoiceChanges) -> Rpc[Voice]:
    return Rpc("VoiceService", "UpdateVoice", to_update(voice_id, changes), lambda response: from_voice(response.voice))


def delete_voice(voice_id: str) -> Rpc[None]:
    # Not idempotent: sent twice, it would tell of a voice that is not there.
    message = voice.DeleteVoiceRequest(voice_id=voice_id)
    return Rpc("VoiceService", "DeleteVoice", message, _nothing, idempotent=False)


def embed_speaker(audio: bytes) -> Rpc[tuple[float, ...]]:
    message = voice.EmbedSpeakerRequest(audio_content=audio)
    return Rpc("VoiceService", "EmbedSpeaker", message, lambda response: tuple(response.embedding))


def compare_speakers(first: bytes, second: bytes) -> Rpc[float]:
    message = voice.CompareSpeakersRequest(first_audio_content=first, second_audio_content=second)
    return Rpc("VoiceService", "CompareSpeakers", message, lambda response: response.similarity)


def find_voices(audio: bytes, limit: int) -> Rpc[tuple[SpeakerMatch, ...]]:
    message = voice.FindVoicesRequest(audio_content=audio, limit=limit)
    return Rpc("VoiceService", "FindVoices", message, from_matches)


def load_voice(voice_id: str) -> Rpc[Resident]:
    message = admin.LoadVoiceRequest(voice_id=voice_id)
    return _admin("LoadVoice", message, lambda response: from_resident(response.resident), voice_id)


def unload_voice(voice_id: str, *, wait: bool) -> Rpc[None]:
    message = admin.UnloadVoiceRequest(voice_id=voice_id, wait=wait)
    return Rpc("ModelAdminService", "UnloadVoice", message, _nothing, idempotent=False, metadata=_for_voice(voice_id))


def pin_voice(voice_id: str) -> Rpc[Resident]:
    message = admin.PinVoiceRequest(voice_id=voice_id)
    return _admin("PinVoice", message, lambda response: from_resident(response.resident), voice_id)


def unpin_voice(voice_id: str) -> Rpc[Resident]:
    message = admin.UnpinVoiceRequest(voice_id=voice_id)
    return _admin("UnpinVoice", message, lambda response: from_resident(response.resident), voice_id)


def list_residents() -> Rpc[tuple[Resident, ...]]:
    return _admin(
        "ListResidents",
        admin.ListResidentsRequest(),
        lambda response: tuple(from_resident(resident) for resident in response.residents),
    )


def watch_residents() -> Rpc[Sequence[ResidentEvent]]:
    return _admin("WatchResidents", admin.WatchResidentsRequest(), from_watch)


def cache_stats() -> Rpc[CacheStats]:
    return _admin("GetCacheStats", admin.GetCacheStatsRequest(), from_stats)


def health(service: str) -> Rpc[Health]:
    message = health_pb2.HealthCheckRequest(service=service)
    return Rpc("Health", "Check", message, lambda response: from_health(service, response))


def unknown_service(service: str) -> Health:
    """What NOT_FOUND of the health service means."""
    return Health(service, "service_unknown")


def _admin(method: str, message: Message, read: Callable[[Any], T], voice_id: str = "") -> Rpc[T]:
    return Rpc("ModelAdminService", method, message, read, metadata=_for_voice(voice_id) if voice_id else ())
