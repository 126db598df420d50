from pathlib import Path

import numpy as np
import pytest

from tests.training.conftest import entry
from voxswap_training.codes import CODES, DECODER_SCALE, DIMS, Codebook
from voxswap_training.phonemes import INDEX, classes_at_frames


def test_a_token_is_the_nearest_code(codebook: Codebook) -> None:
    rng = np.random.default_rng(1)
    chosen = rng.integers(CODES, size=7)
    content = codebook.vectors[chosen].reshape(14, DIMS) + 1e-3
    assert codebook.tokens(content).tolist() == chosen.tolist()


def test_content_says_class_and_pitch(codebook: Codebook) -> None:
    line = entry(0, "onyx")
    content = codebook.content(line)
    sounds = classes_at_frames(line.phonemes, line.frames)
    assert np.array_equal(content[:, :-1], codebook.classes[sounds])
    assert (content[sounds == INDEX["æ"], -1] > 0).all()  # 150 Hz and more is high for a voice of 110
    assert codebook.tokens(content).shape == (len(sounds) // 2,)


def test_the_decoders_codebook_is_the_same_scaled(codebook: Codebook) -> None:
    whole = codebook.for_decoder(64)
    assert whole.shape == (CODES, 64)
    assert np.allclose(whole[:, : 2 * DIMS], DECODER_SCALE * codebook.vectors)
    assert not whole[:, 2 * DIMS :].any()


def test_silence_is_the_code_nearest_to_a_pause(codebook: Codebook) -> None:
    quiet = np.append(codebook.classes[INDEX["sil"]], 0.0)
    distances = np.square(codebook.vectors - np.tile(quiet, 2)).sum(1)
    assert codebook.silence == int(distances.argmin())


def test_a_codebook_survives_its_file(codebook: Codebook, tmp_path: Path) -> None:
    codebook.save(tmp_path / "codebook.npz")
    again = Codebook.load(tmp_path / "codebook.npz")
    assert again.medians_hz == codebook.medians_hz
    assert np.array_equal(again.vectors, codebook.vectors)
    assert again.pitch_weight == codebook.pitch_weight


def test_fitting_finds_codes_that_keep_the_classes() -> None:
    fitting = pytest.importorskip("voxswap_training.fit_codes", reason="needs the training group (scikit-learn)")
    rng = np.random.default_rng(0)
    spoken = [entry(number, "amber") for number in range(6)]
    audio = rng.integers(-9000, 9000, max(e.first_sample + e.samples for e in spoken)).astype(np.int16)
    lines = [entry(number, "amber", spoken=False) for number in range(200)]
    found = fitting.fit(spoken, audio, lines, pitch_weight=0.05)
    assert found.vectors.shape == (CODES, 2 * DIMS)
    content = np.concatenate([found.content(line) for line in lines[:4]])
    assert np.abs(found.vectors[found.tokens(content)].reshape(-1, DIMS) - content).mean() < 0.05
    assert "codes used" in fitting.report(found, lines)


def test_mutual_information_of_a_sequence_with_itself_is_its_entropy() -> None:
    fitting = pytest.importorskip("voxswap_training.fit_codes", reason="needs the training group (scikit-learn)")
    labels = np.array([0, 1, 2, 3] * 25)
    assert fitting.mutual_information(labels, labels) == pytest.approx(np.log(4))
    assert fitting.mutual_information(labels, np.zeros(100, int)) == pytest.approx(0)
