"""AAC-LC in ADTS frames, each of which says what it is, so a player may begin anywhere.

Knows nothing of the signal. Nothing in ADTS can say how late the codec is, so what is decoded is one frame late, and as
long as whole frames are.
"""

from voxswap_server.audio.encoders.container import ContainerStream, Recipe, clipped

RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
FRAME_SAMPLES = 1024
LEAD_SAMPLES = 1024
"""How late the signal is when it is decoded: 32 ms of silence at 32 kHz."""
BIT_RATE = 96000


def frame_s(rate_hz: int) -> float:
    """A frame, and the one before it that it overlaps."""
    return 2 * FRAME_SAMPLES / rate_hz


class Adts(ContainerStream):
    """Stream and file are the same bytes: there is no header but that of each frame."""

    def __init__(self, rate_hz: int) -> None:
        # A frame cannot hold more than 6 bits for each of its samples.
        bit_rate = min(BIT_RATE, 6 * rate_hz)
        super().__init__(Recipe("aac", "adts", "fltp", clipped, {"b": str(bit_rate)}, {}), rate_hz)
