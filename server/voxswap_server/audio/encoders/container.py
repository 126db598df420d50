"""A codec and a container of FFmpeg, fed with numpy arrays, writing to memory only.

Knows nothing of any one codec: `Recipe` says what one needs.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from voxswap_server.audio.encoders.framing import Framer
from voxswap_server.audio.pcm import Samples

# No clock, version or random serial number in the file, so that equal signals are equal bytes; and no waiting for a
# full buffer.
_MUXER = {"fflags": "+bitexact", "flush_packets": "1"}
_CODEC = {"flags": "+bitexact"}


def clipped(samples: Samples) -> NDArray[np.float32]:
    """Float codecs clip nothing by themselves, and a decoder that makes integers may wrap around."""
    return np.clip(np.asarray(samples, np.float32), -1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How FFmpeg makes one encoding."""

    codec: str
    container: str
    sample_format: str
    """FFmpeg's name of what the codec takes: s16 (packed int16), flt and fltp (float)."""
    convert: Callable[[Samples], NDArray[Any]]
    codec_options: Mapping[str, str]
    container_options: Mapping[str, str]


def frame(samples: NDArray[Any], sample_format: str, rate_hz: int, start_sample: int) -> av.AudioFrame:
    """One FFmpeg frame of mono samples `(n,)`."""
    made = av.AudioFrame.from_ndarray(samples[np.newaxis], format=sample_format, layout="mono")
    made.sample_rate = rate_hz
    made.pts = start_sample
    return made


class Pipe:
    """A file that can only be written on; it does not remember what was taken from it."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


class ContainerStream:
    """Bytes as soon as codec and container let them go; lengths in the header are unknown."""

    def __init__(self, recipe: Recipe, rate_hz: int) -> None:
        self._pipe = Pipe()
        self._muxer = _Muxer(recipe, rate_hz, self._pipe)

    def push(self, samples: Samples) -> bytes:
        self._muxer.push(samples)
        return self._pipe.take()

    def finish(self) -> bytes:
        self._muxer.finish()
        return self._pipe.take()


class ContainerFile:
    """All bytes at the end: FFmpeg goes back and writes the exact lengths into the header."""

    def __init__(self, recipe: Recipe, rate_hz: int) -> None:
        self._file = io.BytesIO()
        self._muxer = _Muxer(recipe, rate_hz, self._file)

    def push(self, samples: Samples) -> bytes:
        self._muxer.push(samples)
        return b""

    def finish(self) -> bytes:
        self._muxer.finish()
        return self._file.getvalue()


class _Muxer:
    def __init__(self, recipe: Recipe, rate_hz: int, sink: Pipe | io.BytesIO) -> None:
        self._recipe = recipe
        self._rate_hz = rate_hz
        self._container = av.open(sink, "w", format=recipe.container, options={**_MUXER, **recipe.container_options})
        options = {**_CODEC, **recipe.codec_options}
        self._stream = cast("AudioStream", self._container.add_stream(recipe.codec, rate=rate_hz, options=options))
        self._stream.layout = "mono"
        self._stream.format = recipe.sample_format
        self._container.start_encoding()  # opens the codec and writes the header
        self._framer = Framer(self._stream.codec_context.frame_size)
        self._encoded_samples = 0

    def push(self, samples: Samples) -> None:
        for piece in self._framer.push(samples):
            self._encode(piece)

    def finish(self) -> None:
        for piece in self._framer.finish():
            self._encode(piece)
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def _encode(self, piece: Samples) -> None:
        recipe = self._recipe
        made = frame(recipe.convert(piece), recipe.sample_format, self._rate_hz, self._encoded_samples)
        self._encoded_samples += piece.size
        self._container.mux(self._stream.encode(made))
