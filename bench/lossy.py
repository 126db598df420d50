"""What a lossy way of computing costs in quality: the gate of `engine.int8_voices` and `engine.bf16_voices`.

`python -m bench.lossy int8 FOLDER` speaks the built-in voices exactly and in that way, the same sentences with the same
seeds, and prints one line a gate; it exits with 1 where one is not met. Needs the judges of `bench/judges.txt`. Knows
nothing of how speech is judged.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice, product
from pathlib import Path
from typing import Final

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor

from bench.built_in_speech import BuiltIn, LoadDecoder, LoadT2S
from bench.evaluate_builtin import Gate, Judges, Verdict, read_clip
from voxswap_server.nn.decoders import in_bfloat16
from voxswap_server.nn.native.team import Team
from voxswap_server.nn.t2s_native import NativeT2S
from voxswap_server.nn.vits import Vits, VitsConfig

_SENTENCES = Path(__file__).with_name("sentences.txt")


@dataclass(frozen=True, slots=True)
class Pair:
    """One sentence in one voice, spoken exactly and not."""

    exact: Verdict
    lossy: Verdict
    places: int
    """Of the exact tokens, and the end behind them."""
    agreed: int
    """Where both like the same token best, all before it being equal."""


_PAIRS: Final = TypeAdapter(Pair)


def gates(pairs: Sequence[Pair], voices: Sequence[str]) -> list[Gate]:
    """The gates of a lossy path; each change comes with its standard error, for sentences are few."""
    words = np.array([pair.exact.words for pair in pairs])
    wrong = 100 * np.array([pair.lossy.wrong - pair.exact.wrong for pair in pairs])
    quality = np.array([pair.exact.quality - pair.lossy.quality for pair in pairs])
    likeness = np.array([_own(pair.exact, voices) - _own(pair.lossy, voices) for pair in pairs])
    agreed = 100 * sum(pair.agreed for pair in pairs) / sum(pair.places for pair in pairs)
    return [
        Gate("greedy tokens that agree, %", agreed, None, None, upper=False),
        Gate(f"word error rate, points more (+- {_error(wrong / words.mean()):.2f})", wrong.sum() / words.sum(), 1, 0),
        Gate(f"DistillMOS, less (+- {_error(quality):.3f})", float(quality.mean()), 0.1, 0),
        Gate(f"CAM++ cosine to the voice, less (+- {_error(likeness):.4f})", float(likeness.mean()), 0.02, 0),
    ]


def compare(
    exact: BuiltIn, lossy: BuiltIn, judges: Judges, sentences: Sequence[str], *, begin: int = 0
) -> Iterator[Pair]:
    """Every sentence in every voice, each in all voices before the next; the first `begin` pairs are left out."""
    clips = [judges.speakers(read_clip(clip)) for clip, _ in exact.voices.values()]
    references = {voice: exact.voice(voice) for voice in exact.voices}
    ways = (exact, lossy)
    for (number, text), (voice, reference) in islice(product(enumerate(sentences), references.items()), begin, None):
        tokens = exact.tokens(text, reference, number)
        best = [way.best(text, reference, tokens) for way in ways]
        verdicts = [judges.verdict(voice, text, way.speak(text, reference, number), clips) for way in ways]
        yield Pair(verdicts[0], verdicts[1], len(best[0]), sum(a == b for a, b in zip(*best, strict=True)))


def logged(path: Path) -> list[Pair]:
    """Pairs of an earlier run; a last line that was cut off is no pair, and is taken away."""
    whole, _, _ = path.read_text("utf-8").rpartition("\n") if path.exists() else ("", "", "")
    path.write_text(whole + "\n" if whole else "", "utf-8")
    return [_PAIRS.validate_json(line) for line in whole.splitlines()]


def noted(path: Path, pairs: Iterator[Pair], minutes: float) -> Iterator[Pair]:
    """Each is written down as it comes; after so many minutes no other is waited for."""
    until_s = time.monotonic() + 60 * minutes
    with path.open("a", encoding="utf-8") as log:
        for pair in pairs:
            log.write(json.dumps(asdict(pair)) + "\n")
            log.flush()
            yield pair
            if time.monotonic() >= until_s:
                return


def _own(verdict: Verdict, voices: Sequence[str]) -> float:
    return verdict.campplus[voices.index(verdict.voice)]


def _error(values: np.ndarray) -> float:
    """Standard error of a mean."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def _halved(config: VitsConfig, tensors: Mapping[str, Tensor]) -> Vits:
    kept = {name: tensor.to(torch.bfloat16 if in_bfloat16(name) else torch.float32) for name, tensor in tensors.items()}
    return Vits.from_tensors(config, kept, dtype=None)


def _paths() -> Mapping[str, tuple[LoadT2S, LoadDecoder]]:
    exact = partial(NativeT2S.from_tensors, team=Team(1))
    return {"int8": (partial(exact, int8=True), Vits.from_tensors), "bf16": (exact, _halved)}


def _arguments(paths: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", choices=paths, help="how it is computed")
    parser.add_argument("folder", type=Path, help="of stage `export`")
    parser.add_argument("--sentences", type=Path, default=_SENTENCES, help="one a line")
    parser.add_argument("--count", type=int, default=10_000, help="take only the first so many")
    parser.add_argument("--seeds", type=int, default=1, help="how often each is said (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no utterance after so many")
    parser.add_argument(
        "--log", type=Path, help="pairs of verdicts, one a line, are appended; those that are in it are not made again"
    )
    return parser.parse_args()


def main() -> None:
    paths = _paths()
    options = _arguments(tuple(paths))
    torch.set_num_threads(1)
    sentences = [line for line in options.sentences.read_text("utf-8").splitlines() if line][: options.count]
    exact = BuiltIn(options.folder, t2s_of=partial(NativeT2S.from_tensors, team=Team(1)))
    lossy = BuiltIn(options.folder, *paths[options.path])
    with tempfile.TemporaryDirectory() as folder:
        log: Path = options.log or Path(folder) / "pairs.jsonl"
        pairs = logged(log)
        more = compare(exact, lossy, Judges(), [*sentences] * options.seeds, begin=len(pairs))
        pairs += noted(log, more, options.minutes)
    found = gates(pairs, list(exact.voices))
    said = len({pair.exact.text for pair in pairs})
    print(f"{options.path}: {len(pairs)} utterances, {said} sentences, voices {', '.join(exact.voices)}")
    print(*found, sep="\n")
    raise SystemExit(not all(gate.passed for gate in found))


if __name__ == "__main__":
    main()
