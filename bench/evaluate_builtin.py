"""Gates of the built-in voices: every sentence in every voice, judged by networks that never trained them.

`python -m bench.evaluate_builtin FOLDER` prints one line a gate, and what each voice got. Other sentences, other
speakers' clips and real people by `--sentences`, `--clips` and `--people`. See docs/BUILTIN_VOICES.md.
"""

import argparse
import itertools
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

from bench.built_in_speech import BuiltIn, Reference, Spoken
from bench.judges import Ge2e, Listener, Quality, Samples, word_errors, words_of
from bench.speaker_gates import by_speaker, error_rate, our_encoder
from voxswap_store.built_in import TABLE
from voxswap_training.campplus import RATE_HZ, CamPlus

_SENTENCES = Path(__file__).with_name("sentences.txt")
_CLIP_SENTENCES = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one utterance."""

    voice: str
    text: str
    heard: str
    words: int
    wrong: int
    quality: float
    campplus: tuple[float, ...]
    """Similarity to each built-in voice's reference clip, in the order of the voices."""
    ge2e: tuple[float, ...]
    rtf: float


@dataclass(frozen=True, slots=True)
class Gate:
    measure: str
    value: float
    must: float | None
    aim: float | None
    """None: no bound."""
    upper: bool = True
    """The value must stay below its bounds, not above."""

    @property
    def passed(self) -> bool:
        return self.must is None or (self.value <= self.must if self.upper else self.value >= self.must)

    def __str__(self) -> str:
        sign = "<=" if self.upper else ">="
        bounds = [
            f"{name} {sign} {bound:g}" for name, bound in (("must", self.must), ("aim", self.aim)) if bound is not None
        ]
        mark = "ok  " if self.passed else "FAIL"
        return f"{mark} {self.measure:<58} {self.value:8.3f}   {', '.join(bounds) or 'reported'}"


class Judges:
    def __init__(self) -> None:
        self._listener, self._quality, self._campplus, self._ge2e = Listener(), Quality(), CamPlus(), Ge2e()

    def speakers(self, samples: Samples) -> tuple[np.ndarray, np.ndarray]:
        return self._campplus.embedding(torch.from_numpy(samples)).numpy(), self._ge2e.embedding(samples)

    def verdict(
        self, voice: str, text: str, spoken: Spoken, teachers: Sequence[tuple[np.ndarray, np.ndarray]]
    ) -> Verdict:
        samples = at_judges_rate(spoken.samples, spoken.rate_hz)
        heard = self._listener.words(samples)
        said = words_of(text)
        embeddings = self.speakers(samples)
        campplus, ge2e = (tuple(float(own @ t[judge]) for t in teachers) for judge, own in enumerate(embeddings))
        rtf = (spoken.t2s_s + spoken.decoder_s) / max(spoken.audio_s, 1e-3)
        score = self._quality.score(samples)
        return Verdict(voice, text, " ".join(heard), len(said), word_errors(said, heard), score, campplus, ge2e, rtf)


def at_judges_rate(samples: Samples, rate_hz: int) -> Samples:
    """Resampled, and never shorter than the judges can hear."""
    changed = soxr.resample(samples, rate_hz, RATE_HZ).astype(np.float32)
    return np.pad(changed, (0, max(0, RATE_HZ - len(changed))))


def speak_all(built_in: BuiltIn, judges: Judges, sentences: Sequence[str], keep: Path) -> Iterator[Verdict]:
    """Every sentence in every voice; what is spoken is kept as VOICE_NUMBER.flac."""
    keep.mkdir(parents=True, exist_ok=True)
    clips = {voice: clip for voice, (clip, _) in built_in.voices.items()}
    teachers = [judges.speakers(read_clip(clip)) for clip in clips.values()]
    for voice in clips:
        reference = built_in.voice(voice)
        for number, text in enumerate(sentences):
            spoken = built_in.speak(text, reference, seed=number)
            soundfile.write(keep / f"{voice}_{number:02d}.flac", spoken.samples, spoken.rate_hz)
            yield judges.verdict(voice, text, spoken, teachers)


def gates(verdicts: Sequence[Verdict], voices: Sequence[str]) -> list[Gate]:
    right = {
        judge: np.mean([voices[int(np.argmax(getattr(v, judge)))] == v.voice for v in verdicts])
        for judge in ("campplus", "ge2e")
    }
    return [
        Gate("word error rate (Moonshine tiny)", _word_error_rate(verdicts), 0.15, 0.05),
        Gate("DistillMOS, mean", float(np.mean([v.quality for v in verdicts])), 2.5, 3.4, upper=False),
        Gate("nearest teacher voice is the right one (CAM++)", float(right["campplus"]), 0.95, 1.0, upper=False),
        Gate("nearest teacher voice is the right one (GE2E)", float(right["ge2e"]), 0.95, 1.0, upper=False),
        Gate("real-time factor, one core", float(np.mean([v.rtf for v in verdicts])), 0.6, 0.2),
    ]


def clip_gain(built_in: BuiltIn, judges: Judges, clips: Sequence[Path], sentences: Sequence[str]) -> float:
    """How much nearer a new speaker's clip as reference brings the voice to that speaker (CAM++ cosine).

    Beside each clip lies its transcript, `NAME.txt`. Compared with the mean over the built-in voices.
    """
    gains = []
    usual = [built_in.voice(voice) for voice in built_in.voices]
    for clip in clips:
        speaker, _ = judges.speakers(read_clip(clip))
        own = built_in.reference(clip, clip.with_suffix(".txt").read_text("utf-8").strip())

        def likeness(references: Sequence[Reference], speaker: np.ndarray = speaker) -> float:
            spoken = [
                built_in.speak(text, reference, seed=1) for reference, text in itertools.product(references, sentences)
            ]
            return float(np.mean([judges.speakers(at_judges_rate(s.samples, s.rate_hz))[0] @ speaker for s in spoken]))

        gains.append(likeness([own]) - likeness(usual))
    return float(np.mean(gains))


def by_voice(verdicts: Sequence[Verdict], voices: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
    table = {}
    for index, voice in enumerate(voices):
        own = [v for v in verdicts if v.voice == voice]
        others = [max(s for place, s in enumerate(v.campplus) if place != index) for v in own]
        table[voice] = {
            "wer": _word_error_rate(own),
            "mos": float(np.mean([v.quality for v in own])),
            "own": float(np.mean([v.campplus[index] for v in own])),
            "best_other": float(np.mean(others)),
        }
    return table


def _word_error_rate(verdicts: Sequence[Verdict]) -> float:
    return sum(v.wrong for v in verdicts) / sum(v.words for v in verdicts)


def read_clip(clip: Path) -> Samples:
    samples, rate_hz = soundfile.read(clip, dtype="float32", always_2d=True)
    return at_judges_rate(samples.mean(1), rate_hz)


def speaker_gates(
    folder: Path, judges: Judges, generated: Mapping[str, Sequence[Samples]], people: Path | None
) -> Iterator[Gate]:
    """Our ECAPA on clips of the voices and of people, and its teacher on the same clips for comparison."""
    ours = our_encoder(folder)
    sets: list[tuple[str, Mapping[str, Sequence[Samples]], float | None, float]] = []
    if generated:
        sets.append(("generated clips", generated, 0.05, 0.01))
    if people is not None:
        sets.append((people.name, by_speaker(people, read_clip, "-"), None, 0.08))
    for name, clips, must, aim in sets:
        rate, pairs = error_rate(clips, ours)
        yield Gate(f"our ECAPA, equal error rate, {name} ({len(clips)} speakers, {pairs} pairs)", rate, must, aim)
        theirs, _ = error_rate(clips, lambda samples: judges.speakers(samples)[0])
        yield Gate(f"CAM++ on the same, {name}", theirs, None, None)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of stage `export`; what it lacks is not judged")
    parser.add_argument("--sentences", type=Path, default=_SENTENCES, help="one a line")
    parser.add_argument("--count", type=int, default=10_000, help="take only the first so many")
    parser.add_argument("--clips", type=Path, help="folder of new speakers' clips, each NAME.flac with NAME.txt")
    parser.add_argument("--people", type=Path, help="folder of real speakers' clips, SPEAKER-ANYTHING.flac")
    parser.add_argument("--spoken", type=Path, help="judge ECAPA on these clips, VOICE_ANYTHING.flac, not on its own")
    parser.add_argument("--keep", type=Path, help="folder for what was spoken")
    parser.add_argument("--json", type=Path, help="file for every verdict")
    return parser.parse_args()


def main() -> None:
    options = _arguments()
    torch.set_num_threads(1)
    judges, found, generated = Judges(), list[Gate](), dict[str, list[Samples]]()
    sentences = [line for line in options.sentences.read_text("utf-8").splitlines() if line][: options.count]
    with tempfile.TemporaryDirectory() as scratch:
        spoken = options.keep or Path(scratch)
        if (options.folder / TABLE).exists():
            found += _voices(options, judges, sentences, spoken)
        if options.spoken or (options.folder / TABLE).exists():
            generated = by_speaker(options.spoken or spoken, read_clip, "_")
    if (options.folder / "ecapa").is_dir():
        found += speaker_gates(options.folder / "ecapa", judges, generated, options.people)
    weights = [file for file in options.folder.rglob("*") if file.suffix in {".safetensors", ".ckpt", ".pth"}]
    found.append(Gate("size of all weights, MB", sum(file.stat().st_size for file in weights) / 1e6, 40, 25))
    print(*found, sep="\n")
    raise SystemExit(not all(gate.passed for gate in found))


def _voices(options: argparse.Namespace, judges: Judges, sentences: Sequence[str], spoken: Path) -> list[Gate]:
    built_in = BuiltIn(options.folder)
    voices = list(built_in.voices)
    verdicts = list(speak_all(built_in, judges, sentences, spoken))
    found = gates(verdicts, voices)
    if options.clips:
        clips = sorted(clip for clip in options.clips.glob("*.flac") if clip.with_suffix(".txt").exists())
        if not clips:
            raise SystemExit(f"{options.clips} has no NAME.flac with its words in NAME.txt")
        gain = clip_gain(built_in, judges, clips, sentences[:_CLIP_SENTENCES])
        measure = f"a new speaker's clip as reference, CAM++ cosine ({len(clips)})"
        found.append(Gate(measure, gain, None, 0.15, upper=False))
    print(f"{len(sentences)} sentences, voices {', '.join(voices)}")
    for voice, row in by_voice(verdicts, voices).items():
        print(f"     {voice:<12}", *(f"{name} {value:.3f}  " for name, value in row.items()))
    if options.json:
        options.json.write_text(json.dumps([asdict(verdict) for verdict in verdicts], indent=1), "utf-8")
    return found


if __name__ == "__main__":
    main()
