"""Who the built-in voices are. Knows nothing of how they are made."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

BUILT_IN: Final = {"amber": "af_heart", "slate": "am_michael", "coral": "bf_emma", "onyx": "bm_george"}
"""Our voices and the teacher's voices that they learn from."""
DESCRIPTIONS: Final = {
    "amber": ("Amber", "A warm American woman."),
    "slate": ("Slate", "A calm American man."),
    "coral": ("Coral", "A clear British woman."),
    "onyx": ("Onyx", "A deep British man."),
}
"""Names and what they sound like."""
TRANSCRIPTS: Final = {
    "amber": "The old man opened the window, and looked out at the sea.",
    "slate": "We should leave now, before it gets dark and the roads are empty.",
    "coral": "After a while, the sound of the engine faded away in the distance.",
    "onyx": "The weather in the mountains can change very quickly, so be careful.",
}
"""Of their reference clips: each 3 to 6 seconds long, and of all kinds of sounds."""
_PROMPTS = "prompts.json"


def write_prompts(folder: Path, prompts: Mapping[str, Sequence[int]]) -> None:
    """Keeps the tokens of each voice's reference beside the clips."""
    (folder / _PROMPTS).write_text(json.dumps({voice: list(tokens) for voice, tokens in prompts.items()}), "utf-8")


def read_prompts(folder: Path) -> Mapping[str, Sequence[int]]:
    """What `write_prompts` kept."""
    prompts: dict[str, list[int]] = json.loads((folder / _PROMPTS).read_text("utf-8"))
    return prompts
