"""How the samples of an answer become bytes.

Knows nothing of the codecs that do it, nor which rates a voice or a codec allows.
"""

from dataclasses import dataclass
from enum import StrEnum


class AudioEncoding(StrEnum):
    """How samples become bytes. PCM, µ-law and A-law have no header; the others have one, in the first chunk."""

    PCM_S16 = "pcm_s16"
    PCM_F32 = "pcm_f32"
    WAV = "wav"
    FLAC = "flac"
    OGG_OPUS = "ogg_opus"
    MP3 = "mp3"
    MULAW = "mulaw"
    ALAW = "alaw"
    AAC = "aac"


@dataclass(frozen=True, slots=True)
class AudioFormat:
    encoding: AudioEncoding = AudioEncoding.PCM_S16
    sample_rate_hz: int | None = None
    """None: the voice's own rate."""
    volume_gain_db: float = 0.0
