"""The index of a corpus: who says what when, and where its sound lies. Knows nothing of how it was made."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

RATE_HZ: Final = 24_000
"""Of the corpus' sound."""
FRAME_SAMPLES: Final = 600
"""Durations count frames of 25 ms."""
_DEV_EVERY = 50


def is_dev_line(number: int) -> bool:
    """Whether the line with this number is kept out of training; only such lines say dev sentences."""
    return number % _DEV_EVERY == _DEV_EVERY - 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One utterance of the corpus."""

    number: int
    voice: str
    text: str
    phonemes: str
    frames: tuple[int, ...]
    pitch_hz: tuple[int, ...]
    first_sample: int = 0
    samples: int = 0


def read_index(folder: Path) -> list[Entry]:
    """The utterances of a corpus; a last line that was cut off when the machine stopped is left out."""
    file = folder / "index.jsonl"
    if not file.exists():
        return []
    entries = []
    for line in file.read_text("utf-8").splitlines():
        try:
            fields = json.loads(line)
        except json.JSONDecodeError:
            break
        fields["frames"], fields["pitch_hz"] = tuple(fields["frames"]), tuple(fields["pitch_hz"])
        entries.append(Entry(**fields))
    return entries


def open_audio(folder: Path) -> NDArray[np.int16]:
    """The sound of a corpus, mapped into memory."""
    return np.memmap(folder / "audio.i16", np.int16, "r")
