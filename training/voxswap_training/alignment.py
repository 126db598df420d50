"""Which phone of the front-end is spoken when: joins the teacher's phonemes and ours by what they sound like.

The two disagree on a vowel here and there (accents, weak forms), so it is an edit distance whose substitutions cost
what lies between the two sound classes. Knows nothing of codes.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voxswap_training.entries import Entry
from voxswap_training.phonemes import INDEX, SILENCE, spans

TOKEN_S: Final = 0.040
_GAP = 0.5
"""Cost of a sound that only one side has, in the units of a mean distance between classes."""
_SOUNDS: Final = {
    **{name: (name.lower(),) for name in "B D F K L M N P S T V W Z".split()},
    "CH": ("ʧ",), "DH": ("ð",), "G": ("ɡ",), "HH": ("h",), "JH": ("ʤ",), "NG": ("ŋ",), "R": ("ɹ",), "SH": ("ʃ",),
    "TH": ("θ",), "Y": ("j",), "ZH": ("ʒ",),
    "AA": ("ɑ",), "AE": ("æ",), "AH": ("ʌ",), "AH0": ("ə",), "AO": ("ɔ",), "EH": ("ɛ",), "ER": ("ɜ", "ɹ"),
    "ER0": ("ə", "ɹ"), "IH": ("ɪ",), "IY": ("i",), "UH": ("ʊ",), "UW": ("u",),
    "AW": ("W1", "W2"), "AY": ("I1", "I2"), "EY": ("A1", "A2"), "OW": ("O1", "O2"), "OY": ("Y1", "Y2"),
}  # fmt: skip


def sounds_of(phone: str) -> tuple[int, ...]:
    """Sound classes of an ARPAbet phone with or without stress; whatever is no phone is a pause."""
    names = _SOUNDS.get(phone) or _SOUNDS.get(phone.rstrip("012")) or (SILENCE,)
    return tuple(INDEX[name] for name in names)


def phone_at_tokens(entry: Entry, phones: Sequence[str], places: NDArray[np.float32]) -> NDArray[np.int64]:
    """(T,) which of the phones is spoken in the middle of every token.

    Args:
        entry: the teacher's plan.
        phones: the front-end's phones of the same text.
        places: (classes, dims) where the sound classes lie.
    """
    parts = spans(entry.phonemes, entry.frames)
    sounds, owners = [], []
    for number, phone in enumerate(phones):
        for sound in sounds_of(phone):
            sounds.append(sound)
            owners.append(number)
    matched = _match(places[[sound for sound, _ in parts]], places[sounds])
    owner = np.array(owners)[matched]
    count = int(sum(entry.frames) * 0.025 * 50) // 2
    middles = (np.arange(count) + 0.5) * TOKEN_S
    found = np.searchsorted([end for _, end in parts], middles, side="right")
    return owner[np.minimum(found, len(owner) - 1)]


def _match(theirs: NDArray[np.float32], ours: NDArray[np.float32]) -> NDArray[np.int64]:
    """For every row of theirs the row of ours that it stands for, never going back."""
    cost = np.sqrt(np.square(theirs[:, None] - ours[None]).sum(-1))
    rows, columns = cost.shape
    best = np.empty((rows + 1, columns + 1))
    best[0] = np.arange(columns + 1) * _GAP
    steps = np.arange(columns + 1) * _GAP
    for row in range(rows):
        reached = best[row] + _GAP
        reached[1:] = np.minimum(reached[1:], best[row, :-1] + cost[row])
        # Skipping several of ours at once is a running minimum.
        best[row + 1] = np.minimum.accumulate(reached - steps) + steps
    match = np.zeros(rows, np.int64)
    row, column = rows, columns
    while row:
        if column and np.isclose(best[row, column], best[row, column - 1] + _GAP):
            column -= 1
        elif column and np.isclose(best[row, column], best[row - 1, column - 1] + cost[row - 1, column - 1]):
            match[row - 1] = column - 1
            row, column = row - 1, column - 1
        else:
            match[row - 1] = max(0, column - 1)
            row -= 1
    return match
