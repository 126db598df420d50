"""Seeded voices to measure with: checkpoints in upstream's formats, and a store of them.

Knows nothing of measurements. Speed does not depend on what the weights say, so they babble; their sizes are those of
the models that GPT-SoVITS releases ("full"), or of the demo ("small").
"""

from pathlib import Path
from typing import Final, Literal, cast

from voxswap_server.demo.tiny import sovits_file, t2s_file, tiny_prompt, write_pretrained_models
from voxswap_server.demo.tiny_sovits import sovits_weights
from voxswap_server.demo.tiny_t2s import t2s_weights
from voxswap_server.demo.tiny_weights import RELEASED, TINY, Contents
from voxswap_server.errors import RequestError
from voxswap_store.asset_importer import import_assets
from voxswap_store.catalogue import Catalogue
from voxswap_store.importer import ImportRequest, import_voice

VoiceSize = Literal["small", "full"]
SIZES: Final = {"small": TINY, "full": RELEASED}
VERSION: Final = "v2"
IDS: Final = ("amber", "slate", "birch", "coral")


def require_size(name: str) -> VoiceSize:
    """The size of this name.

    Raises:
        RequestError: there is none; the message lists the choices.
    """
    if name not in SIZES:
        raise RequestError(f"there is no size {name!r}; choices: {', '.join(SIZES)}")
    return cast("VoiceSize", name)


def t2s_half(size: VoiceSize, seed: int = 1) -> Contents:
    """(weight, config) of a `.ckpt`."""
    return t2s_weights(VERSION, seed, SIZES[size])


def sovits_half(size: VoiceSize, seed: int = 1) -> Contents:
    """(weight, config) of a `.pth`."""
    return sovits_weights(VERSION, seed, SIZES[size])


class Workbench:
    """A folder with checkpoints and a store of the voices made of them; each is made when it is first asked for."""

    def __init__(self, root: Path, size: VoiceSize) -> None:
        self._root = root
        self.size: VoiceSize = size

    def checkpoints(self, number: int) -> tuple[Path, Path]:
        """The `.ckpt` and the `.pth` of voice `number`."""
        folder = self._root / "checkpoints"
        files = folder / f"{IDS[number]}.ckpt", folder / f"{IDS[number]}.pth"
        if not files[1].exists():
            folder.mkdir(parents=True, exist_ok=True)
            files[0].write_bytes(t2s_file(*t2s_half(self.size, number)))
            files[1].write_bytes(sovits_file(*sovits_half(self.size, number)))
        return files

    def store(self, voices: int) -> Path:
        """A store that has at least the first so many voices, and what they need to speak English."""
        root = self._root / "store"
        if not root.exists():
            import_assets(
                write_pretrained_models(self._root / "pretrained_models", ("hubert",)), root, only=("hubert",)
            )
        there = Catalogue(root).ids()
        for number in range(voices):
            if IDS[number] not in there:
                self._import(number, root)
        return root

    def _import(self, number: int, root: Path) -> None:
        t2s, sovits = self.checkpoints(number)
        consent = "Nobody is heard: the voice is synthetic."
        import_voice(
            ImportRequest(IDS[number], t2s, sovits, tiny_prompt(number), consent=consent, check_speech=False), root
        )
