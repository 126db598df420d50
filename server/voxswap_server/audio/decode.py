"""Bytes of an audio file become samples.

Knows nothing of what the audio is for: rules about its length as reference audio live with the networks. The bytes come
from strangers, so nothing here opens a path or a URL (playlists and other formats that name further files are not on
the list), sizes are bounded before memory is spent on them, and every failure is `BadReferenceAudio`.
"""

import io
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from voxswap_server.audio.truncation import missing_bytes
from voxswap_server.errors import BadReferenceAudio

MAX_CHANNELS = 8
RATES_HZ = range(4000, 192001)

_LIBRARY_ERRORS = (soundfile.SoundFileError, av.FFmpegError, ValueError)
_BLOCK_FRAMES = 65536
# libsndfile answers the largest number there is where a header does not know the length.
_UNKNOWN_FRAMES = 2**40

# First bytes of what libsndfile is asked about. It would take more, but guesses some formats from next to nothing.
_LIBSNDFILE_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b"fLaC", b"OggS", b"caff", b".snd")

# Self-contained audio and audio-visual containers. Playlists (hls, concat, dash, sdp, …) would make FFmpeg open others.
_FFMPEG_FORMATS = (
    "wav", "w64", "aiff", "au", "caf", "flac", "ogg", "mp3", "aac", "ac3", "eac3", "amr", "asf", "matroska,webm",
    "mov,mp4,m4a,3gp,3g2,mj2", "wv", "tta", "ape",
)  # fmt: skip
_FFMPEG_OPTIONS: Mapping[str, str] = MappingProxyType(
    {"format_whitelist": ",".join(_FFMPEG_FORMATS), "protocol_whitelist": "none"}
)
# Containers that state the length of their audio exactly; others let FFmpeg guess it from the bit rate.
_EXACT_DURATION_FORMATS = frozenset({"flac", "mov,mp4,m4a,3gp,3g2,mj2"})
_DURATION_TOLERANCE_S = 0.25


@dataclass(frozen=True, slots=True)
class Decoded:
    """Audio of a file at its own rate."""

    samples: NDArray[np.float32]
    """`(n, channels)`, full scale at 1.0; n and channels are at least 1, all values are finite."""
    rate_hz: int


class _DamagedError(Exception):
    """A library gave up within the audio."""

    def __init__(self, good_s: float) -> None:
        super().__init__()
        self.good_s = good_s


@dataclass(frozen=True, slots=True)
class _Signal:
    """What a library says that the file holds, before its samples are read."""

    rate_hz: int
    channels: int
    stated_s: float | None
    """Length by the header; None where it has none."""
    blocks: Iterator[NDArray[np.float32]]
    """`(frames, channels)`."""


def decode(data: bytes, *, max_s: float, max_bytes: int) -> Decoded:
    """Reads a whole file in any container that libsndfile or FFmpeg reads.

    Args:
        data: the file.
        max_s: longest audio that is accepted, in seconds.
        max_bytes: largest file that is accepted.

    Raises:
        BadReferenceAudio: empty, too large, too long, truncated, without audio, not audio at all, or not finite.
    """
    if not data:
        raise BadReferenceAudio("the audio is empty: 0 bytes")
    if len(data) > max_bytes:
        raise BadReferenceAudio(f"the audio has {len(data)} bytes; at most {max_bytes} are accepted")
    if missing := missing_bytes(data):
        raise BadReferenceAudio(f"the audio is truncated: its header announces {missing} bytes more than there are")
    problem = BadReferenceAudio("the bytes are not an audio file that libsndfile or FFmpeg can read")
    for read in _readers(data):
        try:
            return _collect(read(data), max_s)
        except _DamagedError as damaged:
            problem = BadReferenceAudio(f"the audio is damaged or truncated after {damaged.good_s:.2f} s")
            problem.__cause__ = damaged.__cause__
        except _LIBRARY_ERRORS as unreadable:
            # Neither library's text reaches the caller: it speaks of file objects and codec internals.
            problem.__cause__ = unreadable
    raise problem


def _readers(data: bytes) -> list[Callable[[bytes], _Signal]]:
    known = data.startswith(_LIBSNDFILE_MAGIC)
    return [_read_libsndfile, _read_ffmpeg] if known else [_read_ffmpeg]


def _collect(signal: _Signal, max_s: float) -> Decoded:
    """Reads all blocks, but not more than `max_s`."""
    if signal.rate_hz not in RATES_HZ:
        raise BadReferenceAudio(
            f"the audio has a sample rate of {signal.rate_hz} Hz; {RATES_HZ[0]} to {RATES_HZ[-1]} are accepted"
        )
    if not 1 <= signal.channels <= MAX_CHANNELS:
        raise BadReferenceAudio(f"the audio has {signal.channels} channels; 1 to {MAX_CHANNELS} are accepted")
    limit_frames = math.floor(max_s * signal.rate_hz)
    blocks: list[NDArray[np.float32]] = []
    frames = 0
    try:
        for block in signal.blocks:
            blocks.append(block)
            frames += len(block)
            if frames > limit_frames:
                raise BadReferenceAudio(f"the audio is longer than {max_s:g} s")
    except _LIBRARY_ERRORS as broken:
        if frames:
            raise _DamagedError(frames / signal.rate_hz) from broken
        raise
    if frames == 0:
        raise BadReferenceAudio("the file has no audio in it: 0 samples")
    decoded_s = frames / signal.rate_hz
    if signal.stated_s is not None and decoded_s + _DURATION_TOLERANCE_S < signal.stated_s:
        raise BadReferenceAudio(
            f"the audio is truncated: {decoded_s:.2f} s can be read of the {signal.stated_s:.2f} s it announces"
        )
    samples = np.concatenate(blocks)
    if not np.isfinite(samples).all():
        raise BadReferenceAudio("the audio has samples that are not numbers (NaN or infinite)")
    return Decoded(samples, signal.rate_hz)


class _Clip(io.BytesIO):
    """Bytes whose `seek` cannot fail: libsndfile calls it from C, where an exception is printed and lost.

    A damaged header asks for places outside of the file; it gets the nearest one, sees so, and gives up.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        size = self.getbuffer().nbytes
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: size}[whence]
        return super().seek(min(max(0, base + offset), size))


def _read_libsndfile(data: bytes) -> _Signal:
    file = soundfile.SoundFile(_Clip(data))
    if file.frames == 0:
        raise ValueError("libsndfile takes a length of 0, as some streams have, at its word; FFmpeg reads on")
    stated_s = file.frames / file.samplerate if file.frames < _UNKNOWN_FRAMES else None
    return _Signal(file.samplerate, file.channels, stated_s, _libsndfile_blocks(file))


def _libsndfile_blocks(file: soundfile.SoundFile) -> Iterator[NDArray[np.float32]]:
    with file:
        while True:
            block = file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)
            if not len(block):
                return
            yield block


def _read_ffmpeg(data: bytes) -> _Signal:
    container = av.open(io.BytesIO(data), "r", options=dict(_FFMPEG_OPTIONS), metadata_errors="replace")
    if not container.streams.audio:
        raise BadReferenceAudio("the file has no audio in it: no audio stream")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise ValueError("FFmpeg knows the container, but not the codec")
    stated_s = None
    if container.format.name in _EXACT_DURATION_FORMATS and stream.duration and stream.time_base:
        stated_s = float(stream.duration * stream.time_base)
    return _Signal(stream.rate, stream.channels, stated_s, _ffmpeg_blocks(container, stream.rate))


def _ffmpeg_blocks(container: av.container.InputContainer, rate_hz: int) -> Iterator[NDArray[np.float32]]:
    to_float = av.AudioResampler(format="fltp")
    with container:
        for packed in container.decode(audio=0):
            if packed.sample_rate != rate_hz:
                raise ValueError("the sample rate changes within the file")
            for frame in to_float.resample(packed):
                yield np.ascontiguousarray(frame.to_ndarray().T)
        for frame in to_float.resample(None):
            yield np.ascontiguousarray(frame.to_ndarray().T)
