"""Opus in Ogg pages (RFC 7845).

Knows nothing of the signal. The header tells players what to skip at the start, and the last page where the signal
ends, so the decoded length is exact; decoders answer at 48 kHz whatever the rate was.
"""

from voxswap_server.audio.encoders.container import ContainerStream, Recipe, clipped

RATES_HZ = (8000, 12000, 16000, 24000, 48000)
"""What the codec takes; a voice of another rate goes up to 48 kHz."""

FRAME_S = 0.02
BIT_RATE = 64000

_RECIPE = Recipe(
    codec="libopus",
    container="ogg",
    sample_format="flt",
    convert=clipped,
    codec_options={"b": str(BIT_RATE), "frame_duration": "20"},
    # One packet a page: 28 bytes more for every 20 ms, instead of a whole second held back.
    container_options={"page_duration": "20000"},
)


def frame_s(rate_hz: int) -> float:
    """The same at every rate."""
    del rate_hz
    return FRAME_S


class OggOpus(ContainerStream):
    """Stream and file are the same bytes: nothing in the header depends on the length."""

    def __init__(self, rate_hz: int) -> None:
        super().__init__(_RECIPE, rate_hz)
