"""Stage `references`: one clip of each built-in voice, spoken by the teacher, for the voices' stored prompts.

The transcripts are no lines of the corpus' dev set or of the evaluation. Knows nothing of the networks to be trained.
"""

from pathlib import Path
from typing import Final

import soundfile

from voxswap_training.corpus import BUILT_IN
from voxswap_training.entries import RATE_HZ
from voxswap_training.teacher import Teacher

TRANSCRIPTS: Final = {
    "amber": "The old man opened the window, and looked out at the sea.",
    "slate": "We should leave now, before it gets dark and the roads are empty.",
    "coral": "After a while, the sound of the engine faded away in the distance.",
    "onyx": "The weather in the mountains can change very quickly, so be careful.",
}
"""Each 3 to 6 seconds long, and of all kinds of sounds."""


def write_references(teacher: Teacher, folder: Path) -> None:
    """`<id>.flac` for every voice."""
    folder.mkdir(parents=True, exist_ok=True)
    for voice, pack in BUILT_IN.items():
        take = teacher.speak(TRANSCRIPTS[voice], pack)
        soundfile.write(folder / f"{voice}.flac", take.samples, RATE_HZ, subtype="PCM_16")
        print(f"{voice}: {len(take.samples) / RATE_HZ:.2f} s")
