"""The best monotone path through an attention: how long each phone is heard.

Knows nothing of where the attention comes from, nor of sound beyond which moments are quiet. Dynamic programming, as
Viterbi's: the phones come in order, each for at least one step.

An attention from tokens to phones says nothing of silence. A model that holds its breath still looks at the phone
before or after it, most of the time, so it would be given the whole pause. In quiet steps the path therefore goes by
the quiet alone: it belongs to a mark of punctuation where there is one to have it.
"""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float32]

_LEAST = 1e-6
"""No weight is less: one frame that looks elsewhere does not forbid a path."""
_SOUNDLESS = -3.0
"""Score of a quiet step that goes to a phone which is no pause, beside 0 for one that is."""


def best_path(attention: Numbers, quiet: NDArray[np.bool_], pauses: NDArray[np.bool_]) -> NDArray[np.float64]:
    """
    Args:
        attention: (frames, phones) weights; frames are of equal length and together last as long as the steps.
        quiet: (steps,) whether nothing is heard. Where there are fewer steps than phones, a step may hold several.
        pauses: (phones,) whether it stands for silence.

    Returns:
        (phones,) where each phone ends, in steps, rising to their number.
    """
    steps, phones = quiet.size, pauses.size
    parts = -(-phones // steps)  # each step stands for so many of the path
    score = np.log(np.maximum(_at_steps(attention, steps), _LEAST))
    score[quiet] = np.where(pauses, 0.0, _SOUNDLESS)
    _, moved = _forward(score[None], parts)
    ends = np.empty(phones)
    phone = phones - 1
    ends[phone] = steps * parts
    for step in range(steps * parts - 1, 0, -1):
        if moved[step, 0, phone]:
            phone -= 1
            ends[phone] = step
    return ends / parts


def clearness(attentions: Numbers) -> NDArray[np.float64]:
    """How much of an alignment each attention is, 0 to 1: geometric mean of the weights along its best path.

    Args:
        attentions: (A, frames, phones).
    """
    _, frames, phones = attentions.shape
    parts = -(-phones // frames)
    best, _ = _forward(np.log(np.maximum(attentions, _LEAST)), parts)
    return np.asarray(np.exp(best / (frames * parts)))


def _at_steps(attention: Numbers, steps: int) -> Numbers:
    """(frames, phones) -> (steps, phones): between the middles of two frames it goes from one to the other."""
    frames = len(attention)
    places = np.clip((np.arange(steps) + 0.5) * frames / steps - 0.5, 0, frames - 1)
    before = places.astype(int)
    after = np.minimum(before + 1, frames - 1)
    share = (places - before)[:, None].astype(np.float32)
    return np.asarray(attention[before] * (1 - share) + attention[after] * share)


def _forward(score: Numbers, parts: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The best paths through each of several scores.

    Args:
        score: (A, steps, phones).
        parts: steps of the path in each.

    Returns:
        Their sums (A,), and where they came from the phone before: (steps * parts, A, phones).
    """
    count, steps, phones = score.shape
    moved = np.zeros((steps * parts, count, phones), bool)
    best = np.full((count, phones), -np.inf)
    best[:, 0] = score[:, 0, 0]
    before = np.full((count, phones), -np.inf)
    for step in range(1, steps * parts):
        before[:, 1:] = best[:, :-1]
        moved[step] = before > best
        best = np.maximum(before, best) + score[:, step // parts]
    return best[:, -1], moved
