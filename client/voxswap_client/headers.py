"""The length in the header of a file, where the audio came as a stream and its header could not know it.

Knows nothing of streams. A header says nothing of it where the file is raw (PCM, µ-law, A-law); the codecs that cut a
stream into frames (Ogg-Opus, MP3, AAC) do without.
"""

import os
from collections.abc import Callable, Mapping
from typing import BinaryIO

from voxswap_client.speech import AudioEncoding

_WAV_HEADER_BYTES = 44
_FLAC_TOTAL_AT = 18
_FLAC_TOTAL_BITS = 36


def complete_header(file: BinaryIO, encoding: AudioEncoding, samples: int) -> None:
    """Puts the length into the header of a file to which a whole stream was written as it came.

    Players that seek want it; libsndfile reads no FLAC without it.

    Args:
        file: open for reading and writing, from its beginning; what cannot seek (a pipe) stays as it is.
        encoding: of the stream.
        samples: in it, as `SynthesisDone` tells.
    """
    complete = _COMPLETE.get(encoding)
    if complete is not None and file.seekable():
        complete(file, samples)


def _complete_wav(file: BinaryIO, samples: int) -> None:
    """Puts the two lengths of a header of 44 bytes that did not know them."""
    del samples
    data_bytes = file.seek(0, os.SEEK_END) - _WAV_HEADER_BYTES
    for offset, value in ((4, data_bytes + _WAV_HEADER_BYTES - 8), (40, data_bytes)):
        file.seek(offset)
        file.write(min(value, 0xFFFFFFFF).to_bytes(4, "little"))


def _complete_flac(file: BinaryIO, samples: int) -> None:
    """Puts the number of samples into STREAMINFO: the low 36 of the 64 bits that also hold rate, channels and width."""
    file.seek(_FLAC_TOTAL_AT)
    bits = int.from_bytes(file.read(8), "big") >> _FLAC_TOTAL_BITS << _FLAC_TOTAL_BITS
    file.seek(_FLAC_TOTAL_AT)
    file.write((bits | samples).to_bytes(8, "big"))


_COMPLETE: Mapping[AudioEncoding, Callable[[BinaryIO, int], None]] = {
    AudioEncoding.WAV: _complete_wav,
    AudioEncoding.FLAC: _complete_flac,
}
