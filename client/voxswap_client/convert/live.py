"""Live streams: inputs to messages, messages to events."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from voxswap.v1 import speech_service_pb2 as messages
from voxswap_client.convert import enums
from voxswap_client.convert.speech import EVENTS, to_config
from voxswap_client.live import (
    CancelUtterance,
    Flush,
    LiveEvent,
    LiveInput,
    Playhead,
    SetSpeakingRate,
    SwitchVoice,
    Text,
    UtteranceCancelled,
)
from voxswap_client.speech import SpeechOptions

Request = messages.StreamingSynthesizeRequest


def _switch(switch: SwitchVoice) -> Request:
    point: Any = enums.number(messages.SwitchPoint.DESCRIPTOR, "SWITCH_POINT", switch.at)
    return Request(
        switch_voice=messages.SwitchVoice(voice_id=switch.voice_id, at=point, crossfade_ms=switch.crossfade_ms)
    )


_INPUTS: Mapping[type, Callable[[Any], Request]] = {
    Text: lambda text: Request(text=messages.TextInput(text=text.text)),
    Flush: lambda _: Request(flush=messages.Flush()),
    SwitchVoice: _switch,
    SetSpeakingRate: lambda rate: Request(set_speaking_rate=messages.SetSpeakingRate(speaking_rate=rate.speaking_rate)),
    CancelUtterance: lambda _: Request(cancel_utterance=messages.CancelUtterance()),
    Playhead: lambda playhead: Request(playhead=messages.Playhead(sample=playhead.sample)),
}


def to_first(voice_id: str, options: SpeechOptions, max_ahead_s: float | None) -> Request:
    ahead_ms = None if max_ahead_s is None else round(1000 * max_ahead_s)
    return Request(config=messages.LiveConfig(speech_config=to_config(voice_id, options), max_ahead_ms=ahead_ms))


def to_request(given: LiveInput) -> Request:
    return _INPUTS[type(given)](given)


def from_cancelled(cancelled: messages.UtteranceCancelled) -> UtteranceCancelled:
    return UtteranceCancelled(
        heard_text=cancelled.heard_text,
        unheard_text=cancelled.unheard_text,
        heard_sample=cancelled.heard_sample,
        next_sample=cancelled.next_sample,
    )


_EVENTS: Mapping[str, Callable[[Any], LiveEvent]] = {**EVENTS, "utterance_cancelled": from_cancelled}


def from_event(response: messages.StreamingSynthesizeResponse) -> Sequence[LiveEvent]:
    """One event; none where only a newer server knows what it is."""
    field = response.WhichOneof("event")
    return (_EVENTS[field](getattr(response, field)),) if field else ()
