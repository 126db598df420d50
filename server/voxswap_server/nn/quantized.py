"""Matrices rounded to 8 bits: each output has a scale of its own.

Knows nothing of networks. Only weights are rounded, activations never.
"""

from typing import NamedTuple

import torch
from torch import Tensor

_LARGEST = 127


class Quantized(NamedTuple):
    values: Tensor
    """(in, out) int8."""
    scale: Tensor
    """(out,) float32: values times it are the matrix, nearly."""


def quantized(matrix: Tensor) -> Quantized:
    """Rounds a matrix (in, out) to the nearest of 255 steps, which reach to the largest number of each column."""
    exact = matrix.float()
    scale = exact.abs().amax(0) / _LARGEST
    steps = torch.where(scale > 0, exact / scale, 0)
    return Quantized(steps.round_().to(torch.int8).contiguous(), scale)
