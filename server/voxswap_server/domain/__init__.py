"""What crosses the layers: frozen values and small protocols.

Knows nothing of torch, gRPC or files. The transports speak to the engine only through the protocols here, so either
side can be replaced by a fake in a test. Units end the name; a field without one has none.
"""

from voxswap_server.domain.audio import AudioEncoding, AudioFormat
from voxswap_server.domain.request import Prompt, SamplingParams, SynthesisRequest
from voxswap_server.domain.residency import CacheStats, ModelAdmin, Resident, ResidentEvent
from voxswap_server.domain.speakers import SpeakerEmbedder, SpeakerMatch
from voxswap_server.domain.synthesis import (
    AudioChunk,
    CacheState,
    Notice,
    StreamStarted,
    SynthesisDone,
    SynthesisEvent,
    Synthesizer,
)
from voxswap_server.domain.text import CutMethod, Language, LanguageMode, PhoneticEncoding, Pronunciation
from voxswap_server.domain.timestamps import Timestamp, TimestampKind, Timestamps
from voxswap_server.domain.voices import VoiceChanges, VoiceInfo, VoiceLibrary, VoiceUpload

__all__ = [
    "AudioChunk",
    "AudioEncoding",
    "AudioFormat",
    "CacheState",
    "CacheStats",
    "CutMethod",
    "Language",
    "LanguageMode",
    "ModelAdmin",
    "Notice",
    "PhoneticEncoding",
    "Prompt",
    "Pronunciation",
    "Resident",
    "ResidentEvent",
    "SamplingParams",
    "SpeakerEmbedder",
    "SpeakerMatch",
    "StreamStarted",
    "SynthesisDone",
    "SynthesisEvent",
    "SynthesisRequest",
    "Synthesizer",
    "Timestamp",
    "TimestampKind",
    "Timestamps",
    "VoiceChanges",
    "VoiceInfo",
    "VoiceLibrary",
    "VoiceUpload",
]
