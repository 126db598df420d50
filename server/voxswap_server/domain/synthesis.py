"""What comes back of a request, in the order in which it comes, and who answers it.

Knows nothing of how speech is made, nor of the transport that brings it.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from voxswap_server.domain.audio import AudioEncoding
from voxswap_server.domain.request import SynthesisRequest
from voxswap_server.domain.timestamps import Timestamps


class CacheState(StrEnum):
    """Where a voice was when its request came."""

    DEVICE = "device"
    HOST = "host"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class StreamStarted:
    request_id: str
    voice_id: str
    encoding: AudioEncoding
    sample_rate_hz: int
    channels: int
    model_generation: int
    cache_state: CacheState
    load_ms: float
    seed: int


@dataclass(frozen=True, slots=True)
class AudioChunk:
    data: bytes
    start_sample: int
    """Offset in output samples of the first sample of this chunk."""
    samples: int
    """How many output samples it stands for; 0 where a codec only flushes."""
    sequence: int


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the caller should know that is not a failure (the proto's Warning)."""

    code: str
    """Stable name for programs, such as "ASSET_MISSING"."""
    message: str


@dataclass(frozen=True, slots=True)
class SynthesisDone:
    samples: int
    ttfa_ms: float
    rtf: float
    """Synthesis seconds per second of audio; below 1 is faster than real time."""
    underrun_ms: float
    queue_ms: float
    utterances: int = 0
    semantic_tokens: int = 0
    retried_utterances: int = 0
    """Spoken a second time, with another seed, because the first was not fit to be heard."""


SynthesisEvent = StreamStarted | AudioChunk | Timestamps | Notice | SynthesisDone


class Synthesizer(Protocol):
    """Speaks a request."""

    def synthesize(self, request: SynthesisRequest) -> AsyncGenerator[SynthesisEvent, None]:
        """Yields StreamStarted, then chunks, timestamps and notices, then SynthesisDone.

        Closing the iterator (`aclose`, or cancelling the task that reads it) frees the job's slot at its next step.

        Raises:
            VoxswapError: any class of `errors`; never silence, never another voice.
        """
        ...
