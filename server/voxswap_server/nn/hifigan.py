"""HiFi-GAN generator: frames to samples (Kong et al. 2020; upstream models.Generator).

Serves the VITS decoders (conditioned on the speaker) and, with other numbers and no condition, as the vocoder of v4.
Knows nothing of what its frames are. Weight norm was folded when the checkpoint was imported.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from math import prod
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxswap_server.nn.convolution import FrameConv, FrameUpsampling, as_frames
from voxswap_server.nn.native.team import Team

SLOPE = 0.1
LAST_SLOPE = 0.01
_EDGE_KERNEL = 7
_TILE_FRAMES: Final = 32
"""Of a long stage that is computed in tiles, see `in_tiles`."""
_TILE_PAYS: Final = 50
"""A tile is so many times longer than the context on both of its sides, or there are no tiles."""


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    in_width: int
    initial_width: int
    """Channels before the first upsampling; each upsampling halves them."""
    rates: tuple[int, ...]
    kernels: tuple[int, ...]
    block_kernels: tuple[int, ...]
    block_dilations: tuple[tuple[int, ...], ...]
    condition_width: int | None = None
    last_bias: bool = False

    @property
    def samples_per_frame(self) -> int:
        return prod(self.rates)

    @property
    def reach_frames(self) -> int:
        """Frames on either side that the samples of a frame depend on."""
        return self.reaches[0] + _EDGE_KERNEL // 2

    @property
    def reaches(self) -> tuple[int, ...]:
        """Positions on either side of some frames that their samples depend on: before each stage, and behind the last.

        Followed back from the output. In seconds they shrink from stage to stage, and so does what a stretch costs
        beyond its own length.
        """
        found = [_EDGE_KERNEL // 2]
        for rate, kernel in zip(reversed(self.rates), reversed(self.kernels), strict=True):
            found.append(upsampled_reach(found[-1] + self.block_reach, rate, kernel))
        return tuple(reversed(found))

    @property
    def block_reach(self) -> int:
        """Positions on either side that those behind the residual blocks of a stage depend on."""
        return max(
            sum((kernel // 2) * (dilation + 1) for dilation in dilations)
            for kernel, dilations in zip(self.block_kernels, self.block_dilations, strict=True)
        )


def upsampled_reach(reach: int, rate: int, kernel: int) -> int:
    """Reach at the input of a transposed convolution whose output is asked for with `reach` on either side."""
    padding = (kernel - rate) // 2
    return max((reach - padding + kernel - 1) // rate, (reach + padding - 1) // rate + 1)


def in_tiles(function: Callable[[Tensor], Tensor], x: Tensor, width: int, reach: int) -> Tensor:
    """`function` of a whole sequence (B, C, 1, N), computed in stretches of one width: the same (B, C, 1, N).

    PyTorch compiles and keeps convolutions for every length that it meets, with tables as long as the sequence: of
    all lengths of speech together that is more memory than a voice has, and time before each. Tiles have one length.

    Args:
        function: keeps the length; may overwrite nothing of what it is given.
        x: channels last.
        width: of a tile; a sequence that is not longer is computed at once.
        reach: positions on either side that one behind the function depends on.
    """
    positions = x.shape[-1]
    if positions <= width:
        return function(x)
    y, done = torch.empty_like(x), 0
    while done < positions:
        begin = min(max(0, done - reach), positions - width)
        stop = positions if begin + width == positions else begin + width - reach
        y[..., done:stop] = function(x[..., begin : begin + width])[..., done - begin : stop - begin]
        done = stop
    return y


class ResidualBlock(nn.Module):
    """Pairs of convolutions, dilated and plain, each pair added to its input (ResBlock1)."""

    def __init__(self, width: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.dilated = nn.ModuleList(FrameConv(width, width, kernel, dilation=dilation) for dilation in dilations)
        self.plain = nn.ModuleList(FrameConv(width, width, kernel) for _ in dilations)

    def forward(self, x: Tensor, team: Team | None = None) -> Tensor:
        """(B, C, 1, N) -> (B, C, 1, N)."""
        for dilated, plain in self.pairs():
            x = plain.activated(dilated.activated(x, SLOPE, team=team), SLOPE, onto=x, team=team)
        return x

    def pairs(self) -> Iterator[tuple[FrameConv, FrameConv]]:
        """Dilated and plain."""
        return zip(cast("Iterable[FrameConv]", self.dilated), cast("Iterable[FrameConv]", self.plain), strict=True)


class Stage(nn.Module):
    """One upsampling and the mean of residual blocks of several kernel sizes."""

    def __init__(self, config: GeneratorConfig, index: int) -> None:
        super().__init__()
        width = config.initial_width // 2 ** (index + 1)
        rate, kernel = config.rates[index], config.kernels[index]
        self.up = FrameUpsampling(2 * width, width, kernel, rate)
        self.blocks = nn.ModuleList(
            ResidualBlock(width, *shape) for shape in zip(config.block_kernels, config.block_dilations, strict=True)
        )
        self.tile = _TILE_FRAMES * prod(config.rates[: index + 1])
        self.reach = config.block_reach
        self.tiled = self.tile >= _TILE_PAYS * 2 * self.reach

    def forward(self, x: Tensor, team: Team | None = None) -> Tensor:
        """(B, 2C, 1, N) -> (B, C, 1, rate * N)."""
        x, mixed = self.up(F.leaky_relu(x, SLOPE)), partial(self._mixed, team)
        return in_tiles(mixed, x, self.tile, self.reach) if self.tiled else mixed(x)

    def _mixed(self, team: Team | None, x: Tensor) -> Tensor:
        """(B, C, 1, N) -> (B, C, 1, N)."""
        total = self.blocks[0](x, team)
        for block in list(self.blocks)[1:]:
            total = total.add_(block(x, team))
        return total.div_(len(self.blocks))


class Generator(nn.Module):
    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.pre = FrameConv(config.in_width, config.initial_width, _EDGE_KERNEL)
        self.condition = (
            FrameConv(config.condition_width, config.initial_width, 1) if config.condition_width is not None else None
        )
        self.stages = nn.ModuleList(Stage(config, index) for index in range(len(config.rates)))
        width = config.initial_width // 2 ** len(config.rates)
        self.post = FrameConv(width, 1, _EDGE_KERNEL, bias=config.last_bias)

    def prepare(self) -> None:
        """Compiles the kernels that a team will run."""
        for module in self.modules():
            if isinstance(module, ResidualBlock):
                for convolution in chain.from_iterable(module.pairs()):
                    convolution.prepare(SLOPE)

    def forward(
        self,
        frames: Tensor,
        condition: Tensor | None = None,
        team: Team | None = None,
        *,
        begin: int = 0,
        end: int | None = None,
    ) -> Tensor:
        """Samples in -1..1 of the frames `begin..end`; each stage computes what these depend on, and no more.

        Args:
            frames: (B, in_width, T)
            condition: (B, condition_width, 1)
            team: computes residual blocks by our kernels, where those can.
            begin: the first frame that is to be heard; those before it are only heard by it.
            end: behind the last one; None is T.

        Returns:
            (B, (end - begin) * samples_per_frame)
        """
        dtype = self.pre.weight.dtype  # it may be another than that of whoever made the frames
        x, rates = self.pre(as_frames(frames.to(dtype))), self.config.rates
        if self.condition is not None and condition is not None:
            x = x + self.condition(as_frames(condition.to(dtype)))
        wanted, start = (begin, frames.shape[-1] if end is None else end), 0
        for stage, rate, reach in zip(self.stages, rates, self.config.reaches[:-1], strict=True):
            x, start = _near(x, start, wanted, reach)
            x, start, wanted = stage(x, team), rate * start, (rate * wanted[0], rate * wanted[1])
        x, start = _near(x, start, wanted, self.config.reaches[-1])
        samples = torch.tanh(self.post(F.leaky_relu(x, LAST_SLOPE)))[:, 0, 0]
        return samples[:, wanted[0] - start : wanted[1] - start]


def _near(x: Tensor, start: int, wanted: tuple[int, int], reach: int) -> tuple[Tensor, int]:
    """Cuts off what is further away from the wanted positions than `reach`.

    Args:
        x: (B, C, 1, N), its first position is `start`.
        start: counted as `wanted` is.
        wanted: the first position, and behind the last one.
        reach: positions on either side.

    Returns:
        (B, C, 1, n) and where that begins.
    """
    left = max(0, wanted[0] - reach - start)
    return x[..., left : wanted[1] + reach - start], start + left
