"""The source's channels of the generator's input: at which point of its swing the voice is, and noise.

Convolutions make the same of the same: where spectrum and pitch stand still, all that they can make repeats itself
every frame, and no voice does. So the generator is told the phase of the fundamental, as vocoders with a source are
(Wang et al. 2019, neural source-filter), and given noise to make hiss from. In the corpus the phase is measured
(`phases.py`); in a voice that speaks, the last couplings of the flow make it of noise and pitch (`train_source.py`).
Knows nothing of networks and sound.
"""

import torch
from torch import Tensor

from voxswap_training.channels import EARLIER, LATER, PHASES, SEEDS, STATES, TEXTURE


def spoken_of(frames: Tensor) -> Tensor:
    """(B, CHANNELS, T) -> (B, SPOKEN_CHANNELS, T): spectra and pitch alone."""
    return torch.cat([frames[:, : EARLIER.stop], frames[:, LATER.start :]], 1)


def phases_of(frames: Tensor) -> Tensor:
    """(B, CHANNELS, T) -> (B, PHASES, T)."""
    return frames[:, PHASES.start : PHASES.stop]


def with_source(spoken: Tensor, phases: Tensor, *, seeds: Tensor | None = None) -> Tensor:
    """(B, SPOKEN_CHANNELS, T), (B, PHASES, T), seeds (B, SEEDS, T) or none -> (B, CHANNELS, T); draws the texture."""
    B, _, T = spoken.shape
    states, nothing = (spoken.new_zeros(B, len(part), T) for part in (STATES, SEEDS))
    texture = torch.randn(B, len(TEXTURE), T, device=spoken.device, dtype=spoken.dtype)
    seeds = nothing if seeds is None else seeds
    earlier, later = spoken[:, : len(EARLIER)], spoken[:, -len(LATER) :]
    return torch.cat([earlier, states, texture, seeds.to(spoken), phases.to(spoken), later], 1)
