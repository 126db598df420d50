"""The semantic codebook, and the tokens of every line.

A code is what is said in 40 ms: the sound class of either half and how high the voice is. It is made from the
teacher's own plan, not from sound, so tokens of lines that were never spoken are exact too. How near two classes lie
is measured once on speech: their mean cepstra, whitened by what varies within a class (LDA). The content encoder
learns to hear the same vectors (stage `content`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from voxswap_training.entries import Entry
from voxswap_training.phonemes import INDEX, SILENCE, classes_at_frames, semitones_at_frames

CODES = 1024
CLASS_DIMS = 20
DIMS = CLASS_DIMS + 1
"""Of a content vector: the place of its class, and its pitch."""
DECODER_SCALE = 4.0
"""Content vectors are small; the checkpoint's are of the size that layers are used to."""


@dataclass(frozen=True, slots=True)
class Codebook:
    classes: NDArray[np.float32]
    """(len(CLASSES), CLASS_DIMS)"""
    pitch_weight: float
    """A semitone in the units of `classes`."""
    vectors: NDArray[np.float32]
    """(CODES, 2 * DIMS): both halves of a token, one after the other."""
    medians_hz: dict[str, float]
    """Of each voice."""

    def content(self, entry: Entry) -> NDArray[np.float32]:
        """(T, DIMS) content vectors, 50 a second, T even."""
        sounds = classes_at_frames(entry.phonemes, entry.frames)
        pitch = semitones_at_frames(entry.pitch_hz, sounds, self.medians_hz[entry.voice])
        return np.concatenate([self.classes[sounds], self.pitch_weight * pitch[:, None]], 1)

    def tokens(self, content: NDArray[np.float32]) -> NDArray[np.int64]:
        """(T, DIMS) -> (T/2,) the nearest code of every pair of frames."""
        pairs = content.reshape(-1, 2 * DIMS)
        return (np.square(self.vectors).sum(1) - 2 * pairs @ self.vectors.T).argmin(1)

    @property
    def silence(self) -> int:
        """The token of a pause."""
        quiet = np.concatenate([self.classes[INDEX[SILENCE]], [0.0]]).astype(np.float32)
        return int(self.tokens(np.stack([quiet, quiet]))[0])

    def for_decoder(self, width: int) -> NDArray[np.float32]:
        """The codebook as a checkpoint holds it: (CODES, width), zeros beyond what is used."""
        whole = np.zeros((CODES, width), np.float32)
        whole[:, : 2 * DIMS] = DECODER_SCALE * self.vectors
        return whole

    def save(self, file: Path) -> None:
        names = list(self.medians_hz)
        np.savez(
            file,
            classes=self.classes,
            pitch_weight=self.pitch_weight,
            vectors=self.vectors,
            voices=np.array(names),
            medians_hz=np.array([self.medians_hz[name] for name in names]),
        )

    @classmethod
    def load(cls, file: Path) -> Self:
        with np.load(file) as kept:
            medians = dict(zip(kept["voices"].tolist(), kept["medians_hz"].tolist(), strict=True))
            return cls(kept["classes"], float(kept["pitch_weight"]), kept["vectors"], medians)
