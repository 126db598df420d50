"""Convolutions that hear and say only some of their channels, however they are trained. Knows nothing of networks."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def confine(conv: nn.Conv1d, *, hears: Iterable[int] | None = None, says: Iterable[int] | None = None) -> None:
    """Weights of other channels are zero from now on, and get no gradient.

    Args:
        conv: to confine.
        hears: input channels; None: all.
        says: output channels, of which the others are zero with their bias; None: all.
    """
    allowed = torch.ones(conv.weight.shape[:2])
    if hears is not None:
        allowed *= _chosen(hears, conv.in_channels)[None]
    if says is not None:
        allowed *= _chosen(says, conv.out_channels)[:, None]
    _keep(conv.weight, allowed[..., None])
    if says is not None and conv.bias is not None:
        _keep(conv.bias, allowed.amax(1))


def _chosen(channels: Iterable[int], count: int) -> Tensor:
    chosen = torch.zeros(count)
    chosen[list(channels)] = 1
    return chosen


def _keep(parameter: Tensor, allowed: Tensor) -> None:
    with torch.no_grad():
        parameter.mul_(allowed)
    parameter.register_hook(lambda gradient: gradient * allowed.to(gradient))
