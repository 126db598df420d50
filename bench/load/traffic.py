"""What is asked, and when: arrivals that do not wait for answers.

Knows nothing of servers. Requests come as a Poisson process (exponential gaps), voices are chosen by Zipf's law (the
k-th most popular with weight 1/k^s), texts have three lengths. All of it follows from one seed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Text:
    kind: str
    """short, medium or long."""
    words: str


TEXTS = (
    Text("short", "The lamp is on."),
    Text("short", "I will be right back."),
    Text("short", "Who left the door open?"),
    Text("medium", "The tide turned before noon, and the boats leaned over in the mud until evening."),
    Text("medium", "She counted the steps twice, because the first time somebody had called her name."),
    Text(
        "long",
        "The baker opens at six. By then the street smells of rye, and the first tram has already gone by. "
        "An old man buys two rolls, pays with small coins, and tells the same story about the flood. "
        "Nobody hurries him, for the story has become a little better every year.",
    ),
)
SHARES = {"short": 0.5, "medium": 0.35, "long": 0.15}
"""Of the requests, by kind of text."""


@dataclass(frozen=True, slots=True)
class Traffic:
    rate: float
    """Requests a second, on average."""
    seconds: float
    zipf: float = 1.0
    """Exponent: 0 makes all voices equally popular."""
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Arrival:
    at_s: float
    """After the start."""
    voice_id: str
    text: Text
    seed: int
    """Of the speech."""


def arrivals(traffic: Traffic, voices: Sequence[str], texts: Sequence[Text] = TEXTS) -> Iterator[Arrival]:
    """The requests in order.

    Args:
        traffic: rate, length and mix.
        voices: most popular first.
        texts: at least one of each kind in `SHARES`.

    Raises:
        ValueError: the rate is not positive, or there is no voice.
    """
    if traffic.rate <= 0:
        raise ValueError(f"a rate of {traffic.rate} requests a second: it must be above 0")
    if not voices:
        raise ValueError("no voice to ask for")
    chance = np.random.default_rng(traffic.seed)
    popularity = np.arange(1, len(voices) + 1, dtype=float) ** -traffic.zipf
    popularity /= popularity.sum()
    kinds, shares = list(SHARES), list(SHARES.values())
    at_s = chance.exponential(1 / traffic.rate)
    while at_s < traffic.seconds:
        kind = kinds[chance.choice(len(kinds), p=shares)]
        fitting = [text for text in texts if text.kind == kind]
        yield Arrival(
            at_s=float(at_s),
            voice_id=voices[chance.choice(len(voices), p=popularity)],
            text=fitting[chance.integers(len(fitting))],
            seed=int(chance.integers(2**31)),
        )
        at_s += chance.exponential(1 / traffic.rate)
