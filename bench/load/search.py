"""The highest rate that holds a goal, by doubling and then halving the interval.

Knows nothing of servers: a rate goes in, whether it held comes out.
"""

from collections.abc import Awaitable, Callable


async def highest_rate(
    holds: Callable[[float], Awaitable[bool]], *, first: float, steps: int, ceiling: float
) -> tuple[float, float]:
    """Where the goal breaks, as an interval.

    Args:
        holds: runs a rate (requests a second) and says whether it held.
        first: where to begin.
        steps: how often the interval is halved.
        ceiling: rates above it are not tried.

    Returns:
        The highest rate that held (0: not even a sixteenth of `first` did) and the lowest that did not (infinity: all
        that were tried held).
    """
    good, bad = 0.0, float("inf")
    rate = first
    while rate <= ceiling and await holds(rate):
        good, rate = rate, rate * 2
    if rate > ceiling:
        return good, bad
    bad = rate
    while not good and rate > first / 16:
        rate /= 2
        if await holds(rate):
            good = rate
        else:
            bad = rate
    if not good:
        return good, bad
    for _ in range(steps):
        middle = (good + bad) / 2
        good, bad = (middle, bad) if await holds(middle) else (good, middle)
    return good, bad
