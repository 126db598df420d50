"""Stage `export`: everything that makes the built-in voices, in one folder.

`t2s.ckpt`, `sovits.pth`, `content/`, `references/` and `voices.toml`, which says what each voice is. Knows where the
parts come from, not how they were trained.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from voxswap_training.codes import Codebook
from voxswap_training.export import write_content, write_sovits, write_t2s
from voxswap_training.shape import SovitsShape
from voxswap_training.train_acoustic import Acoustic
from voxswap_training.train_content import Listener, content_projection
from voxswap_training.train_t2s import load
from voxswap_training.voices import DESCRIPTIONS, TRANSCRIPTS, read_prompts

_SAMPLING: Final = {"top_k": 5, "top_p": 1.0, "temperature": 0.5, "repetition_penalty": 1.0}
"""The codes of a steady sound repeat, so repetition must cost nothing."""
_LICENCE: Final = "Apache-2.0"
_CONSENT: Final = "No recording of a person was used: the voices were learnt from the synthetic voices of Kokoro-82M."


def write_bundle(
    t2s: Path, decoder: Path, source: Path, content: Path, codebook: Codebook, references: Path, folder: Path
) -> None:
    """Writes the folder from the checkpoints of the stages.

    Args:
        t2s: `t2s.pt`.
        decoder: `decoder.pt`.
        source: `source.pt`.
        content: `content.pt`.
        codebook: of stage `codes`.
        references: folder of stage `references`.
        folder: to write.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_t2s(load(t2s), folder / "t2s.ckpt", f"step-{_read(t2s)['step']}")
    shape = SovitsShape()
    acoustic = Acoustic(shape, torch.from_numpy(codebook.for_decoder(shape.content_width)))
    kept = _read(decoder)
    acoustic.load_state_dict(kept["network"])
    flow = acoustic.decoder.flow
    flow.load_state_dict(flow.state_dict() | _read(source)["network"])
    listener = Listener()
    heard = _read(content)
    listener.load_state_dict(heard["network"])
    write_sovits(acoustic.decoder, content_projection(listener), folder / "sovits.pth", f"step-{kept['step']}")
    write_content(listener.hubert.state_dict(), listener.hubert.config.to_json_string(), folder / "content")
    (folder / "references").mkdir(exist_ok=True)
    for voice in TRANSCRIPTS:
        shutil.copyfile(references / f"{voice}.flac", folder / "references" / f"{voice}.flac")
    (folder / "voices.toml").write_text(_table(read_prompts(references)), "utf-8")


def _read(file: Path) -> dict[str, Any]:
    kept: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return kept


def _table(prompts: Mapping[str, Sequence[int]]) -> str:
    lines = [f'licence = "{_LICENCE}"', f'consent = "{_CONSENT}"', ""]
    lines += ["[sampling]", *(f"{name} = {value}" for name, value in _SAMPLING.items())]
    for voice, transcript in TRANSCRIPTS.items():
        name, description = DESCRIPTIONS[voice]
        fields = {"id": voice, "name": name, "description": description}
        fields |= {"reference": f"{voice}.flac", "transcript": transcript}
        lines += ["", "[[voices]]", *(f'{key} = "{value}"' for key, value in fields.items())]
        lines += [f"prompt_tokens = {list(prompts[voice])}"]
    return "\n".join(lines) + "\n"
