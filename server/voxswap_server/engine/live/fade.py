"""The cross-fade between two voices. Knows nothing of streams."""

import numpy as np

from voxswap_server.engine.job import Samples


def equal_power(old: Samples, new: Samples) -> Samples:
    """From `old` to `new`, both (n,): the squares of the two gains sum to 1, as fits signals that do not correlate.

    The first sample is nearly all `old`, the last nearly all `new`.
    """
    angle = (np.arange(old.size, dtype=np.float64) + 0.5) / max(old.size, 1) * (np.pi / 2)
    return (old * np.cos(angle) + new * np.sin(angle)).astype(np.float32)
