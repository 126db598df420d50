"""Draws one semantic token from one row of logits (SPEC §5, upstream `logits_to_probs` and its callers).

Knows nothing of the network, of batches or of when a text is long enough: a row's draw depends on its own logits, its
own history and its own noise. Runs in numpy on the CPU, where 1025 values cost less than one kernel launch.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from voxswap_server.nn.noise import NoiseSource

EOS_FREE_STEPS = 11
"""During so many first steps the end cannot be drawn."""

MAX_STEPS = 1500
"""Upstream's limit on the tokens of one utterance (one minute)."""

EARLY_STOP_RATE_HZ = 50
"""Upstream allows so many tokens for each second of `max_sec`: twice the true rate."""

_COLDEST = 1e-5
"""Lower temperatures are this one."""

_NOBODY = -1

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sampling:
    """Parameters of a draw; the defaults are upstream's."""

    top_k: int = 15
    """Keep this many best tokens; 1 is greedy."""
    top_p: float = 1.0
    """Keep the best tokens whose mass together stays within this, before the temperature; 1 keeps all."""
    temperature: float = 1.0
    """< 1 is steadier, > 1 is livelier."""
    repetition_penalty: float = 1.35
    """> 1 discourages tokens already present, the prompt's included; 1 is none."""

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise ValueError(f"top_k is {self.top_k}, must be at least 1")
        if not self.top_p > 0:
            raise ValueError(f"top_p is {self.top_p}, must be above 0")
        if not self.temperature >= 0:
            raise ValueError(f"temperature is {self.temperature}, must not be negative")
        if not self.repetition_penalty > 0:
            raise ValueError(f"repetition_penalty is {self.repetition_penalty}, must be above 0")


class Draw(NamedTuple):
    """One drawn token."""

    token: int
    stop: bool
    """The utterance ends; `token` is not part of it."""
    margin: float
    """How far logits may differ from each other's before the draw would be another: the size below which rounding is
    harmless. Meant for small values; where three or more tokens nearly tie it may be too large."""


class Survivors(NamedTuple):
    """The tokens among which the race is run."""

    kept: NDArray[np.intp]
    """Ids, best first."""
    runner_up: int
    """The best id that was cut off, or -1."""
    margin: float
    """How far the last place is from the cut, in logits; after top-p in probability mass, if that is less."""


@dataclass(slots=True)
class SamplerState:
    """What one job's sampler remembers between steps."""

    seen: NDArray[np.bool_]
    """(vocab,) Tokens of the prefix, the prompt's included."""
    step: int = 0
    tokens: list[int] = field(default_factory=list)
    """Drawn so far, without the one that ended the utterance."""

    @classmethod
    def from_prompt(cls, prompt: Tensor, vocab_size: int) -> "SamplerState":
        """`prompt`: (Y,) prompt tokens, possibly none."""
        seen = np.zeros(vocab_size, dtype=np.bool_)
        seen[prompt.cpu().numpy()] = True
        return cls(seen)


def token_limit(max_s: float) -> int:
    """Most tokens of one utterance for a checkpoint that was trained on at most `max_s` seconds."""
    return min(MAX_STEPS, int(EARLY_STOP_RATE_HZ * max_s))


def draw(logits: Tensor, state: SamplerState, params: Sampling, noise: NoiseSource) -> Draw:
    """Draws the next token and notes it in `state`. `logits`: (vocab,), the last id is the end of speech."""
    eos = logits.shape[0] - 1
    width = eos if state.step < EOS_FREE_STEPS else eos + 1
    row = logits[:width].float().cpu().numpy()
    scores = penalised(row, state.seen[:width], params.repetition_penalty)
    token, race_margin = _race(scores, survivors(scores, params), params, noise, state.step)
    best, stop_margin = _best(scores, eos)
    stop = eos in (token, best)
    state.step += 1
    if not stop:
        state.seen[token] = True
        state.tokens.append(token)
    return Draw(token, stop, min(race_margin, stop_margin))


def penalised(row: Floats, seen: NDArray[np.bool_], penalty: float) -> Floats:
    """A copy of `row` (n,) in which seen tokens are less likely: negative * penalty, positive / penalty."""
    scale = np.float32(penalty)
    return np.where(seen, np.where(row < 0, row * scale, row / scale), row)


def survivors(scores: Floats, params: Sampling) -> Survivors:
    """What top-p, then top-k leave.

    Top-p looks at the scores before the temperature and drops the token that crosses the mass; the best always stays.
    Equal scores at the k-th place all stay, as upstream's threshold leaves them.
    """
    if params.top_p >= 1:
        return _top_k(scores, params.top_k)
    order = np.argsort(-scores, kind="stable")
    mass = np.exp(scores[order] - scores[order[0]])
    cumulative = np.cumsum(mass / mass.sum(), dtype=np.float32)
    within = max(1, int(np.searchsorted(cumulative, np.float32(params.top_p), side="right")))
    if params.top_k < within:
        inner = _top_k(scores[order[:within]], params.top_k)
        return Survivors(order[inner.kept], int(order[inner.runner_up]), inner.margin)
    if within == order.shape[0]:
        return Survivors(order, _NOBODY, float("inf"))
    last, first_out = order[within - 1 : within + 1]
    to_the_mass = float(np.abs(cumulative[within - 1 : within + 1] - params.top_p).min())
    return Survivors(order[:within], int(first_out), min(to_the_mass, float(scores[last] - scores[first_out])))


def _top_k(scores: Floats, k: int) -> Survivors:
    size = scores.shape[0]
    if k >= size:
        return Survivors(np.argsort(-scores, kind="stable"), _NOBODY, float("inf"))
    # The k best and the runner-up; where these two are equal, whatever else equals the k-th stays too.
    head = np.argpartition(scores, size - k - 1)[size - k - 1 :]
    head = head[np.argsort(-scores[head], kind="stable")]
    threshold, runner_up = scores[head[k - 1]], scores[head[k]]
    if threshold > runner_up:
        return Survivors(head[:k], int(head[k]), float(threshold - runner_up))
    tied = np.flatnonzero(scores >= threshold)
    return Survivors(tied[np.argsort(-scores[tied], kind="stable")], _NOBODY, 0.0)


def _race(scores: Floats, among: Survivors, params: Sampling, noise: NoiseSource, step: int) -> tuple[int, float]:
    """Exponential race: arg max of probability / Exp(1) among the survivors, and the margin of that, in logits."""
    kept, runner_up, cut_margin = among
    if kept.shape[0] == 1:
        return int(kept[0]), cut_margin
    temperature = max(params.temperature, _COLDEST)
    runners = kept if runner_up == _NOBODY else np.append(kept, runner_up)
    clocks = noise.exponential(step, scores.shape[0]).numpy()[runners]
    # The logarithm of prob / noise, up to a constant: no underflow however cold it is.
    entries = scores[runners] / np.float32(temperature) - np.log(clocks)
    inside, outside = entries[: kept.shape[0]], entries[kept.shape[0] :]
    winner = int(inside.argmax())
    margin = float(inside[winner] - np.partition(inside, -2)[-2]) * temperature
    if winner == inside.shape[0] - 1 or cut_margin == 0:
        margin = min(margin, cut_margin)  # the last place is the first to be cut
    for entry in outside:  # it would have to pass the cut and win the race
        margin = min(margin, max(cut_margin, float(inside[winner] - entry) * temperature))
    return int(kept[winner]), margin


def _best(scores: Floats, eos: int) -> tuple[int, float]:
    """Arg max of the penalised scores, and how far the end is from becoming it, or from not being it."""
    best = int(scores.argmax())
    if scores.shape[0] <= eos:
        return best, float("inf")
    return best, abs(float(scores[eos]) - float(scores[:eos].max()))
