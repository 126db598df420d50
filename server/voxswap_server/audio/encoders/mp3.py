"""MP3 by LAME, constant bit rate.

Knows nothing of the signal. A decoder of MP3 is 529 samples late, and LAME another 576, and only an Info frame at the
start of a *finished* file can say so. `Mp3File` has one, and decodes to its exact length. `Mp3Stream` cannot, so it
leaves out the frames that hold nothing but delay.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.packet import Packet
from numpy.typing import NDArray

from voxswap_server.audio.encoders.container import ContainerFile, Recipe, clipped, frame
from voxswap_server.audio.encoders.framing import Framer
from voxswap_server.audio.pcm import Samples

RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)

LEAD_SAMPLES = 576
"""How late the signal is in a decoded stream: 18 ms of silence at 32 kHz."""

_CODEC_DELAY_SAMPLES = 576 + 529
_SAMPLE_FORMAT = "fltp"
# LAME scales its input by this against overshoot; undone, so that every encoding is equally loud.
_LAME_SCALE = 0.95


def _scaled(samples: Samples) -> NDArray[np.float32]:
    return clipped(samples) / np.float32(_LAME_SCALE)


@dataclass(frozen=True, slots=True)
class _Layer:
    """What differs between MPEG-1 and MPEG-2 (and 2.5)."""

    frame_samples: int
    bit_rate: int
    """Bits per second: transparent for one voice."""


_MPEG_1 = _Layer(frame_samples=1152, bit_rate=96000)
_MPEG_2 = _Layer(frame_samples=576, bit_rate=64000)
_LAYERS = {rate_hz: _MPEG_1 if rate_hz >= 32000 else _MPEG_2 for rate_hz in RATES_HZ}


def _codec_options(rate_hz: int) -> dict[str, str]:
    """No bit reservoir: each frame stands alone, so a stream may begin after any of them."""
    return {"b": str(_LAYERS[rate_hz].bit_rate), "reservoir": "0"}


def frame_s(rate_hz: int) -> float:
    return _LAYERS[rate_hz].frame_samples / rate_hz


class Mp3File(ContainerFile):
    def __init__(self, rate_hz: int) -> None:
        recipe = Recipe(
            codec="libmp3lame",
            container="mp3",
            sample_format=_SAMPLE_FORMAT,
            convert=_scaled,
            codec_options=_codec_options(rate_hz),
            container_options={"id3v2_version": "0"},
        )
        super().__init__(recipe, rate_hz)


class Mp3Stream:
    """As many frames as the signal fills, so the decoded length is the signal's, rounded up to a frame.

    Silence goes ahead of the signal, so that it, LAME's delay and the decoder's are a frame and `LEAD_SAMPLES`. That
    frame is left out. The lead stays: a decoder needs the half frame before a sound to make the sound whole. Frames at
    the end that would exceed the length are left out too, and with them at most `LEAD_SAMPLES` of the signal, which are
    silent where an utterance is followed by a pause.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._frame_samples = _LAYERS[rate_hz].frame_samples
        self._codec = av.CodecContext.create("libmp3lame", "w")
        self._codec.sample_rate = rate_hz
        self._codec.layout = "mono"
        self._codec.format = _SAMPLE_FORMAT
        self._codec.options = _codec_options(rate_hz)
        self._framer = Framer(self._frame_samples)
        self._ahead = np.zeros(self._frame_samples + LEAD_SAMPLES - _CODEC_DELAY_SAMPLES, np.float32)
        self._signal_samples = 0
        self._fed_samples = 0
        self._frames_made = 0

    def push(self, samples: Samples) -> bytes:
        ahead, self._ahead = self._ahead, self._ahead[:0]
        self._signal_samples += samples.size
        return b"".join(self._encode(self._framer.push(np.concatenate([ahead, samples]))))

    def finish(self) -> bytes:
        sent = max(0, self._frames_made - 1)
        rest = [*self._encode(self._framer.finish()), *self._kept(self._codec.encode(None))]
        wanted = -(-self._signal_samples // self._frame_samples)
        return b"".join(rest[: wanted - sent])

    def _encode(self, pieces: Iterable[Samples]) -> Iterator[bytes]:
        for piece in pieces:
            fed = frame(_scaled(piece), _SAMPLE_FORMAT, self._rate_hz, self._fed_samples)
            self._fed_samples += piece.size
            yield from self._kept(self._codec.encode(fed))

    def _kept(self, packets: Iterable["Packet[Any]"]) -> Iterator[bytes]:
        """All frames but the first."""
        for packet in packets:
            self._frames_made += 1
            if self._frames_made > 1:
                yield bytes(packet)
