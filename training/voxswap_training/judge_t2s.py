"""Stage `judge-t2s`: what of a text survives into tokens, with no decoder and no recogniser.

Tokens are drawn for dev lines after a prompt of the same voice; the sounds that their codes stand for, runs and pauses
left out, are compared with those of the teacher's own tokens. Knows nothing of sound.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from voxswap_training.codes import CLASS_DIMS, DIMS, Codebook
from voxswap_training.pack import Lines
from voxswap_training.phonemes import INDEX, SILENCE
from voxswap_training.t2s import TrainableT2S

_LONGEST = 4
"""Tokens a phone at most; speech has about two."""


@torch.no_grad()
def draw(
    network: TrainableT2S,
    phones: NDArray[np.integer],
    prompt: NDArray[np.integer],
    *,
    longest: int,
    top_k: int,
    temperature: float,
    generator: torch.Generator,
) -> NDArray[np.int64]:
    """Tokens after a prompt, one by one, `longest` at most."""
    ids = torch.from_numpy(phones.astype(np.int64))[None]
    counts = torch.tensor([len(phones)])
    tokens = prompt.astype(np.int64).tolist()
    for _ in range(longest):
        logits, _ = network(ids, counts, torch.tensor([tokens]))
        best = logits[0, -1].topk(top_k)
        chances = (best.values / temperature).softmax(0)
        token = int(best.indices[torch.multinomial(chances, 1, generator=generator)])
        if token == network.shape.eos or int(best.indices[0]) == network.shape.eos:
            break
        tokens.append(token)
    return np.array(tokens[len(prompt) :], np.int64)


def sounds(tokens: NDArray[np.integer], codebook: Codebook) -> list[int]:
    """The sound classes that tokens stand for, without repetitions and pauses."""
    halves = codebook.vectors[tokens].reshape(-1, DIMS)[:, :CLASS_DIMS]
    classes = np.square(halves[:, None] - codebook.classes).sum(-1).argmin(1)
    changes = classes[np.diff(classes, prepend=-1) != 0]
    heard = changes[changes != INDEX[SILENCE]]
    return heard[np.diff(heard, prepend=-1) != 0].tolist()


def errors(wanted: Sequence[int], found: Sequence[int]) -> int:
    """Sounds to change, add or drop (Levenshtein)."""
    row = list(range(len(found) + 1))
    for count, sound in enumerate(wanted, 1):
        corner, row[0] = row[0], count
        for column, other in enumerate(found, 1):
            corner, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, corner + (sound != other))
    return row[-1]


def judge(
    network: TrainableT2S, lines: Lines, codebook: Codebook, *, count: int, top_k: int, temperature: float
) -> dict[str, float]:
    """Share of sounds that are wrong, and how long speech is beside the teacher's."""
    generator = torch.Generator().manual_seed(0)
    rng = np.random.default_rng(0)
    network.eval()
    wrong = whole = drawn = true = 0
    for line in rng.choice(np.flatnonzero(lines.dev), count, replace=False):
        mates = np.flatnonzero((lines.voice == lines.voice[line]) & ~lines.dev & (lines.tokens.lengths > 75))
        mate = int(rng.choice(mates))
        phones = np.concatenate([lines.phones[mate], lines.phones[int(line)]])
        prompt = np.concatenate([lines.tokens[mate], np.full(15, codebook.silence)])
        longest = _LONGEST * len(lines.phones[int(line)])
        tokens = draw(
            network, phones, prompt, longest=longest, top_k=top_k, temperature=temperature, generator=generator
        )
        wanted = sounds(lines.tokens[int(line)], codebook)
        wrong += errors(wanted, sounds(tokens, codebook))
        whole += len(wanted)
        drawn += len(tokens)
        true += len(lines.tokens[int(line)])
    return {"sound_error_rate": wrong / whole, "length": drawn / true}
