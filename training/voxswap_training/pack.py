"""Stage `pack`: everything that training reads, in arrays that travel.

`lines.npz` holds, for spoken and unspoken lines alike, phones, tokens and which phone each token speaks; for spoken
ones the sound classes and pitch of every frame too. `audio_*.ogg` (Opus) hold the sound. Knows nothing of networks.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from voxswap_training.alignment import phone_at_tokens
from voxswap_training.codes import Codebook
from voxswap_training.entries import RATE_HZ, Entry, is_dev_line
from voxswap_training.phonemes import classes_at_frames, semitones_at_frames

PITCH_STEPS: Final = 10
"""Pitch is kept in tenths of a semitone."""
_SHARD_SAMPLES = 300 * RATE_HZ
_GAP_SAMPLES = RATE_HZ // 10


@dataclass(frozen=True, slots=True)
class Ragged:
    """Rows of different lengths, end to end."""

    values: NDArray[np.integer]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[NDArray[np.integer]], dtype: str) -> Self:
        ends = np.cumsum([len(row) for row in rows])
        values = np.concatenate(rows) if rows else np.zeros(0)
        if values.size and (values.min() < np.iinfo(dtype).min or values.max() > np.iinfo(dtype).max):
            raise ValueError(f"values from {values.min()} to {values.max()} do not fit {dtype}")
        return cls(values.astype(dtype), ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, row: int) -> NDArray[np.integer]:
        first = self.ends[row - 1] if row else 0
        return self.values[first : self.ends[row]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.ends, prepend=0)


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a corpus; rows of all fields belong together. The first `spoken` rows have sound."""

    phones: Ragged
    tokens: Ragged
    phone_at_token: Ragged
    voice: NDArray[np.int64]
    """Index into `voices`."""
    voices: tuple[str, ...]
    dev: NDArray[np.bool_]
    """Kept out of training."""
    classes: Ragged
    """Of spoken rows: the sound class of each frame of 20 ms."""
    pitch: Ragged
    """Of spoken rows: tenths of a semitone above the voice's median, one a frame."""
    first_sample: NDArray[np.int64]
    samples: NDArray[np.int64]

    @property
    def spoken(self) -> int:
        return len(self.classes)

    def save(self, file: Path) -> None:
        arrays: dict[str, Any] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, Ragged):
                arrays[name], arrays[f"{name}.ends"] = value.values, value.ends
            else:
                arrays[name] = np.asarray(value)
        np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, file: Path) -> Self:
        with np.load(file) as kept:
            fields = {name: kept[name] for name in kept.files}
        ends = {name.removesuffix(".ends") for name in fields if name.endswith(".ends")}
        whole: dict[str, Any] = {name: Ragged(fields[name], fields[f"{name}.ends"]) for name in ends}
        plain: dict[str, Any] = {name: fields[name] for name in cls.__slots__ if name not in ends}
        plain["voices"] = tuple(plain["voices"].tolist())
        return cls(**whole, **plain)


def build_lines(
    spoken: Sequence[Entry],
    unspoken: Sequence[Entry],
    codebook: Codebook,
    phones_of: Callable[[str], tuple[tuple[str, ...], tuple[int, ...]]],
) -> Lines:
    """Arrays of a corpus.

    Args:
        spoken: entries with sound.
        unspoken: entries without.
        codebook: gives the tokens.
        phones_of: text to the front-end's phones and their ids.
    """
    entries = [*spoken, *unspoken]
    voices = tuple(dict.fromkeys(entry.voice for entry in entries))
    number = {voice: index for index, voice in enumerate(voices)}
    read = [phones_of(entry.text) for entry in entries]
    sounds = [classes_at_frames(entry.phonemes, entry.frames) for entry in spoken]
    pitch = [
        semitones_at_frames(entry.pitch_hz, frames, codebook.medians_hz[entry.voice])
        for entry, frames in zip(spoken, sounds, strict=True)
    ]
    return Lines(
        phones=Ragged.of([np.array(ids) for _, ids in read], "uint16"),
        tokens=Ragged.of([codebook.tokens(codebook.content(entry)) for entry in entries], "uint16"),
        phone_at_token=Ragged.of(
            [phone_at_tokens(entry, names, codebook.classes) for entry, (names, _) in zip(entries, read, strict=True)],
            "uint16",
        ),
        voice=np.array([number[entry.voice] for entry in entries]),
        voices=voices,
        dev=np.array([is_dev_line(entry.number) for entry in entries]),
        classes=Ragged.of(sounds, "uint8"),
        pitch=Ragged.of([np.round(row * PITCH_STEPS).astype(np.int64) for row in pitch], "int8"),
        first_sample=np.array([entry.first_sample for entry in spoken], np.int64),
        samples=np.array([entry.samples for entry in spoken], np.int64),
    )


def compress_audio(
    entries: Sequence[Entry], audio: NDArray[np.int16], folder: Path, *, level: float, limit_bytes: int
) -> int:
    """Writes the sound of the first entries as Opus until `limit_bytes` are full; returns how many have sound.

    A gap after each utterance keeps the codec from smearing one into the next.
    """
    import soundfile

    rows = total = shard = 0
    gap = np.zeros(_GAP_SAMPLES, np.int16)
    while rows < len(entries) and total < limit_bytes:
        pieces: list[NDArray[np.int16]] = []
        while rows < len(entries) and sum(map(len, pieces)) < _SHARD_SAMPLES:
            first = entries[rows].first_sample
            pieces += [audio[first : first + entries[rows].samples], gap]
            rows += 1
        file = folder / f"audio_{shard:03d}.ogg"
        soundfile.write(file, np.concatenate(pieces), RATE_HZ, format="OGG", subtype="OPUS", compression_level=level)
        total += file.stat().st_size
        shard += 1
    return rows


def expand_audio(lines: Lines, folder: Path, target: Path, *, processes: int) -> NDArray[np.int16]:
    """Decodes the Opus files into one raw file, row after row; returns it mapped into memory."""
    shards = sorted(folder.glob("audio_*.ogg"))
    with ProcessPoolExecutor(processes) as pool, target.open("wb") as out:
        row = 0
        for decoded in pool.map(_decode, shards):
            first = 0
            while row < lines.spoken and first + lines.samples[row] <= len(decoded):
                out.write(decoded[first : first + lines.samples[row]].tobytes())
                first += int(lines.samples[row]) + _GAP_SAMPLES
                row += 1
    if row != lines.spoken:
        raise ValueError(f"{folder} has sound for {row} rows, the lines have {lines.spoken}")
    return np.memmap(target, np.int16, "r")


def _decode(file: Path) -> NDArray[np.int16]:
    import soundfile

    samples, _ = soundfile.read(file, dtype="int16")
    return samples
