"""Stage `t2s`: phones and a prompt to tokens.

A row is a line, or a prompt and a line of the same voice as the server joins them: the prompt's phones before the
line's, its tokens first, then the silence that the server adds to every reference, then the line's. Some lines are cut
at their marks to a phrase: the corpus has whole lines only, and users do not. Tokens that go in are corrupted now and
then, so that a slip is not the end. The first heads of two layers are shown where in the text each token is: that is
learnt in minutes rather than hours. Knows nothing of sound.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from voxswap_server.text.symbols import SYMBOLS
from voxswap_training.loop import Budget, Progress, adamw, autocast, descend, set_rate
from voxswap_training.pack import Lines
from voxswap_training.t2s import T2SShape, TrainableT2S

RATE: Final = 1e-3
HEAD_WIDTH: Final = 32
MARKS: Final = SYMBOLS["v2"].ids("!,-.?…")
_GUIDED: Final = (1, 2)
_PAD: Final = -1
_PROMPTED_SHARE = 0.6
_CORRUPTED_SHARE = 0.05
_PHRASE_SHARE = 0.3
"""Of the lines that have marks within."""
_LEAD_TOKENS = 2
"""Of silence, with which the teacher begins every line."""
_PROMPT_SILENCE = 18
"""At most so many tokens of silence follow a prompt; the server's are 15."""
_SMOOTHING = 0.02
_CLIP: Final = 2.0


@dataclass(frozen=True, slots=True)
class T2SSettings:
    batch_tokens: int = 3000
    """Phones and tokens of a batch, padding included."""
    dropout: float = 0.05
    guide_weight: float = 0.3
    report_every: int = 100
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    phones: Tensor
    phone_counts: Tensor
    inputs: Tensor
    targets: Tensor
    """(B, T): the token after each input; _PAD beyond the end."""
    places: Tensor
    """(B, T): the phone that the target speaks; _PAD where unknown."""

    def to(self, device: torch.device) -> "Batch":
        moved = [getattr(self, name).to(device, non_blocking=True) for name in self.__slots__]
        return Batch(*moved)


@dataclass(frozen=True, slots=True)
class Row:
    phones: NDArray[np.integer]
    tokens: NDArray[np.integer]
    places: NDArray[np.integer]


class Rows:
    """Draws rows from lines."""

    def __init__(self, lines: Lines, silence: int, *, dev: bool, seed: int, marks: Sequence[int] = MARKS) -> None:
        """`silence` is a token; `marks` are the phones behind which a line may be cut."""
        self._lines, self._silence, self._marks = lines, silence, marks
        self._rng = np.random.default_rng(seed)
        chosen = np.flatnonzero(lines.dev == dev)
        self._chosen = chosen[lines.tokens.lengths[chosen] > 1]
        order = np.argsort(lines.voice[self._chosen], kind="stable")
        by_voice = self._chosen[order]
        bounds = np.flatnonzero(np.diff(lines.voice[by_voice])) + 1
        self._mates = {int(lines.voice[group[0]]): group for group in np.split(by_voice, bounds)}

    def draw(self) -> Row:
        line, voice = self._row(int(self._rng.choice(self._chosen)))
        line = self._phrase(line)
        if self._rng.random() >= _PROMPTED_SHARE:
            return line
        return self._joined(self._row(int(self._rng.choice(self._mates[voice])))[0], line)

    def _row(self, index: int) -> tuple[Row, int]:
        lines = self._lines
        row = Row(lines.phones[index], lines.tokens[index], lines.phone_at_token[index])
        return row, int(lines.voice[index])

    def _phrase(self, line: Row) -> Row:
        """Now and then a part of a line, from a mark or its beginning to a mark or its end."""
        bounds = np.unique([0, *(np.flatnonzero(np.isin(line.phones, self._marks)) + 1), len(line.phones)])
        if len(bounds) == 2 or self._rng.random() >= _PHRASE_SHARE:
            return line
        first, last = sorted(self._rng.choice(len(bounds), 2, replace=False))
        begin, end = bounds[first], bounds[last]
        spoken = (line.places >= begin) & (line.places < end)
        if spoken.sum() < 2:
            return line
        lead = _LEAD_TOKENS if begin else 0
        places = line.places[spoken].astype(np.int64) - begin
        return Row(
            line.phones[begin:end],
            np.concatenate([np.full(lead, self._silence), line.tokens[spoken]]),
            np.concatenate([np.zeros(lead, np.int64), places]),
        )

    def _joined(self, prompt: Row, line: Row) -> Row:
        silence = int(self._rng.integers(0, _PROMPT_SILENCE + 1))
        quiet = np.full(silence, self._silence)
        return Row(
            np.concatenate([prompt.phones, line.phones]),
            np.concatenate([prompt.tokens, quiet, line.tokens]),
            np.concatenate([prompt.places, np.full(silence, _PAD), line.places.astype(np.int64) + len(prompt.phones)]),
        )

    def batches(self, settings: T2SSettings, eos: int) -> Iterator[Batch]:
        """Endless; rows of like length come together, so little is padding."""
        while True:
            pool = sorted((self.draw() for _ in range(256)), key=lambda row: len(row.tokens) + len(row.phones))
            groups: list[list[Row]] = [[]]
            for row in pool:
                longest = len(row.tokens) + len(row.phones) + 1
                if groups[-1] and (len(groups[-1]) + 1) * longest > settings.batch_tokens:
                    groups.append([])
                groups[-1].append(row)
            self._rng.shuffle(groups)
            for group in groups:
                yield self._batch(group, eos)

    def _batch(self, rows: list[Row], eos: int) -> Batch:
        P = max(len(row.phones) for row in rows)
        T = max(len(row.tokens) for row in rows)
        phones = np.zeros((len(rows), P), np.int64)
        inputs = np.zeros((len(rows), T), np.int64)
        targets = np.full((len(rows), T), _PAD)
        places = np.full((len(rows), T), _PAD)
        for index, row in enumerate(rows):
            count = len(row.tokens)
            phones[index, : len(row.phones)] = row.phones
            inputs[index, :count] = row.tokens
            targets[index, : count - 1] = row.tokens[1:]
            targets[index, count - 1] = eos
            places[index, : count - 1] = row.places[1:]
        counts = np.array([len(row.phones) for row in rows])
        return Batch(*(torch.from_numpy(array) for array in (phones, counts, inputs, targets, places)))


def losses(network: TrainableT2S, batch: Batch, settings: T2SSettings) -> dict[str, Tensor]:
    """`loss` to descend; `cross_entropy` and `guide` in nats, and the share of tokens and places that are right."""
    training = network.training
    inputs = batch.inputs
    if training:
        noise = torch.rand(inputs.shape, device=inputs.device) < _CORRUPTED_SHARE
        inputs = torch.where(noise, torch.randint_like(inputs, network.shape.eos), inputs)
    logits, seen = network(
        batch.phones, batch.phone_counts, inputs, dropout=settings.dropout if training else 0.0, guided=_GUIDED
    )
    flat, wanted = logits.float().flatten(0, 1), batch.targets.flatten()
    smoothing = _SMOOTHING if training else 0.0
    entropy = F.cross_entropy(flat, wanted, ignore_index=_PAD, label_smoothing=smoothing)
    places = batch.places.flatten()
    guides = [F.cross_entropy(scores.float().flatten(0, 1), places, ignore_index=_PAD) for scores in seen]
    guide = torch.stack(guides).mean()
    known = wanted != _PAD
    placed = places != _PAD
    return {
        "loss": entropy + settings.guide_weight * guide,
        "cross_entropy": entropy,
        "guide": guide,
        "right": (flat.argmax(-1) == wanted)[known].float().mean(),
        "placed": (seen[-1].flatten(0, 1).argmax(-1) == places)[placed].float().mean(),
    }


def train(
    lines: Lines,
    silence: int,
    folder: Path,
    budget: Budget,
    settings: T2SSettings,
    *,
    shape: T2SShape,
    device: torch.device,
) -> TrainableT2S:
    """Trains until the budget is spent; checkpoint and curve lie in `folder`."""
    torch.manual_seed(settings.seed)
    network = TrainableT2S(shape).to(device)
    optimiser = adamw(network, RATE, decay=0.02, betas=(0.9, 0.98))
    progress = Progress(folder / "t2s.pt", budget, {"network": network, "optimiser": optimiser})
    progress.resume()
    train_batches = Rows(lines, silence, dev=False, seed=settings.seed + progress.step).batches(settings, shape.eos)
    dev_source = Rows(lines, silence, dev=True, seed=1).batches(settings, shape.eos)
    dev_batches = [next(dev_source) for _ in range(6)]

    def measure() -> Mapping[str, float]:
        network.eval()
        with torch.no_grad(), autocast(device):
            found = [losses(network, batch.to(device), settings) for batch in dev_batches]
        network.train()
        return {f"dev_{name}": float(torch.stack([f[name] for f in found]).mean()) for name in found[0]}

    def step(rate: float) -> Mapping[str, Tensor]:
        set_rate(optimiser, RATE * rate)
        with autocast(device):
            found = losses(network, next(train_batches).to(device), settings)
        descend(optimiser, network, found["loss"], longest=_CLIP)
        return found

    network.train()
    progress.train(step, measure, folder / "t2s.jsonl", report_every=settings.report_every)
    return network


def load(file: Path) -> TrainableT2S:
    """The network of a checkpoint, its shape taken from its tensors."""
    state = torch.load(file, map_location="cpu", weights_only=True)["network"]
    layers = 1 + max(int(name.split(".")[2]) for name in state if name.startswith("h.layers."))
    vocab_size, width = state["ar_predict_layer.weight"].shape
    phones = len(state["ar_text_embedding.word_embeddings.weight"])
    network = TrainableT2S(T2SShape(width, width // HEAD_WIDTH, layers, vocab_size, phones))
    network.load_state_dict(state)
    return network.eval()
