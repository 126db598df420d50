"""The generator's input in terms of sound: what the prior is taught to say and the generator to speak.

Two mel spectra of 10 ms for each frame of 20 ms, and how high the voice is in either, on a common scale. With a known
input both halves of the decoder learn by themselves, at the same time and each from a loss that sees it directly.
Pitch has channels of its own because spectra are guessed by their mean, in which harmonics blur, while the mean of
pitches is a pitch. Between the two spectra lie the channels of the source (`source.py`). Knows nothing of networks.
"""

from typing import Final

import torch
from torch import Tensor, nn

from voxswap_training.channels import BANDS, PER_FRAME
from voxswap_training.signal import MelFilter
from voxswap_training.sound import RATE_HZ
from voxswap_training.utterances import FRAME_SAMPLES

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

    def forward(self, samples: Tensor, pitch: Tensor) -> Tensor:
        """(B, n), (B, PER_FRAME, n / FRAME_SAMPLES) of `Pitch` -> (B, SPOKEN_CHANNELS, n / FRAME_SAMPLES).

        The earlier spectrum comes first, its pitch before it; the later one's comes after: the same from either end,
        as the flow turns channels round.
        """
        mel = (self.filter(samples).clamp_min(_FLOOR) - _CENTRE) / _SPREAD
        B, _, steps = mel.shape
        spectra = mel.view(B, BANDS, steps // PER_FRAME, PER_FRAME).permute(0, 3, 1, 2).flatten(1, 2)
        return torch.cat([pitch[:, :1], spectra, pitch[:, 1:]], 1)

    def log(self, samples: Tensor) -> Tensor:
        """(B, n) -> (B, BANDS, n / 320) natural logarithms, as the losses of waveforms compare them."""
        mel: Tensor = self.filter(samples)
        return mel


def pitch_of(frames: Tensor) -> Tensor:
    """(B, C, T) -> (B, PER_FRAME, T), the pitch that frames tell; writing to it changes them not."""
    return torch.cat([frames[:, :1], frames[:, -1:]], 1)


def with_pitch(frames: Tensor, pitch: Tensor) -> Tensor:
    """The same frames, spoken at another pitch."""
    return torch.cat([pitch[:, :1], frames[:, 1:-1], pitch[:, 1:]], 1)
