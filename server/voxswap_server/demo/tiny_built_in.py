"""A tiny stand-in for the built-in voices: the same files in the same layout, seeded at random. They babble.

Knows nothing of how the true ones are made; tests take the same way with it that the true ones take.
"""

from pathlib import Path

import tomli_w

from voxswap_server.demo.tiny import sovits_checkpoint, t2s_checkpoint
from voxswap_server.demo.tiny_ecapa import write_ecapa
from voxswap_server.demo.tiny_networks import write_hubert
from voxswap_server.demo.tiny_speech import TRANSCRIPT, speech_clip
from voxswap_server.demo.tiny_weights import Size
from voxswap_store.built_in import TABLE

CONTENT_WIDTH = 256
"""Of the small content encoder: such a voice cannot be heard through CN-HuBERT."""


def write_built_in(folder: Path, voices: tuple[str, ...] = ("amber", "slate"), seed: int = 0) -> Path:
    """Writes the folder that holds these voices; returns it."""
    (folder / "references").mkdir(parents=True, exist_ok=True)
    (folder / "t2s.ckpt").write_bytes(t2s_checkpoint("v2", seed))
    (folder / "sovits.pth").write_bytes(sovits_checkpoint("v2", seed, Size(content_width=CONTENT_WIDTH)))
    write_hubert(folder / "content", seed, CONTENT_WIDTH)
    write_ecapa(folder / "ecapa", seed)
    rows = []
    for number, voice in enumerate(voices):
        (folder / "references" / f"{voice}.wav").write_bytes(speech_clip(number))
        told = {"name": voice.title(), "description": "It babbles.", "transcript": TRANSCRIPT}
        rows.append({"id": voice, "reference": f"{voice}.wav", **told})
    table = {"licence": "Apache-2.0", "consent": "Nobody is heard.", "sampling": {"top_k": 5}, "voices": rows}
    (folder / TABLE).write_text(tomli_w.dumps(table), "utf-8")
    return folder
