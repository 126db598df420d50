"""The voices that come with voxswap: checkpoints in this package, which the ordinary importer makes voices of.

They are imported at the first start into a store of their own beside the user's, `STORE/built_in`, and again when the
package brings others. All share two checkpoints that would be four times as large as voices, which is why checkpoints
are what the package holds. Knows nothing of networks.
"""

import hashlib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Final

import torch
from pydantic import Field
from torch import Tensor

from voxswap_server.domain import Language, Prompt
from voxswap_server.errors import RequestError
from voxswap_store.asset_importer import find_assets, import_assets
from voxswap_store.assets import asset_state
from voxswap_store.catalogue import Catalogue
from voxswap_store.converted import Converted
from voxswap_store.entries import VoiceEntry
from voxswap_store.files import exclusive, hash_file, replace_file
from voxswap_store.importer import EncodePrompt, ImportRequest, import_voice
from voxswap_store.manifest import Defaults, FileName, Line, Strict, Text, VoiceId

NETWORKS: Final = ("hubert_small", "ecapa_small")
"""Shared networks that the package holds too; they become assets of the user's store."""
TAG: Final = "built-in"
TABLE: Final = "voices.toml"
_PACKAGED: Final = Path(__file__).with_name("built_in_voices")
_STAMP: Final = "bundle.sha256"


class BuiltInVoice(Strict):
    """A row of `voices.toml`."""

    id: VoiceId
    name: Line
    description: Text
    reference: FileName
    """File in `references/`."""
    transcript: Text
    prompt_tokens: tuple[Annotated[int, Field(ge=0, lt=1024)], ...] = ()
    """What is said in it, as whoever made it planned it; without them the content encoder listens."""


class BuiltInVoices(Strict):
    """`voices.toml`: who speaks with the checkpoints that lie beside it."""

    licence: Line
    consent: Text
    sampling: Defaults
    voices: tuple[BuiltInVoice, ...]


def packaged() -> Path | None:
    """Folder of the built-in voices and networks; None where this installation has neither."""
    return _PACKAGED if _PACKAGED.is_dir() else None


def packaged_voices() -> Path | None:
    """The same folder, if it has voices."""
    folder = packaged()
    return folder if folder is not None and (folder / TABLE).is_file() else None


def built_in_root(store: Path) -> Path:
    """Where the built-in voices of a store lie once they are imported."""
    return store / "built_in"


def catalogue_of(store: Path, *, built_in: bool) -> Catalogue:
    """The voices of a store, over the built-in ones if they are wanted."""
    return Catalogue(store, Catalogue(built_in_root(store)) if built_in else None)


def install_built_in(
    folder: Path,
    store: Path,
    *,
    encode_prompt: EncodePrompt,
    progress: Callable[[str], None] = lambda _: None,
) -> None:
    """Imports the voices of a folder, unless they are imported already; takes away those that it does not have.

    Args:
        folder: `t2s.ckpt`, `sovits.pth`, `voices.toml` and `references/`, and folders of shared networks; either part
            may be missing, and is then left as it is.
        store: of the user.
        encode_prompt: as of `import_voice`.
        progress: told the id of each voice before it is imported.

    Raises:
        CheckpointError, RequestError: the folder is damaged.
        OSError: the store cannot be written.
    """
    root = built_in_root(store)
    with exclusive(root / ".installing"):
        _install_networks(folder, store)
        if not (folder / TABLE).exists():
            return
        address = _address(folder)
        catalogue, stamp = Catalogue(root), root / _STAMP
        table = read_table(folder)
        wanted = {voice.id for voice in table.voices}
        whole = {entry.voice_id for entry in catalogue.entries() if isinstance(entry, VoiceEntry)}
        if stamp.is_file() and stamp.read_text("utf-8") == address and wanted <= whole:
            return
        for voice in table.voices:
            progress(voice.id)
            import_voice(_request(folder, table, voice), root, encode_prompt=_told(encode_prompt, voice.prompt_tokens))
        for voice_id in set(catalogue.ids()) - wanted:
            catalogue.delete(voice_id)
        replace_file(stamp, address.encode())


def _told(encode_prompt: EncodePrompt, tokens: tuple[int, ...]) -> EncodePrompt:
    """Where the tokens of a prompt are known, they are taken; all else is encoded."""

    def encode(prompt: Prompt, version: str, decoder: Converted) -> Mapping[str, Tensor]:
        encoded = dict(encode_prompt(prompt, version, decoder))
        if tokens:
            encoded["tokens"] = torch.tensor(tokens)
        return encoded

    return encode


def read_table(folder: Path) -> BuiltInVoices:
    """Who speaks with the checkpoints of a folder.

    Raises:
        RequestError: its table is damaged.
        OSError: it cannot be read.
    """
    try:
        return BuiltInVoices.model_validate(tomllib.loads((folder / TABLE).read_text("utf-8")), strict=False)
    except ValueError as error:  # no TOML, no UTF-8, or not of this schema
        raise RequestError(f"{TABLE} is damaged: {error}") from error


def _install_networks(folder: Path, store: Path) -> None:
    """Those that the folder has, where the store has others of the name or none."""
    for name in NETWORKS:
        found = find_assets(folder, only=(name,))
        state = asset_state(store, name)
        if name in found and (
            state.manifest is None or state.manifest.source_sha256 != hash_file(found[name].weights)[0]
        ):
            import_assets(folder, store, only=(name,))


def _request(folder: Path, table: BuiltInVoices, voice: BuiltInVoice) -> ImportRequest:
    reference = (folder / "references" / voice.reference).read_bytes()
    return ImportRequest(
        voice.id,
        folder / "t2s.ckpt",
        folder / "sovits.pth",
        Prompt(reference, voice.transcript, Language("en")),
        languages=("en",),
        display_name=voice.name,
        description=voice.description,
        licence=table.licence,
        consent=table.consent,
        tags=(TAG,),
        defaults=table.sampling,
        replace=True,
    )


def _address(folder: Path) -> str:
    """Of everything in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    told = "\n".join(f"{path.relative_to(folder)} {hash_file(path)[0]}" for path in files)
    return hashlib.sha256(told.encode()).hexdigest()
