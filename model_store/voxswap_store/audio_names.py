"""Which ending a file of audio gets, from its first bytes.

Knows nothing of decoding: a wrong guess costs nothing but a misleading name.
"""

from collections.abc import Mapping
from typing import Final

_ENDINGS: Final[Mapping[bytes, str]] = {
    b"fLaC": "flac",
    b"OggS": "ogg",
    b"ID3": "mp3",
    b"\xff\xfb": "mp3",
    b"\xff\xf3": "mp3",
    b"\xff\xf1": "aac",
    b"\x1aE\xdf\xa3": "webm",
    b"FORM": "aiff",
}


def ending_of(audio: bytes) -> str:
    """Such as "wav", without a dot; "bin" where the bytes look like nothing known."""
    if audio[:4] == b"RIFF" and audio[8:12] == b"WAVE":
        return "wav"
    if audio[4:8] == b"ftyp":
        return "m4a"
    return next((ending for magic, ending in _ENDINGS.items() if audio.startswith(magic)), "bin")
