"""The best monotone path through an attention: when each phone is heard.

Knows nothing of where the attention comes from, nor of sound beyond which moments are quiet. Dynamic programming, as
Viterbi's: the phones come in order, each for at least one step, and between words there may be silence.

An attention from tokens to phones says nothing of silence. A model that holds its breath still looks at the phone
before or after it, most of the time, so it would be given the whole pause. In quiet steps the path therefore goes by
the quiet alone: it belongs to a mark of punctuation where there is one to have it, else to nobody, between two words.
"""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float32]

_LEAST = 1e-6
"""No weight is less: one frame that looks elsewhere does not forbid a path."""
_SOUNDLESS = -3.0
"""Score of a quiet step that goes to a phone which is no pause, beside 0 for one that is."""
_UNMARKED = -0.3
"""Score of a quiet step between two words that no mark parts."""


def best_path(
    attention: Numbers, quiet: NDArray[np.bool_], pauses: NDArray[np.bool_], begins: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """
    Args:
        attention: (frames, phones) weights; frames are of equal length and together last as long as the steps.
        quiet: (steps,) whether nothing is heard. Where there are fewer steps than phones, a step may hold several.
        pauses: (phones,) whether it stands for silence.
        begins: (phones,) whether silence may come before it, as before a word; it always may after the last one.

    Returns:
        (phones, 2) in steps, rising: where each phone begins and ends. What lies between two of them is silence.
    """
    steps, phones = quiet.size, pauses.size
    parts = -(-phones // steps)  # each step stands for so many of the path
    heard = np.log(np.maximum(_at_steps(attention, steps), _LEAST))
    heard[quiet] = np.where(pauses, 0.0, _SOUNDLESS)
    # States are the phones, and before some of them, and behind the last, a silence that may be left out.
    places = np.arange(phones) + np.cumsum(begins)
    score = np.repeat(np.where(quiet, _UNMARKED, np.log(_LEAST))[:, None], phones + begins.sum() + 1, axis=1)
    score[:, places] = heard
    optional = np.ones(score.shape[1], bool)
    optional[places] = False
    best, came = _forward(score[None], parts, optional)
    state = int(score.shape[1] - (2 if best[0, -2] >= best[0, -1] else 1))
    spans = np.zeros((score.shape[1], 2))
    spans[state, 1] = steps * parts
    for step in range(steps * parts - 1, 0, -1):
        if back := int(came[step, 0, state]):
            spans[state, 0] = step
            state -= back
            spans[state, 1] = step
    return _shut(spans[places] / parts, quiet, pauses)


def _shut(spans: NDArray[np.float64], quiet: NDArray[np.bool_], pauses: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What is heard at either end of a pause belongs to the phone on that side of it."""
    spans = spans.copy()
    for phone in np.flatnonzero(pauses):
        first = int(spans[phone, 0])
        silent = first + np.flatnonzero(quiet[first : -int(-spans[phone, 1] // 1)])
        if not silent.size:
            continue
        begin, end = max(spans[phone, 0], silent[0]), min(spans[phone, 1], silent[-1] + 1)
        if phone > 0 and spans[phone - 1, 1] == spans[phone, 0]:
            spans[phone - 1, 1] = spans[phone, 0] = begin
        if phone + 1 < pauses.size and spans[phone + 1, 0] == spans[phone, 1]:
            spans[phone + 1, 0] = spans[phone, 1] = end
    return spans


def clearness(attentions: Numbers) -> NDArray[np.float64]:
    """How much of an alignment each attention is, 0 to 1: geometric mean of the weights along its best path.

    Args:
        attentions: (A, frames, phones).
    """
    _, frames, phones = attentions.shape
    parts = -(-phones // frames)
    best, _ = _forward(np.log(np.maximum(attentions, _LEAST)), parts, np.zeros(phones, bool))
    return np.asarray(np.exp(best[:, -1] / (frames * parts)))


def _at_steps(attention: Numbers, steps: int) -> Numbers:
    """(frames, phones) -> (steps, phones): between the middles of two frames it goes from one to the other."""
    frames = len(attention)
    places = np.clip((np.arange(steps) + 0.5) * frames / steps - 0.5, 0, frames - 1)
    before = places.astype(int)
    after = np.minimum(before + 1, frames - 1)
    share = (places - before)[:, None].astype(np.float32)
    return np.asarray(attention[before] * (1 - share) + attention[after] * share)


def _forward(score: Numbers, parts: int, optional: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """The best paths through each of several scores.

    Args:
        score: (A, steps, states).
        parts: steps of the path in each.
        optional: (states,) whether it may be left out; never two that follow each other.

    Returns:
        Their sums by the state that they end in, (A, states), and how many states before each they came from: 0, 1, or
        2 where one was left out, (steps * parts, A, states).
    """
    count, steps, states = score.shape
    came = np.zeros((steps * parts, count, states), np.int8)
    best = np.full((count, states), -np.inf)
    first = 2 if optional[0] else 1
    best[:, :first] = score[:, 0, :first]
    behind = np.flatnonzero(optional[:-1]) + 1
    behind = behind[behind >= 2]  # what may be entered from two states before it
    before = np.full((count, states), -np.inf)
    for step in range(1, steps * parts):
        before[:, 1:] = best[:, :-1]
        moved = came[step]
        moved[before > best] = 1
        reached = np.maximum(before, best)
        leapt = best[:, behind - 2]
        moved[:, behind] = np.where(leapt > reached[:, behind], 2, moved[:, behind])
        reached[:, behind] = np.maximum(leapt, reached[:, behind])
        best = reached + score[:, step // parts]
    return best, came
