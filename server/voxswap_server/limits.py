"""The bounds of a request's values, the same through every transport.

Knows nothing of who checks them, nor of what fields are called there. Pairs are the lowest and the highest value.
"""

import re
from typing import Final

ID_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""Of voice ids; `$` stands for the very end."""
_ID: Final = re.compile(ID_PATTERN.removesuffix("$") + r"\Z")
SPEAKING_RATE: Final = (0.25, 4.0)
PAUSE_MS: Final = (0, 5000)
SAMPLE_RATE_HZ: Final = (8000, 48000)
SAMPLE_STEPS: Final = (1, 128)
VOLUME_GAIN_DB: Final = (-96.0, 16.0)
VOCABULARY_TOKENS: Final = 1025
"""Of the largest T2S there is; a smaller one keeps all it has."""
TOP_K: Final = (1, VOCABULARY_TOKENS)
MOST_TOP_P: Final = 1.0
"""Top-p, temperature and repetition penalty are above 0."""
MOST_TEMPERATURE: Final = 10.0
MOST_REPETITION_PENALTY: Final = 10.0
MAX_AUXILIARY: Final = 8
"""Clips beside the reference audio."""


def is_id(text: str) -> bool:
    """Whether a voice could have this id."""
    return _ID.match(text) is not None
