"""FLAC: lossless, 16 bits.

Knows nothing of the signal. In a stream the header says "number of samples unknown" (0) and has no checksum of the
signal, as the format allows; FFmpeg and browsers play on to the end, libsndfile wants to be read in blocks.
"""

from voxswap_server.audio.encoders.container import ContainerFile, ContainerStream, Recipe
from voxswap_server.audio.pcm import to_int16

FRAME_SAMPLES = 1024
"""32 ms at 32 kHz. FFmpeg's own choice (4608) would hold three times as much back to gain 2 % in size."""

_RECIPE = Recipe(
    codec="flac",
    container="flac",
    sample_format="s16",
    convert=to_int16,
    codec_options={"frame_size": str(FRAME_SAMPLES)},
    # FFmpeg would leave 8 KiB of room for tags, which a stream has to send.
    container_options={"metadata_header_padding": "0"},
)


def frame_s(rate_hz: int) -> float:
    return FRAME_SAMPLES / rate_hz


class FlacStream(ContainerStream):
    def __init__(self, rate_hz: int) -> None:
        super().__init__(_RECIPE, rate_hz)


class FlacFile(ContainerFile):
    def __init__(self, rate_hz: int) -> None:
        super().__init__(_RECIPE, rate_hz)
