"""The generator's input in terms of sound: what the prior is taught to say and the generator to speak.

Two mel spectra of 10 ms for each frame of 20 ms, on a common scale. With a known input both halves of the decoder learn
by themselves, at the same time and each from a loss that sees it directly. Knows nothing of networks.
"""

from typing import Final

from torch import Tensor, nn

from voxswap_training.signal import MelFilter
from voxswap_training.sound import RATE_HZ
from voxswap_training.utterances import FRAME_SAMPLES

PER_FRAME: Final = 2
BANDS: Final = 80
CHANNELS: Final = PER_FRAME * BANDS
_FLOOR: Final = -7.0
"""In log units: what is quieter is not heard beside speech, and not worth learning."""
_CENTRE: Final = -2.0
_SPREAD: Final = 3.0


class MelFrames(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.filter = MelFilter(
            rate_hz=RATE_HZ, fft_samples=1280, hop_samples=FRAME_SAMPLES // PER_FRAME, bands=BANDS, high_hz=12_000
        )

    def forward(self, samples: Tensor) -> Tensor:
        """(B, n) -> (B, CHANNELS, n / FRAME_SAMPLES); the earlier spectrum's bands come first."""
        mel = (self.filter(samples).clamp_min(_FLOOR) - _CENTRE) / _SPREAD
        B, _, steps = mel.shape
        return mel.view(B, BANDS, steps // PER_FRAME, PER_FRAME).permute(0, 3, 1, 2).flatten(1, 2)

    def log(self, samples: Tensor) -> Tensor:
        """(B, n) -> (B, BANDS, n / 320) natural logarithms, as the losses of waveforms compare them."""
        mel: Tensor = self.filter(samples)
        return mel
