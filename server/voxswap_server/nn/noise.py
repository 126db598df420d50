"""All randomness of synthesis comes through one argument of this kind.

Knows nothing of tokens, samplers or decoders. A source is asked by position, never in sequence, so how the work is cut
into steps, chunks and batches cannot change a value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from math import prod
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SMALLEST_EXPONENTIAL = 1e-30
"""Exp(1) draws are divided by, so they stay above this."""

_WORD = 2**64 - 1
_DERIVED = 2**32
"""Of the counter, where no purpose of noise will ever be."""


def derived_seed(seed: int, attempt: int) -> int:
    """The seed of another attempt at what `seed` was for; attempt 0 is the seed itself."""
    if not attempt:
        return seed
    key = np.array((seed & _WORD, attempt), dtype=np.uint64)
    return int(np.random.Philox(key=key, counter=np.array((0, 0, _DERIVED, 0), np.uint64)).random_raw())


class NoiseSource(Protocol):
    """Where noise comes from. Tensors are float32 on the CPU; the caller moves them."""

    def latent(self, channels: int, start_frame: int, frames: int) -> Tensor:
        """Standard normal values of latent frames: (1, channels, frames)."""
        ...

    def exponential(self, step: int, size: int) -> Tensor:
        """Exp(1) values, all above 0, for the race of one sampling step: (size,)."""
        ...

    def cfm(self, call: int, shape: tuple[int, ...]) -> Tensor:
        """Standard normal start of the flow-matching decoder's n-th call: `shape`."""
        ...


class _Purpose(IntEnum):
    """Keeps the three kinds of noise apart; part of the meaning of a seed, so never renumber."""

    LATENT = 0
    EXPONENTIAL = 1
    CFM = 2


class PhiloxNoise:
    """Counter-based noise: a value depends on (seed, stream, purpose, index) only.

    Philox4x64 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011). A block of the counter gives four
    words; a word gives two normal values (Box-Muller) or one exponential value.
    """

    def __init__(self, seed: int, stream: int = 0) -> None:
        """`seed` is the request's; `stream` tells its utterances apart. Both are taken modulo 2**64."""
        # Arrays of the exact type: numpy would take a tuple of large integers through floating point.
        self._key = np.array((seed & _WORD, stream & _WORD), dtype=np.uint64)

    def latent(self, channels: int, start_frame: int, frames: int) -> Tensor:
        blocks = -(-channels // 8)  # whole blocks for each frame, so that a frame starts at a known counter
        normal = _normal(self._words(_Purpose.LATENT, 0, start_frame * blocks, frames * blocks))
        return torch.from_numpy(normal.reshape(frames, blocks * 8)[:, :channels].T[None].copy())

    def exponential(self, step: int, size: int) -> Tensor:
        words = self._words(_Purpose.EXPONENTIAL, step, 0, -(-size // 4))[:size]
        uniform = ((words >> np.uint64(11)) + np.uint64(1)) * 2.0**-53  # (0, 1]
        return torch.from_numpy(np.maximum(-np.log(uniform), SMALLEST_EXPONENTIAL).astype(np.float32))

    def cfm(self, call: int, shape: tuple[int, ...]) -> Tensor:
        size = prod(shape)
        normal = _normal(self._words(_Purpose.CFM, call, 0, -(-size // 8)))
        return torch.from_numpy(normal[:size].reshape(shape))

    def _words(self, purpose: _Purpose, index: int, first: int, blocks: int) -> NDArray[np.uint64]:
        """Raw words (4 * blocks,) of the counters from (first, index, purpose) on."""
        counter = np.array((first, index, int(purpose), 0), dtype=np.uint64)
        return np.random.Philox(key=self._key, counter=counter).random_raw(4 * blocks)


def _normal(words: NDArray[np.uint64]) -> NDArray[np.float32]:
    """Box-Muller on the two halves of each word: (n,) -> (2n,)."""
    radius = np.sqrt(-2.0 * np.log(((words >> np.uint64(32)) + np.uint64(1)) * 2.0**-32))
    angle = (words & np.uint64(0xFFFFFFFF)) * (2.0 * np.pi * 2.0**-32)
    return np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=-1).astype(np.float32).reshape(-1)


class ZeroNoise:
    """No noise: the decoder speaks its mean, and sampling draws the most probable token."""

    def latent(self, channels: int, start_frame: int, frames: int) -> Tensor:
        del start_frame
        return torch.zeros(1, channels, frames)

    def exponential(self, step: int, size: int) -> Tensor:
        del step
        return torch.ones(size)

    def cfm(self, call: int, shape: tuple[int, ...]) -> Tensor:
        del call
        return torch.zeros(shape)


@dataclass(frozen=True, slots=True)
class RecordedNoise:
    """Replays noise that was written down elsewhere; asking for what was not recorded is an error."""

    latents: Tensor | None = None
    """(1, channels, frames)"""
    exponentials: Mapping[int, Tensor] = field(default_factory=dict)
    """Step to (size,)."""
    starts: Sequence[Tensor] = ()
    """One for each call of the flow-matching decoder."""

    def latent(self, channels: int, start_frame: int, frames: int) -> Tensor:
        if self.latents is None:
            raise LookupError("no latent noise was recorded")
        part = self.latents[:, :, start_frame : start_frame + frames]
        return _checked(part, (1, channels, frames), "latent noise")

    def exponential(self, step: int, size: int) -> Tensor:
        if step not in self.exponentials:
            raise LookupError(f"no noise was recorded for sampling step {step}")
        return _checked(self.exponentials[step], (size,), f"noise of sampling step {step}")

    def cfm(self, call: int, shape: tuple[int, ...]) -> Tensor:
        if call >= len(self.starts):
            raise LookupError(f"noise was recorded for {len(self.starts)} calls, asked for call {call}")
        return _checked(self.starts[call], shape, f"noise of call {call}")


def _checked(value: Tensor, shape: tuple[int, ...], what: str) -> Tensor:
    if tuple(value.shape) != shape:
        raise LookupError(f"recorded {what} has shape {tuple(value.shape)}, asked for {shape}")
    return value
