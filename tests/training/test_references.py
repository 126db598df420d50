"""Reference clips of the built-in voices, and the tokens that the teacher planned for them."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tests.training.conftest import FRAMES, PHONEMES
from voxswap_training.bundle import _table
from voxswap_training.codes import CLASS_DIMS, CODES, DIMS, Codebook
from voxswap_training.entries import FRAME_SAMPLES, RATE_HZ
from voxswap_training.phonemes import CLASSES
from voxswap_training.references import write_references
from voxswap_training.voices import BUILT_IN, TRANSCRIPTS, read_prompts


class Plan:
    phonemes, frames = PHONEMES, FRAMES
    pitch_hz = (150,) * sum(FRAMES)


class Take:
    prosody = Plan()
    samples = np.full(sum(FRAMES) * FRAME_SAMPLES, 0.25, np.float32)


class Teacher:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def speak(self, text: str, voice: str) -> Take:
        self.asked.append((text, voice))
        return Take()


def test_every_voice_has_a_clip_and_the_tokens_of_its_plan(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    places = rng.normal(size=(len(CLASSES), CLASS_DIMS)).astype(np.float32)
    vectors = rng.normal(size=(CODES, 2 * DIMS)).astype(np.float32)
    codebook = Codebook(places, 0.05, vectors, dict.fromkeys(BUILT_IN.values(), 140.0))
    teacher: Any = Teacher()
    write_references(teacher, codebook, tmp_path)
    assert teacher.asked == [(TRANSCRIPTS[voice], pack) for voice, pack in BUILT_IN.items()]
    prompts = read_prompts(tmp_path)
    assert prompts.keys() == BUILT_IN.keys()
    for voice, tokens in prompts.items():
        samples, rate_hz = soundfile.read(tmp_path / f"{voice}.flac")
        assert rate_hz == RATE_HZ
        assert abs(len(tokens) - len(samples) / (0.04 * RATE_HZ)) < 1
        assert set(tokens) <= set(range(CODES))
    rows = tomllib.loads(_table(prompts))["voices"]
    assert [(row["id"], row["prompt_tokens"]) for row in rows] == [(v, list(t)) for v, t in prompts.items()]
