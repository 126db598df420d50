"""Where in time what is said belongs, when its timing is only nearly right.

Codes tell time in steps of 20 ms, and the teacher's sounds come 10 ms (standard deviation) earlier or later than its
plan says. Compared step by step, the best guess at a burst that may be here or there is none. So what is said is
compared with the truth of a moment nearby, found by dynamic programming. Knows nothing of networks and losses.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

REACH: Final = 4
"""Steps, of 10 ms, by which something may come early or late."""
_COST: Final = 0.6
"""Of moving by one step from one step to the next, in sums of distances of a step."""
_NEVER: Final = 1e6


def shifts(said: Tensor, true: Tensor) -> Tensor:
    """By how many steps each step of what is said comes before its like in the truth.

    Args:
        said: (B, C, N) features of steps.
        true: (B, C, N)

    Returns:
        (B, N) from -REACH to REACH, such that the sum of absolute differences is least; neighbours differ by at most 1.
    """
    B, _, N = said.shape
    apart = np.full((N, B, 2 * REACH + 1), _NEVER, np.float32)
    for place, shift in enumerate(range(-REACH, REACH + 1)):
        first, last = max(0, -shift), min(N, N - shift)
        if first < last:
            distance = (said[..., first:last] - true[..., first + shift : last + shift]).abs().sum(1)
            apart[first:last, :, place] = distance.T.cpu().numpy()
    return torch.from_numpy(_cheapest(apart) - REACH).to(said.device)


def _cheapest(apart: NDArray[np.float32]) -> NDArray[np.int64]:
    """(N, B, places) costs -> (B, N) the places of the cheapest walk, by at most one place a step."""
    N, B, places = apart.shape
    came = np.empty((N, B, places), np.int8)
    best = apart[0]
    padded = np.full((B, places + 2), _NEVER, np.float32)
    for step in range(1, N):
        padded[:, 1:-1] = best
        ways = np.stack([padded[:, :-2] + _COST, best, padded[:, 2:] + _COST])
        chosen = ways.argmin(0)
        came[step] = chosen - 1
        best = np.take_along_axis(ways, chosen[None], 0)[0] + apart[step]
    walk = np.empty((B, N), np.int64)
    walk[:, -1] = best.argmin(1)
    rows = np.arange(B)
    for step in range(N - 1, 0, -1):
        walk[:, step - 1] = walk[:, step] + came[step, rows, walk[:, step]]
    return walk


def warped(true: Tensor, moved: Tensor) -> Tensor:
    """(B, C, N) and shifts (B, N) -> (B, C, N): at each step the truth of its like."""
    N = true.shape[2]
    place = (torch.arange(N, device=true.device) + moved).clamp(0, N - 1)
    return true.gather(2, place[:, None].expand_as(true))
