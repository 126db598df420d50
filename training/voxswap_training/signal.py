"""Spectra for the losses and the measurements of training. Knows nothing of voices and networks."""

import functools

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


class MelFilter(torch.nn.Module):
    """Logarithmic mel spectrogram with a frame centred on every `hop_samples`-th sample."""

    window: Tensor
    bank: Tensor

    def __init__(
        self,
        *,
        rate_hz: int,
        fft_samples: int,
        hop_samples: int,
        bands: int,
        window_samples: int | None = None,
        low_hz: float = 50.0,
        high_hz: float = 8000.0,
    ) -> None:
        super().__init__()
        self.fft, self.hop, self.width = fft_samples, hop_samples, window_samples or fft_samples
        self.register_buffer("window", torch.hann_window(self.width), persistent=False)
        self.register_buffer("bank", mel_bank(rate_hz, fft_samples, bands, low_hz, high_hz), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """(B, n) -> (B, bands, n // hop)."""
        with torch.autocast(samples.device.type, enabled=False):  # logarithms of half precision are too coarse
            magnitude = spectrum(samples.float(), self.fft, self.hop, self.width, self.window)
            return (self.bank @ magnitude).clamp_min(1e-5).log()


def spectrum(samples: Tensor, fft: int, hop: int, width: int, window: Tensor) -> Tensor:
    """Magnitudes: (B, n) -> (B, fft // 2 + 1, n // hop), frame i centred on sample (i + 1/2) * hop."""
    return magnitude(complex_spectrum(samples, fft, hop, width, window))


def complex_spectrum(samples: Tensor, fft: int, hop: int, width: int, window: Tensor) -> Tensor:
    """Magnitudes with their phases, as `spectrum`."""
    pad = (fft - hop) // 2
    padded = F.pad(samples, (pad, fft - hop - pad), mode="reflect")
    return torch.stft(padded, fft, hop, width, window, center=False, return_complex=True)


def magnitude(complex_: Tensor) -> Tensor:
    """Never zero, where it would have no gradient."""
    return torch.sqrt(complex_.real.square() + complex_.imag.square() + 1e-8)


@functools.lru_cache
def mel_bank(rate_hz: int, fft_samples: int, bands: int, low_hz: float, high_hz: float) -> Tensor:
    """Triangles, equally wide on the mel scale (O'Shaughnessy): (bands, fft // 2 + 1)."""
    low, high = 2595 * np.log10(1 + np.array([low_hz, high_hz]) / 700)
    edges = 700 * (10 ** (np.linspace(low, high, bands + 2) / 2595) - 1)
    bins = np.linspace(0, rate_hz / 2, fft_samples // 2 + 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return torch.from_numpy(np.maximum(0, np.minimum(rising, falling)).astype(np.float32))
