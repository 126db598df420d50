"""A tiny corpus: a few lines whose plan is known by heart."""

from pathlib import Path

import numpy as np
import pytest
import torch

from voxswap_training import loop
from voxswap_training.codes import CLASS_DIMS, CODES, DIMS, Codebook
from voxswap_training.entries import FRAME_SAMPLES, Entry
from voxswap_training.pack import Lines, build_lines
from voxswap_training.phases import Phases
from voxswap_training.phonemes import CLASSES
from voxswap_training.pitch import Pitch
from voxswap_training.sound import RATE_HZ, Sound, resampled_counts

PHONEMES = "_hˈAt kˈæt._"
FRAMES = (4, 2, 3, 4, 3, 2, 2, 2, 4, 3, 6, 3)
NAMES = ("HH", "EY1", "T", "K", "AE1", "T", ".")
IDS = tuple(range(1, len(NAMES) + 1))


def entry(number: int, voice: str, *, spoken: bool = True, text: str = "Hate cat.") -> Entry:
    frames = tuple(count + number % 2 for count in FRAMES)
    samples = sum(frames) * FRAME_SAMPLES
    pitch = tuple(150 + 3 * frame for frame in range(sum(frames)))
    first = number * (sum(FRAMES) + len(FRAMES)) * FRAME_SAMPLES if spoken else 0
    return Entry(number, voice, text, PHONEMES, frames, pitch, first, samples if spoken else 0)


class Clock:
    """Every look at it is a second later."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Budgets are times; here they are numbers of steps, whatever else the machine does."""
    clock = Clock()
    monkeypatch.setattr(loop, "time", clock)
    return clock


@pytest.fixture
def codebook() -> Codebook:
    rng = np.random.default_rng(0)
    places = rng.normal(size=(len(CLASSES), CLASS_DIMS)).astype(np.float32)
    vectors = rng.normal(size=(CODES, 2 * DIMS)).astype(np.float32)
    return Codebook(places, 0.05, vectors, {"amber": 170.0, "onyx": 110.0})


@pytest.fixture
def entries() -> list[Entry]:
    return [entry(number, voice) for number, voice in enumerate(("amber", "onyx") * 4)]


@pytest.fixture
def lines(entries: list[Entry], codebook: Codebook) -> Lines:
    unspoken = [entry(8, "amber", spoken=False), entry(9, "onyx", spoken=False)]
    return build_lines(entries, unspoken, codebook, lambda _: (NAMES, IDS))


@pytest.fixture
def sound(lines: Lines, tmp_path: Path) -> Sound:
    """Of every line the same tone, at the decoder's rate."""
    counts = resampled_counts(lines, RATE_HZ)
    tone = 9000 * np.sin(2 * np.pi * 220 * np.arange(counts.sum()) / RATE_HZ)
    tone.astype(np.int16).tofile(tmp_path / "sound")
    return Sound(tmp_path / "sound", counts, torch.device("cpu"))


@pytest.fixture
def pitch(lines: Lines, codebook: Codebook) -> Pitch:
    return Pitch(lines, codebook.medians_hz)


@pytest.fixture
def phases(sound: Sound, pitch: Pitch) -> Phases:
    return Phases(sound, pitch)
