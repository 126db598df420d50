"""Stage `vocoder`: the generator alone, from true frames to the waveform.

It needs neither codes nor the prior, so it learns beside the other stages; stage `decoder` then puts the two together.
Knows nothing of voices.
"""

from pathlib import Path
from typing import Final

import numpy as np
import torch

from voxswap_training.generator import Generator
from voxswap_training.loop import Budget
from voxswap_training.mel_frames import MelFrames
from voxswap_training.pack import Lines
from voxswap_training.phases import Phases
from voxswap_training.pitch import Pitch
from voxswap_training.shape import SovitsShape
from voxswap_training.sound import Sound
from voxswap_training.stretches import TrueStretches
from voxswap_training.train_generator import GeneratorSettings, GeneratorTrainer

_NOISE: Final = 0.1


def train(
    lines: Lines,
    sound: Sound,
    pitch: Pitch,
    folder: Path,
    budget: Budget,
    settings: GeneratorSettings,
    *,
    shape: SovitsShape,
    device: torch.device,
) -> Generator:
    """Trains until the budget is spent; checkpoint and curve lie in `folder`."""
    torch.manual_seed(settings.seed)
    generator = Generator(shape).to(device)
    trainer = GeneratorTrainer(generator, generator, folder / "vocoder.pt", budget, settings)
    mel = MelFrames().to(device)
    phases = Phases(sound, pitch)
    dev = lines.dev[: lines.spoken]
    train_on, held_out = (
        TrueStretches(np.flatnonzero(rows), sound, pitch, phases, mel, gin=shape.gin_channels, noise=noise)
        for rows, noise in ((~dev, _NOISE), (dev, 0.0))
    )
    trainer.run(train_on, held_out)
    return generator
