"""Stage `references`: one clip of each built-in voice, spoken by the teacher, for the voices' stored prompts.

The transcripts are no lines of the corpus' dev set or of the evaluation. Knows nothing of the networks to be trained.
"""

from collections.abc import Sequence
from pathlib import Path

import soundfile

from voxswap_training.entries import RATE_HZ
from voxswap_training.teacher import Teacher
from voxswap_training.voices import BUILT_IN, TRANSCRIPTS


def write_references(teacher: Teacher, folder: Path) -> None:
    """`<id>.flac` for every voice."""
    folder.mkdir(parents=True, exist_ok=True)
    for voice, pack in BUILT_IN.items():
        take = teacher.speak(TRANSCRIPTS[voice], pack)
        soundfile.write(folder / f"{voice}.flac", take.samples, RATE_HZ, subtype="PCM_16")
        print(f"{voice}: {len(take.samples) / RATE_HZ:.2f} s")


def write_sentences(teacher: Teacher, sentences: Sequence[str], folder: Path) -> None:
    """`<id>_NN.flac` of every sentence in every voice: what the student is measured against."""
    folder.mkdir(parents=True, exist_ok=True)
    for voice, pack in BUILT_IN.items():
        for number, text in enumerate(sentences):
            samples = teacher.speak(text, pack).samples
            soundfile.write(folder / f"{voice}_{number:02d}.flac", samples, RATE_HZ, subtype="PCM_16")
