"""Stage `corpus`: the teacher's speech in the built-in voices and in many voices that do not exist.

Writes `audio.i16` (24 kHz mono, one utterance after the other) and `index.jsonl` (one line each: text, voice,
phonemes, durations, pitch, place). Stop it at any time and start it again: it goes on where the files end. What is
said at a position depends only on the seed and the position.
"""

import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from voxswap_training.entries import RATE_HZ, Entry, is_dev_line
from voxswap_training.text import compose, is_dev, own_phrases, wordnet_examples
from voxswap_training.voices import BUILT_IN

if TYPE_CHECKING:
    from voxswap_training.teacher import Prosody, Teacher

MIXED_SPEAKERS = 300
_PEAK = 0.95


@dataclass(frozen=True, slots=True)
class Line:
    """What is to be said by whom."""

    number: int
    voice: str
    text: str


def script(wordnet: Path, seed: int, *, built_in_share: float, start: int = 0) -> Iterator[Line]:
    """The endless list of lines; sentences of the dev set come only in every fiftieth line, and alone there."""
    sentences = wordnet_examples(wordnet)
    train = [sentence for sentence in sentences if not is_dev(sentence)]
    dev = [sentence for sentence in sentences if is_dev(sentence)]
    phrases, names = own_phrases(), list(BUILT_IN.values())
    number = start
    while True:
        rng = random.Random(f"{seed} {number}")
        voice = rng.choice(names) if rng.random() < built_in_share else f"mix-{rng.randrange(MIXED_SPEAKERS)}"
        text = rng.choice(dev) if is_dev_line(number) else compose(rng, train, phrases)
        yield Line(number, voice, text)
        number += 1


def generate(
    folder: Path, teacher: "Teacher", lines: Iterator[Line], done: Sequence[Entry], *, hours: float, minutes: float
) -> None:
    """Speaks lines until the corpus is `hours` long or `minutes` have passed."""
    end = done[-1].first_sample + done[-1].samples if done else 0
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "audio.i16").touch()
    _write_index(folder, done)
    started, first = time.monotonic(), end
    with (folder / "audio.i16").open("r+b") as audio, (folder / "index.jsonl").open("a", encoding="utf-8") as index:
        audio.truncate(2 * end)
        audio.seek(2 * end)
        for line in lines:
            take = teacher.speak(line.text, line.voice)
            peak = max(float(np.abs(take.samples).max()), 1e-4)
            pcm = np.round(take.samples * min(1.0, _PEAK / peak) * 32767).astype("<i2")
            audio.write(pcm.tobytes())
            audio.flush()
            index.write(_json(line, take.prosody, end, len(pcm)))
            index.flush()
            end += len(pcm)
            spent = time.monotonic() - started
            if line.number % 100 == 0:
                factor = spent * RATE_HZ / (end - first)
                print(f"{line.number} utterances, {end / RATE_HZ / 3600:.2f} h, {factor:.2f} of real time", flush=True)
            if end >= hours * 3600 * RATE_HZ or spent > 60 * minutes:
                return


def generate_prosody(file: Path, teacher: "Teacher", lines: Iterator[Line], *, count: int, minutes: float) -> None:
    """As `generate`, but only who says what when: a hundred thousand pairs for T2S need no sound."""
    file.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with file.open("a", encoding="utf-8") as index:
        for line in lines:
            if line.number >= count or time.monotonic() - started > 60 * minutes:
                return
            index.write(_json(line, teacher.prosody(line.text, line.voice), 0, 0))
            if line.number % 1000 == 0:
                index.flush()
                print(f"{line.number} lines after {time.monotonic() - started:.0f} s", flush=True)


def _json(line: Line, prosody: "Prosody", first_sample: int, samples: int) -> str:
    entry = Entry(**asdict(line), **asdict(prosody), first_sample=first_sample, samples=samples)
    return json.dumps(asdict(entry), ensure_ascii=False, separators=(",", ":")) + "\n"


def _write_index(folder: Path, entries: Sequence[Entry]) -> None:
    """Rewrites the index so that a line cut off by a stop is gone before more are added."""
    whole = "".join(json.dumps(asdict(e), ensure_ascii=False, separators=(",", ":")) + "\n" for e in entries)
    (folder / "index.jsonl").write_text(whole, "utf-8")
