"""Reference audio to what the networks want of it: resampled waves, spectrogram, mel, and their encodings (SPEC §3).

Knows nothing of files: samples come decoded. Knows nothing of voices: all of it depends on the audio and the version
only, so it is cached under the hash of the audio.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torchaudio.functional import melscale_fbanks
from torchaudio.transforms import Resample

from voxswap_server.errors import BadReferenceAudio
from voxswap_server.nn.specs import MelSpec, VersionSpec

CONTENT_RATE_HZ = 16_000
SPECTRUM_RATE_HZ = 32_000
SHORTEST_S = 3.0
LONGEST_S = 10.0
SHORTEST_AUXILIARY_S = 0.1
"""Upstream has no rule for auxiliary references; below this there is no frame to analyse."""

_TAIL_SAMPLES = 9_600
"""Silence after the content wave. Upstream counts 0.3 s at 32 kHz and appends them at 16 kHz, so it is 0.6 s."""
FFT_SAMPLES, HOP_SAMPLES = 2048, 640
"""Of the spectrogram."""
_LOUDEST_MEL, _QUIETEST_MEL = 2.0, -12.0

Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class ReferenceFeatures:
    """One reference, encoded. Depends on the audio, the shared networks and the version's row of the table only."""

    spectrum: Tensor
    """(1, 1025, F)"""
    content: Tensor | None = None
    """HuBERT's features (1, 768, T); None of an auxiliary reference, of which only the timbre counts."""
    speaker_vector: Tensor | None = None
    """ERes2NetV2's (1, 20480), where the version takes it."""
    mel: Tensor | None = None
    """(1, bands, F), scaled to -1..1, where the version takes it."""

    @property
    def nbytes(self) -> int:
        parts = (self.spectrum, self.content, self.speaker_vector, self.mel)
        return sum(part.nbytes for part in parts if part is not None)


def encode_reference(
    samples: NDArray[np.float32],
    rate_hz: int,
    spec: VersionSpec,
    *,
    content: Network | None,
    speaker_vector: Network | None = None,
) -> ReferenceFeatures:
    """Everything that a version's decoder asks of one reference.

    Args:
        samples: (n, channels), as decoded; more than one channel is mixed down by the mean. (Upstream fails on more
            than two; the mean is what it does to two, and what its other path does to any number.)
        rate_hz: of the samples.
        spec: whose needs count.
        content: `ContentEncoder.features`; None for an auxiliary reference.
        speaker_vector: `SpeakerVectorNet.vector`, where `spec.speaker_vector` is set.

    Raises:
        BadReferenceAudio: it is too short or too long (the message has the measured length), or holds no numbers.
    """
    mono = mix_down(samples)
    features = content(content_wave(mono, rate_hz)) if content else None
    require_timbre(mono, rate_hz)
    wave = timbre_wave(mono, rate_hz)
    vector = None
    if spec.speaker_vector:
        if speaker_vector is None:
            raise ValueError(f"{spec.version} needs a speaker vector network")
        vector = speaker_vector(speaker_wave(wave))
    mel = scale_mel(log_mel(mono, rate_hz, spec.flow.mel)) if spec.flow else None
    return ReferenceFeatures(spectrum(wave), features, vector, mel)


def mix_down(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, channels) -> (n,)."""
    mono = samples.mean(1, dtype=np.float32) if samples.shape[1] > 1 else np.ascontiguousarray(samples[:, 0])
    if not np.isfinite(mono).all():
        raise BadReferenceAudio("the reference audio holds samples that are no numbers")
    return mono


def content_wave(mono: NDArray[np.float32], rate_hz: int) -> Tensor:
    """What HuBERT hears: (1, n) at 16 kHz with a tail of silence, not normalised.

    Raises:
        BadReferenceAudio: it is shorter than 3 s or longer than 10 s.
    """
    wave = mono
    if rate_hz != CONTENT_RATE_HZ:
        # As librosa does it: the length is rounded up, whatever soxr itself makes of the last sample.
        length = math.ceil(len(mono) * (CONTENT_RATE_HZ / rate_hz))
        wave = soxr.resample(mono, rate_hz, CONTENT_RATE_HZ, quality="HQ")[:length]
        wave = np.pad(wave, (0, length - len(wave)))
    if not SHORTEST_S * CONTENT_RATE_HZ <= len(wave) <= LONGEST_S * CONTENT_RATE_HZ:
        length_s = len(wave) / CONTENT_RATE_HZ
        raise BadReferenceAudio(_length_message("the reference audio", length_s, SHORTEST_S, LONGEST_S))
    return F.pad(torch.from_numpy(wave)[None], (0, _TAIL_SAMPLES))


def require_timbre(mono: NDArray[np.float32], rate_hz: int) -> None:
    """The rule of every reference, auxiliary ones included.

    Raises:
        BadReferenceAudio: it is shorter than 0.1 s.
    """
    if len(mono) < SHORTEST_AUXILIARY_S * rate_hz:
        raise BadReferenceAudio(_length_message("auxiliary reference audio", len(mono) / rate_hz, SHORTEST_AUXILIARY_S))


def timbre_wave(mono: NDArray[np.float32], rate_hz: int) -> Tensor:
    """What the spectrogram and the speaker vector are made of: (1, n) at 32 kHz, tamed where it overshoots."""
    wave = resample(torch.from_numpy(mono)[None], rate_hz, SPECTRUM_RATE_HZ)
    peak = wave.abs().max().item()
    return wave / min(2.0, peak) if peak > 1 else wave


def speaker_wave(wave: Tensor) -> Tensor:
    """What the speaker vector's network hears of a timbre wave: (1, n) at 32 kHz -> 16 kHz."""
    return resample(wave, SPECTRUM_RATE_HZ, CONTENT_RATE_HZ)


def spectrum(wave: Tensor) -> Tensor:
    """(1, n) at 32 kHz -> magnitudes (1, 1025, n // 640)."""
    return _magnitudes(wave, FFT_SAMPLES, HOP_SAMPLES)


def log_mel(mono: NDArray[np.float32], rate_hz: int, mel: MelSpec) -> Tensor:
    """Natural logarithm of the mel spectrogram: (1, bands, F)."""
    wave = resample(torch.from_numpy(mono)[None], rate_hz, mel.sample_rate_hz)
    magnitudes = _magnitudes(wave, mel.fft_samples, mel.hop_samples)
    filters = melscale_fbanks(
        magnitudes.shape[1], 0.0, mel.sample_rate_hz / 2, mel.bands, mel.sample_rate_hz, "slaney", "slaney"
    )
    return (filters.T @ magnitudes).clamp(min=1e-5).log()


def scale_mel(mel: Tensor) -> Tensor:
    """-12..2 -> -1..1, where the flow-matching decoder works."""
    return (mel - _QUIETEST_MEL) / (_LOUDEST_MEL - _QUIETEST_MEL) * 2 - 1


def unscale_mel(mel: Tensor) -> Tensor:
    """-1..1 -> -12..2, where the vocoders work."""
    return (mel + 1) / 2 * (_LOUDEST_MEL - _QUIETEST_MEL) + _QUIETEST_MEL


def resample(wave: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """Windowed-sinc resampling with torchaudio's defaults: (1, n) -> (1, ceil(n * to / from))."""
    # The transform works its kernel out in double precision; the function of the same name does not, which costs 1e-5
    # of the peak here and 1e-3 in the quiet bands of a log mel.
    return wave if from_hz == to_hz else Resample(from_hz, to_hz)(wave)


def _magnitudes(wave: Tensor, fft_samples: int, hop_samples: int) -> Tensor:
    margin = (fft_samples - hop_samples) // 2
    padded = F.pad(wave[:, None], (margin, margin), mode="reflect")[:, 0]
    window = torch.hann_window(fft_samples)
    bins = torch.stft(padded, fft_samples, hop_samples, window=window, center=False, return_complex=True)
    return (bins.real.square() + bins.imag.square() + 1e-8).sqrt()


def _length_message(what: str, length_s: float, shortest_s: float, longest_s: float | None = None) -> str:
    rule = f"at least {shortest_s:g} s" if longest_s is None else f"{shortest_s:g} to {longest_s:g} s"
    return f"{what} is {length_s:.2f} s long; it must be {rule}"
