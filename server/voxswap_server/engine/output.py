"""The last metres of audio: gain, the asked rate, the asked encoding.

Knows nothing of where samples come from or go to. One instance serves one stream; its state is that stream's.
"""

from dataclasses import dataclass

from voxswap_server.audio.encode import choose_rate, encoder
from voxswap_server.audio.pcm import apply_gain
from voxswap_server.audio.resample import StreamResampler
from voxswap_server.domain import AudioFormat
from voxswap_server.engine.job import Samples


@dataclass(frozen=True, slots=True)
class Encoded:
    data: bytes
    samples: int
    """Output samples that went in for it."""


class OutputStream:
    """Samples at the voice's rate in, bytes out.

    Args:
        audio: what the request asked for.
        voice_rate_hz: rate of the samples that will be pushed.
        whole: nobody plays the bytes before they are all there, so a header may be exact.

    Raises:
        RequestError: the encoding does not have the asked rate.
    """

    def __init__(self, audio: AudioFormat, voice_rate_hz: int, *, whole: bool) -> None:
        self.voice_rate_hz = voice_rate_hz
        self.rate_hz = choose_rate(audio.encoding, voice_rate_hz, asked_hz=audio.sample_rate_hz)
        self._gain_db = audio.volume_gain_db
        self._resampler = StreamResampler(voice_rate_hz, self.rate_hz) if self.rate_hz != voice_rate_hz else None
        self._encoder = encoder(audio.encoding, self.rate_hz, whole=whole)

    def push(self, samples: Samples) -> Encoded:
        """Encodes what can be encoded of (n,) samples; a codec may keep some for its next frame."""
        louder = apply_gain(samples, self._gain_db)
        resampled = self._resampler.push(louder) if self._resampler else louder
        return Encoded(self._encoder.push(resampled), resampled.size)

    def finish(self) -> Encoded:
        """What the resampler and the codec still hold, and the end of the container."""
        tail = self._resampler.finish() if self._resampler else None
        if tail is None:
            return Encoded(self._encoder.finish(), 0)
        return Encoded(self._encoder.push(tail) + self._encoder.finish(), tail.size)
