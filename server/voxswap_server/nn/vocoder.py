"""What a flow-matching decoder knows of a vocoder, and how to speak with one while the mel is still being made.

Knows nothing of any network. A vocoder is a stack of convolutions: what lies further from a frame than its reach cannot
change that frame's samples, so a piece is computed with that much context on either side and the context is cut off.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from voxswap_server.nn.latents import spans


class Vocoder(Protocol):
    """Mel frames to samples; shared by all voices of a version."""

    @property
    def samples_per_frame(self) -> int: ...

    @property
    def reach_frames(self) -> int:
        """Frames on either side that the samples of a frame depend on."""
        ...

    def samples(self, mel: Tensor) -> Tensor:
        """Natural-log mel frames (1, bands, F) -> (F * samples_per_frame,) float32 in -1..1."""
        ...


class VocodedStream:
    """Samples of mel frames that arrive in portions; joined they equal one pass over all frames.

    Args:
        vocoder: speaks.
        frames: how many there will be.
        sizes: frames of the pieces of a portion, as `spans` takes them.
    """

    def __init__(self, vocoder: Vocoder, frames: int, sizes: Sequence[int]) -> None:
        self._vocoder = vocoder
        self._frames = frames
        self._sizes = sizes
        self._portions: list[Tensor] = []
        self._spoken = 0

    def push(self, mel: Tensor) -> Iterator[Tensor]:
        """Adds frames (1, bands, F); yields what can be said for certain, each (samples,)."""
        self._portions.append(mel)
        mel = torch.cat(self._portions, -1)
        known, spoken = mel.shape[-1], self._spoken
        self._spoken = known if known == self._frames else max(spoken, known - self._vocoder.reach_frames)
        for start, stop in spans(self._spoken - spoken, self._sizes):
            yield vocode_span(self._vocoder, mel, spoken + start, spoken + stop)


def vocode_span(vocoder: Vocoder, mel: Tensor, start: int, stop: int) -> Tensor:
    """Samples of the frames `start..stop`, exactly as a pass over all of `mel` (1, bands, F) gives them."""
    left, right = max(0, start - vocoder.reach_frames), stop + vocoder.reach_frames
    samples = vocoder.samples(mel[..., left:right])
    return samples[(start - left) * vocoder.samples_per_frame : (stop - left) * vocoder.samples_per_frame]
