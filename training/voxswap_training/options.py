"""Arguments that several stages have, and what is made of them. Knows no stage."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from voxswap_training.loop import Budget
    from voxswap_training.pack import Lines
    from voxswap_training.pitch import Pitch
    from voxswap_training.sound import Sound


def content_sound(options: argparse.Namespace, device: "torch.device") -> "Sound":
    from voxswap_training.pack import Lines
    from voxswap_training.sound import CONTENT_RATE_HZ, Sound, resampled_counts

    lines = Lines.load(options.pack / "lines.npz")
    return Sound(options.sound / "sound_16k.i16", resampled_counts(lines, CONTENT_RATE_HZ), device)


def decoder_sound(options: argparse.Namespace, device: "torch.device") -> "tuple[Lines, Sound, Pitch]":
    from voxswap_training.codes import Codebook
    from voxswap_training.pack import Lines
    from voxswap_training.pitch import Pitch
    from voxswap_training.sound import RATE_HZ, Sound, resampled_counts

    lines = Lines.load(options.pack / "lines.npz")
    sound = Sound(options.sound / "sound_32k.i16", resampled_counts(lines, RATE_HZ), device)
    return lines, sound, Pitch(lines, Codebook.load(options.codebook).medians_hz)


def decoder_codebook(options: argparse.Namespace, width: int) -> "torch.Tensor":
    import torch

    from voxswap_training.codes import Codebook

    return torch.from_numpy(Codebook.load(options.codebook).for_decoder(width))


def add_training(stage: argparse.ArgumentParser) -> None:
    """Arguments of every stage that trains."""
    stage.add_argument("--pack", type=Path, required=True, help="folder of stage `pack`")
    stage.add_argument("--out", type=Path, required=True, help="folder for checkpoint and curve")
    stage.add_argument(
        "--budget-minutes", type=float, required=True, help="of all runs together: the schedule's length"
    )
    stage.add_argument("--minutes", type=float, default=1e9, help="of this run")
    stage.add_argument("--device", default="cpu", help="cpu or cuda")
    stage.add_argument("--threads", type=int, default=1, help="of the CPU")
    stage.add_argument("--seed", type=int, default=0)


def budget_of(options: argparse.Namespace) -> "Budget":
    from voxswap_training.loop import Budget

    options.out.mkdir(parents=True, exist_ok=True)
    return Budget(options.budget_minutes, options.minutes)


def device_of(options: argparse.Namespace) -> "torch.device":
    import torch

    torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("medium")
    return torch.device(options.device)
