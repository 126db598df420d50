"""Matrices rounded to 8 bits: each output has a scale of its own.

Knows nothing of networks or of activations.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from voxswap_server.nn.native.panels import GROUP, PANEL, ZERO, panel_shape

_LARGEST = 127


class Quantized(NamedTuple):
    values: Tensor
    """(panels, groups, PANEL, GROUP) uint8, as `native.panels` has it."""
    scale: Tensor
    """(out,) float32: values times it are the matrix, nearly."""


def quantized(matrix: Tensor) -> Quantized:
    """Rounds a matrix (in, out) to the nearest of 255 steps, which reach to the largest number of each column."""
    exact = matrix.float()
    scale = exact.abs().amax(0) / _LARGEST
    steps = torch.where(scale > 0, exact / scale, 0)
    return Quantized(_in_panels(steps.round_().add_(ZERO).to(torch.uint8)), scale)


def _in_panels(values: Tensor) -> Tensor:
    """(in, out) -> (panels, groups, PANEL, GROUP), filled up with zeros."""
    panels, groups, _, _ = panel_shape(*values.shape)
    filled = torch.full((groups * GROUP, panels * PANEL), ZERO, dtype=torch.uint8)
    filled[: values.shape[0], : values.shape[1]] = values
    return filled.view(groups, GROUP, panels, PANEL).permute(2, 0, 3, 1).contiguous()


def restored(rounded: Quantized, inputs: int) -> Tensor:
    """The matrix (in, out) float32 that rounded values stand for."""
    steps = rounded.values.permute(1, 3, 0, 2).flatten(2).flatten(0, 1)[:inputs, : rounded.scale.shape[0]]
    return (steps.float() - ZERO) * rounded.scale
