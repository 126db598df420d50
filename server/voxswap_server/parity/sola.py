"""Joins overlapping pieces of sound where they fit best (synchronised overlap-add; SPEC §2.3).

Knows nothing of what made the pieces. Used where neighbouring pieces were computed apart from each other, so that their
overlaps say the same thing in slightly different ways.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

SEARCH_SAMPLES = 320
"""How far a piece may be shifted to fit its predecessor."""


def merge(pieces: Sequence[Tensor], overlap: int, search: int = SEARCH_SAMPLES) -> Tensor:
    """Each piece (n,) begins with about what the one before it ends with.

    A piece gives up as many of its first samples as it is shifted by, so the result is shorter by the sum of shifts.

    Args:
        pieces: in order; each longer than `overlap + search`.
        overlap: samples over which neighbours are faded into each other.
        search: shifts from 0 to this are tried.

    Returns:
        (samples,)
    """
    joined = [pieces[0]]
    window = torch.hann_window(2 * overlap, device=pieces[0].device)
    fade_in, fade_out = window[:overlap], window[overlap:]
    for piece in pieces[1:]:
        tail = joined[-1][-overlap:]
        shifted = piece[best_shift(tail, piece[: overlap + search]) :]
        blended = shifted[:overlap] * fade_in + tail * fade_out
        joined[-1] = joined[-1][:-overlap]
        joined.append(torch.cat((blended, shifted[overlap:])))
    return torch.cat(joined)


def best_shift(tail: Tensor, head: Tensor) -> int:
    """Where in `head` (m,) the `tail` (n,) fits best, by correlation over the root of the head's energy: 0..m - n."""
    head, tail = head[None, None], tail[None, None]
    match = F.conv1d(head, tail)
    energy = F.conv1d(head.square(), torch.ones_like(tail))
    return int((match / (energy + 1e-8).sqrt()).argmax())
