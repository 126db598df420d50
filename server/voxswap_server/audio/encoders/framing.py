"""Cuts a signal into pieces of one length, whatever the lengths in which it comes.

Knows nothing of codecs.
"""

from collections.abc import Iterator

import numpy as np

from voxswap_server.audio.pcm import Samples


class Framer:
    """Codecs take frames of a fixed length; because of this one their output does not depend on how a signal is cut."""

    def __init__(self, frame_samples: int) -> None:
        self.frame_samples = frame_samples
        self._waiting = np.zeros(0, np.float32)

    def push(self, samples: Samples) -> Iterator[Samples]:
        """Yields the frames `(frame_samples,)` that are complete."""
        joined = np.concatenate([self._waiting, np.asarray(samples, np.float32)])
        whole = joined.size - joined.size % self.frame_samples
        self._waiting = joined[whole:]
        for start in range(0, whole, self.frame_samples):
            yield joined[start : start + self.frame_samples]

    def finish(self) -> Iterator[Samples]:
        """Yields the shorter frame that is left, if there is one."""
        if self._waiting.size:
            yield self._waiting
        self._waiting = np.zeros(0, np.float32)
