"""Latent frames that become known bit by bit, to samples that never have to be taken back.

The prior sees all tokens at once, so what it says of a frame changes with every token that follows. A frame is frozen
when it is first spoken for: later runs of the prior begin behind it, faded in over a few frames while they are still
latent. Of the frames behind the flow, too, each is computed once and kept. From there on nothing is approximate: the
generator gets its whole reach on either side and is cut exactly, so the joined samples are those of one pass over the
frozen frames, however they were cut, and whenever they are asked for. Frames are held in memory until they were spoken,
and the last few a little longer. Knows nothing of tokens.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from voxswap_server.nn.latents import FrameDecoder, flow_span, generate_span, spans

HOLD_FRAMES = 8
"""Frames at the end of what is known that are not frozen yet: the prior and the flow look at what comes next."""
FADE_FRAMES = 4
"""Over which what a new run of the prior says replaces what the run before it said."""


class FrozenLatents:
    """One utterance's frames on their way to samples.

    Args:
        decoder: has the flow and the generator, and knows how far each of them reaches.
        speaker: (1, width, 1)
        hold_frames: see `HOLD_FRAMES`.
        fade_frames: see `FADE_FRAMES`; at most `hold_frames`.
        flow_ahead_frames: frozen frames that the flow gets on the right. With its whole reach the samples also equal
            one pass of flow and generator over the frames before the flow, and come that much later.
    """

    def __init__(
        self,
        decoder: FrameDecoder,
        speaker: Tensor,
        *,
        hold_frames: int = HOLD_FRAMES,
        fade_frames: int = FADE_FRAMES,
        flow_ahead_frames: int = 0,
    ) -> None:
        if fade_frames > hold_frames:
            raise ValueError(f"fading over {fade_frames} frames, of which only {hold_frames} are held back")
        self._decoder = decoder
        self._speaker = speaker
        self._hold = hold_frames
        self._fade = fade_frames
        self._flow_ahead = flow_ahead_frames
        self.frozen = 0
        """Frames that will not change any more: the next run begins behind them."""
        self._flowed = 0
        self._spoken = 0
        nothing = torch.empty(1, 0, 0)
        self._prior: Tensor = nothing
        """Frozen frames before the flow, as far back as the flow reaches."""
        self._held: Tensor = nothing
        """What the last run said of the frames behind them."""
        self._final = False
        self._behind: Tensor = nothing
        """Frames behind the flow, as far back as the generator reaches."""

    @property
    def delay_frames(self) -> int:
        """How many frames must be known beyond those that are heard, before the end is known."""
        return self._hold + self._flow_ahead + self._decoder.generator_reach

    def speak(self, sizes: Sequence[int] = ()) -> Iterator[Tensor]:
        """Yields the samples (n,) of what is frozen and was not spoken yet.

        Args:
            sizes: frames of each piece, as `spans` takes them.
        """
        self._behind = _joined(self._behind, self._flow())
        start = self._spoken
        self._spoken = self._flowed if self._final else max(start, self._flowed - self._decoder.generator_reach)
        behind, first = self._behind, self._flowed - self._behind.shape[-1]
        self._behind = behind[..., max(0, self._spoken - self._decoder.generator_reach - first) :]
        for begin, end in spans(self._spoken - start, sizes):
            yield generate_span(self._decoder, behind, self._speaker, start + begin - first, start + end - first)

    def freeze(self, run: Tensor, *, final: bool) -> None:
        """Keeps what is certain of what the prior says now of all frames that are not frozen.

        Args:
            run: (1, C, F) from `frozen` on; of the noise of their own places.
            final: there will be no more.
        """
        width = min(self._fade, self._held.shape[-1], run.shape[-1])
        if width:
            share = torch.arange(1, width + 1, device=run.device) / (width + 1)
            run = torch.cat(
                (torch.lerp(self._held[..., :width], run[..., :width], share.to(run)), run[..., width:]), -1
            )
        known = run.shape[-1] if final else max(0, run.shape[-1] - self._hold)
        self._prior = _joined(self._prior, run[..., :known])
        self.frozen += known
        self._held = run[..., known:]
        self._final = final

    def _flow(self) -> Tensor:
        """Frames behind the flow that may now be had: (1, C, n)."""
        start = self._flowed
        self._flowed = self.frozen if self._final else max(start, self.frozen - self._flow_ahead)
        window, first = _joined(self._prior, self._held), self.frozen - self._prior.shape[-1]
        new = window[..., :0]
        if self._flowed > start:
            new = flow_span(self._decoder, window, self._speaker, start - first, self._flowed - first)
        self._prior = self._prior[..., max(0, self._flowed - self._decoder.flow_reach - first) :]
        return new


def _joined(kept: Tensor, new: Tensor) -> Tensor:
    return torch.cat((kept, new), -1) if kept.shape[-1] else new
