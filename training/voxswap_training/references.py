"""Stage `references`: one clip of each built-in voice, spoken by the teacher, for the voices' stored prompts.

Its tokens come from the teacher's plan, as those of the corpus do, so a prompt does not depend on how well the content
encoder listens. The transcripts are no lines of the corpus' dev set or of the evaluation. Knows nothing of the networks
to be trained.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import soundfile

from voxswap_training.codes import Codebook
from voxswap_training.entries import RATE_HZ, Entry
from voxswap_training.voices import BUILT_IN, TRANSCRIPTS, write_prompts

if TYPE_CHECKING:
    from voxswap_training.teacher import Teacher


def write_references(teacher: "Teacher", codebook: Codebook, folder: Path) -> None:
    """`<id>.flac` for every voice, and the tokens of all."""
    folder.mkdir(parents=True, exist_ok=True)
    prompts: dict[str, list[int]] = {}
    for voice, pack in BUILT_IN.items():
        take = teacher.speak(TRANSCRIPTS[voice], pack)
        soundfile.write(folder / f"{voice}.flac", take.samples, RATE_HZ, subtype="PCM_16")
        plan = take.prosody
        entry = Entry(0, pack, TRANSCRIPTS[voice], plan.phonemes, plan.frames, plan.pitch_hz, 0, len(take.samples))
        prompts[voice] = codebook.tokens(codebook.content(entry)).tolist()
        print(f"{voice}: {len(take.samples) / RATE_HZ:.2f} s")
    write_prompts(folder, prompts)


def write_sentences(teacher: "Teacher", sentences: Sequence[str], folder: Path) -> None:
    """`<id>_NN.flac` of every sentence in every voice: what the student is measured against."""
    folder.mkdir(parents=True, exist_ok=True)
    for voice, pack in BUILT_IN.items():
        for number, text in enumerate(sentences):
            samples = teacher.speak(text, pack).samples
            soundfile.write(folder / f"{voice}_{number:02d}.flac", samples, RATE_HZ, subtype="PCM_16")
