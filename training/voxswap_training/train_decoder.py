"""Stage `decoder`: what `acoustic` and `vocoder` learnt by themselves is put together.

The prior's frames are smoother than true ones; here the generator learns to speak from them, with the discriminators
that it had before. The prior stays as it is: trained along, it was pulled away from the spectra, and words were lost
(docs/BUILTIN_VOICES.md). Knows nothing of T2S.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from voxswap_training.flow import SOURCE_COUPLINGS, Flow
from voxswap_training.loop import Budget
from voxswap_training.oscillator import Misses
from voxswap_training.pack import Lines
from voxswap_training.phases import Phases
from voxswap_training.pitch import Pitch
from voxswap_training.shape import SovitsShape
from voxswap_training.sound import Sound
from voxswap_training.sovits import TrainableSovits
from voxswap_training.stretches import SaidStretches
from voxswap_training.train_acoustic import CORRUPTED_SHARE, FREQUENT_SHARE, Acoustic
from voxswap_training.train_generator import GeneratorSettings, GeneratorTrainer
from voxswap_training.utterances import Utterances


@dataclass(frozen=True, slots=True)
class Parts:
    """Checkpoints of what a decoder is put together from."""

    acoustic: Path
    vocoder: Path
    """Or of another decoder."""
    source: Path


def train(
    lines: Lines,
    sound: Sound,
    pitch: Pitch,
    codebook: Tensor,
    folder: Path,
    budget: Budget,
    settings: GeneratorSettings,
    *,
    parts: Parts,
    shape: SovitsShape,
    device: torch.device,
) -> TrainableSovits:
    """Trains until the budget is spent; two of `parts` are read only where there is no checkpoint to go on from."""
    acoustic = Acoustic(shape, codebook).to(device).eval()
    trainer = GeneratorTrainer(acoustic, acoustic.decoder.dec, folder / "decoder.pt", budget, settings)
    if not trainer.resumed:
        acoustic.load_state_dict(_read(parts.acoustic)["network"])
        trainer.begin_from(_read(parts.vocoder))
    phases = Phases(sound, pitch)
    source = Flow(replace(shape, couplings=SOURCE_COUPLINGS))
    source.load_state_dict(_read(parts.source)["network"])
    misses = Misses(source, pitch, device)
    train_on, held_out = (
        SaidStretches(
            acoustic,
            Utterances(lines, sound, pitch, device, dev=dev, seed=seed, frequent_share=FREQUENT_SHARE),
            lines,
            sound,
            phases,
            misses,
            corrupted_share=corrupted,
        )
        for dev, seed, corrupted in ((False, trainer.seed, CORRUPTED_SHARE), (True, 1, 0.0))
    )
    trainer.run(train_on, held_out)
    return acoustic.decoder


def _read(file: Path) -> dict[str, dict[str, Tensor]]:
    kept: dict[str, dict[str, Tensor]] = torch.load(file, map_location="cpu", weights_only=True)
    return kept
