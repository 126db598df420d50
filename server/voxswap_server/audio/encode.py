"""How samples become bytes, piece by piece: the table of encodings.

Knows nothing of requests, messages or text. What differs by encoding stands in `SPECS`; each family has one class below
`encoders/`. docs/AUDIO.md says what players make of each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from voxswap_server.audio.encoders import aac, flac, mp3, opus, raw, wav
from voxswap_server.audio.pcm import Samples
from voxswap_server.domain import AudioEncoding
from voxswap_server.errors import RequestError

ANY_RATE = range(8000, 48001)
"""Sampling rates in Hz of the encodings that do not care."""


class Encoder(Protocol):
    """One signal on its way into bytes. It belongs to one job, and is used by one thread at a time."""

    def push(self, samples: Samples) -> bytes:
        """Takes mono float32 `(n,)`, full scale at 1.0, and returns the bytes that are ready.

        The header, where the encoding has one, is at the start of the first answer. The bytes, joined, do not depend
        on how the signal is cut. Values beyond full scale are clipped, except in PCM_F32.
        """
        ...

    def finish(self) -> bytes:
        """Returns the rest. Nothing may be pushed after it."""
        ...


@dataclass(frozen=True, slots=True)
class EncodingSpec:
    """What an encoding is."""

    stream: Callable[[int], Encoder]
    """Makes an encoder, for a rate in Hz, whose bytes are played while they are made."""
    whole: Callable[[int], Encoder]
    """Makes one whose joined bytes are a file: lengths in its header are exact, where the format can say them."""
    rates_hz: Sequence[int]
    """Sampling rates that it takes."""
    frame_s: Callable[[int], float]
    """Longest piece, for a rate in Hz, that the codec gathers before it answers; 0 without a codec."""
    media_type: str


SPECS: Mapping[AudioEncoding, EncodingSpec] = MappingProxyType(
    {
        AudioEncoding.PCM_S16: EncodingSpec(raw.PcmS16, raw.PcmS16, ANY_RATE, raw.frame_s, "audio/L16"),
        AudioEncoding.PCM_F32: EncodingSpec(raw.PcmF32, raw.PcmF32, ANY_RATE, raw.frame_s, "audio/x-f32le"),
        AudioEncoding.MULAW: EncodingSpec(raw.MuLaw, raw.MuLaw, ANY_RATE, raw.frame_s, "audio/PCMU"),
        AudioEncoding.ALAW: EncodingSpec(raw.ALaw, raw.ALaw, ANY_RATE, raw.frame_s, "audio/PCMA"),
        AudioEncoding.WAV: EncodingSpec(wav.WavStream, wav.WavFile, ANY_RATE, raw.frame_s, "audio/wav"),
        AudioEncoding.FLAC: EncodingSpec(flac.FlacStream, flac.FlacFile, ANY_RATE, flac.frame_s, "audio/flac"),
        AudioEncoding.OGG_OPUS: EncodingSpec(opus.OggOpus, opus.OggOpus, opus.RATES_HZ, opus.frame_s, "audio/ogg"),
        AudioEncoding.MP3: EncodingSpec(mp3.Mp3Stream, mp3.Mp3File, mp3.RATES_HZ, mp3.frame_s, "audio/mpeg"),
        AudioEncoding.AAC: EncodingSpec(aac.Adts, aac.Adts, aac.RATES_HZ, aac.frame_s, "audio/aac"),
    }
)


def encoder(encoding: AudioEncoding, rate_hz: int, *, whole: bool = False) -> Encoder:
    """A new encoder for one signal.

    Args:
        encoding: what the bytes are.
        rate_hz: one of `SPECS[encoding].rates_hz`.
        whole: the bytes are joined to a file before anyone plays them (a unary answer), so its header can be exact.

    Raises:
        RequestError: the encoding does not have this rate.
    """
    spec = SPECS[encoding]
    choose_rate(encoding, rate_hz, asked_hz=rate_hz)
    return spec.whole(rate_hz) if whole else spec.stream(rate_hz)


def choose_rate(encoding: AudioEncoding, native_hz: int, *, asked_hz: int | None = None) -> int:
    """The rate of a stream: what is asked for; else the voice's own; else the next one above that the encoding has.

    Raises:
        RequestError: a rate was asked for that this encoding does not have.
    """
    rates = SPECS[encoding].rates_hz
    if asked_hz is not None:
        if asked_hz not in rates:
            raise RequestError(
                f"{encoding.value} has no sample rate of {asked_hz} Hz; choices: {_listed(rates)}",
                field="sample_rate_hz",
            )
        return asked_hz
    if native_hz in rates:
        return native_hz
    return min((rate for rate in rates if rate > native_hz), default=max(rates))


def _listed(rates: Sequence[int]) -> str:
    if isinstance(rates, range):
        return f"{rates[0]} to {rates[-1]}"
    return ", ".join(str(rate) for rate in sorted(rates))
