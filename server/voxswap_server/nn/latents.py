"""Latent frames to samples, piece by piece, so that the joined pieces equal one decode of all frames.

Flow and generator are stacks of convolutions: what lies further from a frame than their reach cannot change it. So a
piece is computed with that much context on either side, and the context is cut off exactly: no seam, no cross-fade.
Knows nothing of tokens or of noise.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor


class FrameDecoder(Protocol):
    """A flow and a generator, and how many frames on either side a frame depends on in each."""

    @property
    def flow_reach(self) -> int: ...
    @property
    def generator_reach(self) -> int: ...
    @property
    def samples_per_frame(self) -> int: ...
    def flow(self, frames: Tensor, speaker: Tensor) -> Tensor: ...
    def generate(self, frames: Tensor, speaker: Tensor, begin: int = 0, end: int | None = None) -> Tensor: ...


def spans(total: int, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Cuts 0..total into consecutive (start, stop).

    The last size repeats; no sizes: one span. A rest shorter than half a span joins the one before it.
    """
    start, index = 0, 0
    while start < total:
        size = sizes[min(index, len(sizes) - 1)] if sizes else total
        if size < 1:
            raise ValueError(f"a piece of {size} frames")
        stop = start + size if total - start >= size + size // 2 else total
        yield start, stop
        start, index = stop, index + 1


def flow_span(decoder: FrameDecoder, frames: Tensor, speaker: Tensor, start: int, stop: int) -> Tensor:
    """Frames `start..stop` behind the flow, exactly as a pass over all of `frames` (1, C, F) gives them."""
    left, right = max(0, start - decoder.flow_reach), stop + decoder.flow_reach
    return decoder.flow(frames[..., left:right], speaker)[..., start - left : stop - left]


def generate_span(decoder: FrameDecoder, frames: Tensor, speaker: Tensor, start: int, stop: int) -> Tensor:
    """Samples of the frames `start..stop` (of those behind the flow), exactly as a pass over all gives them."""
    left, right = max(0, start - decoder.generator_reach), stop + decoder.generator_reach
    return decoder.generate(frames[..., left:right], speaker, start - left, stop - left)


def decode_in_pieces(decoder: FrameDecoder, frames: Tensor, speaker: Tensor, sizes: Sequence[int]) -> Iterator[Tensor]:
    """Yields the samples of each span of `frames` (1, C, F) before the flow; nothing is computed ahead of its piece."""
    total = frames.shape[-1]
    behind = torch.empty_like(frames)
    flowed = 0
    for start, stop in spans(total, sizes):
        needed = min(stop + decoder.generator_reach, total)
        if needed > flowed:
            behind[..., flowed:needed] = flow_span(decoder, frames, speaker, flowed, needed)
            flowed = needed
        yield generate_span(decoder, behind[..., :flowed], speaker, start, stop)
