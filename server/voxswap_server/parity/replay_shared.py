"""What a directory of goldens holds beside its cases: lines of text, draws, the assembly of pieces.

Knows nothing of voices. Whatever of these files is not there is not asked for.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voxswap_server.audio.pcm import limit_peak, to_int16
from voxswap_server.errors import RequestError
from voxswap_server.nn.noise import RecordedNoise
from voxswap_server.nn.sampling import EOS_FREE_STEPS, SamplerState, Sampling, draw, penalised, survivors
from voxswap_server.parity.compare import Row, Stage, Verdict, int16_samples, whole_numbers
from voxswap_server.parity.replay_decoder import PAUSE_RATE_HZ
from voxswap_server.parity.replay_text import CUTS
from voxswap_server.text import cuts
from voxswap_server.text.frontend import TextFrontend
from voxswap_server.text.symbols import SYMBOLS

ACCEPTED_LINES = 0.03
"""Share of the lines of a language that may be read otherwise: words that no resource we may install gives."""


def replay_shared(root: Path, frontend: TextFrontend) -> Iterator[Row]:
    """Rows of everything but cases and reference clips."""
    for name in ("g2p", "wide"):
        path = root / "text" / f"{name}.jsonl"
        if path.exists():
            yield from _lines(f"text/{name}", path, frontend)
    if (root / "text" / "utterances.jsonl").exists():
        yield from _lines("text/utterances", root / "text" / "utterances.jsonl", frontend)
    if (root / "text" / "cuts.jsonl").exists():
        yield from _cuts(root / "text" / "cuts.jsonl")
    if (root / "text" / "symbols.json").exists():
        yield from _symbols(root / "text" / "symbols.json")
    if (root / "sampling" / "sampling.npz").exists():
        yield from _sampling(root / "sampling")
    if (root / "assembly" / "postprocess.npz").exists():
        yield _assembly(root / "assembly" / "postprocess.npz")


def _lines(case: str, path: Path, frontend: TextFrontend) -> Iterator[Row]:
    """One row for each language and alphabet: how many lines get other phones."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for line in _read_lines(path):
        groups[line["lang"], line["version"]].append(line)
    for (code, symbols), lines in sorted(groups.items()):
        wrong = [line["text"] for line in lines if not _same(line, code, symbols, frontend)]
        share = len(wrong) / len(lines)
        verdict = Verdict.PASS if share <= ACCEPTED_LINES else Verdict.FAIL
        yield Row(case, f"{code} {symbols}", verdict, error=share, equal=not wrong, note=_count(wrong, len(lines)))


def _count(wrong: list[str], total: int) -> str:
    return f"{len(wrong)} of {total} differ" + (f", first {wrong[0]!r}" if wrong else "")


def _same(line: Mapping[str, Any], code: str, symbols: str, frontend: TextFrontend) -> bool:
    if "lang_segments" in line:  # a whole utterance, its runs to be found
        try:
            utterance = frontend.analyse(line["text"], code, symbols)
        except RequestError:
            return False
        return (utterance.norm_text, utterance.phones) == (line["norm_text"], tuple(line["ids"]))
    run, _ = frontend.read(line["text"], code, symbols)
    word2ph = None if line["word2ph"] is None else tuple(line["word2ph"])
    ids = SYMBOLS[symbols].ids(run.phones)
    return (run.norm_text, ids, run.word2ph) == (line["norm_text"], tuple(line["ids"]), word2ph)


def _cuts(path: Path) -> Iterator[Row]:
    lines = _read_lines(path)
    for name, method in CUTS.items():
        wrong = []
        for line in lines:
            golden = line[name]
            try:
                ours: list[str] | None = cuts.utterances(cuts.collapse_repeats(line["text"]), line["lang"], method)
            except RequestError:
                ours = None
            if ours != golden.get("pre_seg"):
                wrong.append(line["text"])
        verdict = Verdict.FAIL if wrong else Verdict.PASS
        yield Row("text/cuts", name, verdict, equal=not wrong, note=_count(wrong, len(lines)))


def _symbols(path: Path) -> Iterator[Row]:
    tables = json.loads(path.read_bytes())
    for version, table in SYMBOLS.items():
        equal = list(table.names) == tables[version]
        yield Row("text/symbols", version, Verdict.PASS if equal else Verdict.FAIL, equal=equal)


def _sampling(directory: Path) -> Iterator[Row]:
    arrays = np.load(directory / "sampling.npz")
    probabilities = Stage("sampling/sampling", "probs")
    ours, theirs = [], []
    for index, values in enumerate(json.loads((directory / "sampling.json").read_bytes())):
        params = Sampling(*(values[key] for key in ("top_k", "top_p", "temperature", "repetition_penalty")))
        for row, logits in enumerate(arrays[f"logits_{index}"]):
            state = SamplerState.from_prompt(torch.from_numpy(arrays[f"prev_{index}"][row].astype(np.int64)), _VOCAB)
            state.step = EOS_FREE_STEPS if len(logits) == _VOCAB else 0
            probabilities.tensors(_probabilities(logits, state, params), arrays[f"probs_{index}"][row])
            noise = RecordedNoise(exponentials={state.step: torch.from_numpy(arrays[f"q_{index}"][row])})
            full = torch.from_numpy(np.append(logits, np.float32(0))[:_VOCAB])
            ours.append(draw(full, state, params, noise).token)
            theirs.append(int(arrays[f"token_{index}"][row]))
    yield probabilities.row()
    yield whole_numbers("sampling/sampling", "tokens", ours, theirs)


_VOCAB = 1025


def _probabilities(logits: NDArray[np.float32], state: SamplerState, params: Sampling) -> NDArray[np.float64]:
    """What the race is run with: the softmax over the survivors."""
    scores = penalised(logits, state.seen[: len(logits)], params.repetition_penalty)
    kept = survivors(scores, params).kept
    warm = scores[kept].astype(np.float64) / max(params.temperature, 1e-5)
    weights = np.exp(warm - warm.max())
    result = np.zeros(len(logits))
    result[kept] = weights / weights.sum()
    return result


def _assembly(path: Path) -> Row:
    arrays = np.load(path)
    names = sorted((name for name in arrays.files if name.startswith("in_")), key=lambda name: int(name[3:]))
    pause = np.zeros(int(PAUSE_RATE_HZ * float(arrays["interval"])), np.float32)
    joined = np.concatenate([part for name in names for part in (limit_peak(arrays[name]), pause)])
    return int16_samples("assembly/postprocess", "int16", to_int16(joined), arrays["out"])


def _read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]
