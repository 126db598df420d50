from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.conftest import IDS
from voxswap_training.codes import Codebook
from voxswap_training.entries import Entry
from voxswap_training.pack import Lines, Ragged, compress_audio, expand_audio
from voxswap_training.sound import RATE_HZ, Sound, resampled_counts, write_resampled


def test_ragged_rows_come_back() -> None:
    rows = [np.array([1, 2]), np.array([], int), np.array([3])]
    ragged = Ragged.of(rows, "uint16")
    assert [ragged[index].tolist() for index in range(3)] == [[1, 2], [], [3]]
    assert ragged.lengths.tolist() == [2, 0, 1]


def test_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        Ragged.of([np.array([256])], "uint8")


def test_lines_survive_their_file(lines: Lines, tmp_path: Path) -> None:
    lines.save(tmp_path / "lines.npz")
    again = Lines.load(tmp_path / "lines.npz")
    assert again.voices == ("amber", "onyx")
    assert (again.spoken, len(again.phones)) == (8, 10)
    for row in range(10):
        assert again.phones[row].tolist() == list(IDS)
        assert again.tokens[row].tolist() == lines.tokens[row].tolist()
        assert len(again.phone_at_token[row]) == len(again.tokens[row])
    assert [len(again.classes[row]) for row in range(8)] == [2 * len(again.tokens[row]) for row in range(8)]


def audio_of(entries: list[Entry]) -> np.ndarray:
    """A tone of its own for every entry, and rubbish between them."""
    audio = np.full(max(e.first_sample + e.samples for e in entries), 12_345, np.int16)
    for number, e in enumerate(entries):
        tone = 8000 * np.sin(2 * np.pi * (300 + 50 * number) * np.arange(e.samples) / 24_000)
        audio[e.first_sample : e.first_sample + e.samples] = tone
    return audio


def test_sound_survives_opus(entries: list[Entry], lines: Lines, tmp_path: Path) -> None:
    audio = audio_of(entries)
    assert compress_audio(entries, audio, tmp_path, level=0.5, limit_bytes=10**9) == len(entries)
    expanded = expand_audio(lines, tmp_path, tmp_path / "raw.i16", processes=1)
    assert len(expanded) == sum(e.samples for e in entries)
    first = 0
    for e in entries:
        wanted = audio[e.first_sample : e.first_sample + e.samples].astype(float)
        heard = expanded[first : first + e.samples].astype(float)
        assert np.corrcoef(wanted[1000:-1000], heard[1000:-1000])[0, 1] > 0.95
        first += e.samples


def test_rows_without_sound_are_noticed(entries: list[Entry], lines: Lines, tmp_path: Path) -> None:
    assert compress_audio(entries[:3], audio_of(entries), tmp_path, level=0.5, limit_bytes=10**9) == 3
    with pytest.raises(ValueError, match="3 rows"):
        expand_audio(lines, tmp_path, tmp_path / "raw.i16", processes=1)


def test_stretches_of_resampled_rows(entries: list[Entry], lines: Lines, codebook: Codebook, tmp_path: Path) -> None:
    audio = audio_of(entries)
    whole = np.concatenate([audio[e.first_sample : e.first_sample + e.samples] for e in entries])
    write_resampled(lines, whole, tmp_path / "sound", rate_hz=RATE_HZ, processes=1)
    sound = Sound(tmp_path / "sound", resampled_counts(lines, RATE_HZ), torch.device("cpu"))
    count = int(sound.counts[2])
    piece = sound.rows(torch.tensor([2, 0]), torch.tensor([-100, count - 50]), 400)
    assert not piece[0, :100].any()
    time = torch.arange(300) / RATE_HZ
    tone = 8000 / 32768 * torch.sin(2 * torch.pi * 400 * time)
    torch.testing.assert_close(piece[0, 150:], tone[50:], atol=0.01, rtol=0)
    short = int(sound.counts[0]) - (count - 50)
    assert not piece[1, max(0, short) :].any()
    assert codebook.silence >= 0


def test_a_file_of_another_length_is_refused(lines: Lines, tmp_path: Path) -> None:
    (tmp_path / "sound").write_bytes(bytes(100))
    with pytest.raises(ValueError, match="50 samples"):
        Sound(tmp_path / "sound", resampled_counts(lines, RATE_HZ), torch.device("cpu"))
