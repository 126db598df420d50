"""Tiny voices in the true file formats of GPT-SoVITS, and a store of them.

They go the whole way that a user's own voices go: checkpoints with upstream's heads and pickled settings, the shared
networks in a `pretrained_models` folder, then the importer. They babble; what they prove is the way, not the voice.
"""

import io
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from voxswap_server.demo.hparams import as_hparams
from voxswap_server.demo.tiny_ap_bwe import write_ap_bwe
from voxswap_server.demo.tiny_ecapa import write_ecapa
from voxswap_server.demo.tiny_networks import write_bert, write_eres2net, write_hubert
from voxswap_server.demo.tiny_sovits import lora_weights, sovits_weights
from voxswap_server.demo.tiny_speech import TRANSCRIPT, speech_clip
from voxswap_server.demo.tiny_t2s import t2s_weights
from voxswap_server.demo.tiny_vocoders import write_bigvgan, write_vocoder_v4
from voxswap_server.demo.tiny_weights import TINY, Size
from voxswap_server.domain import Language, Prompt
from voxswap_store.asset_importer import import_assets
from voxswap_store.assets import ASSETS
from voxswap_store.catalogue import Catalogue
from voxswap_store.entries import VoiceEntry
from voxswap_store.importer import EncodePrompt, ImportRequest, import_voice

HEADS: Final[Mapping[str, bytes]] = {"v2Pro": b"05", "v2ProPlus": b"06"}
"""First bytes that upstream's trainer writes; other versions keep the zip's own."""
LORA_HEADS: Final[Mapping[str, bytes]] = {"v3": b"03", "v4": b"04"}
LORA: Final = "-lora"
"""Ending of a version whose voice is a LoRA over the base model: "v3-lora", "v4-lora"."""


def _write_base(version: str) -> Callable[[Path, int], None]:
    def write(file: Path, seed: int) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(sovits_checkpoint(version, seed))

    return write


_ASSETS: Final[Mapping[str, Callable[[Path, int], None]]] = {
    "hubert": write_hubert,
    "bert": write_bert,
    "eres2net": write_eres2net,
    "sovits_v3": _write_base("v3"),
    "sovits_v4": _write_base("v4"),
    "bigvgan": write_bigvgan,
    "vocoder_v4": write_vocoder_v4,
    "ap_bwe": write_ap_bwe,
    "ecapa": write_ecapa,
}
"""What writes each shared network."""
_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "v2Pro": ("eres2net",),
    "v2ProPlus": ("eres2net",),
    "v3": ("bigvgan",),
    "v3-lora": ("sovits_v3", "bigvgan"),
    "v4": ("vocoder_v4",),
    "v4-lora": ("sovits_v4", "vocoder_v4"),
}
"""Shared networks beside HuBERT that a kind of voice needs to speak English."""


@dataclass(frozen=True)
class TinyStore:
    """A store that is ready to serve."""

    root: Path
    catalogue: Catalogue
    voices: tuple[VoiceEntry, ...]


def t2s_checkpoint(version: str, seed: int) -> bytes:
    """A `.ckpt`."""
    return t2s_file(*t2s_weights(version, seed))


def sovits_checkpoint(version: str, seed: int, size: Size = TINY) -> bytes:
    """A `.pth`, whole."""
    weight, config = sovits_weights(version, seed, size)
    return sovits_file(weight, config, HEADS.get(version, b"PK"))


def lora_checkpoint(version: str, seed: int, rank: int = 4) -> bytes:
    """A `.pth` that holds a LoRA for the base of its version (v3, v4)."""
    weight, config = lora_weights(version, seed, rank)
    return sovits_file(weight, config, LORA_HEADS[version], lora_rank=rank)


def write_pretrained_models(directory: Path, names: Iterable[str] = tuple(_ASSETS), seed: int = 0) -> Path:
    """Writes the shared networks as GPT-SoVITS's `pretrained_models` folder has them."""
    for name in names:
        _ASSETS[name](directory / ASSETS[name].usual_place, seed)
    return directory


def tiny_prompt(seed: int) -> Prompt:
    """Reference audio of a speaker who is nobody."""
    return Prompt(speech_clip(seed), TRANSCRIPT, Language("en"))


def build_tiny_store(
    root: Path,
    voices: Mapping[str, tuple[str, int]],
    *,
    assets: Iterable[str] | None = None,
    encode_prompt: EncodePrompt | None = None,
) -> TinyStore:
    """Makes voices and shared networks and imports them.

    Args:
        root: of the store to be; what lies there already stays.
        voices: id -> (version, seed); a version may end in "-lora" (v3, v4).
        assets: names of shared networks; None is what the voices need to speak English.
        encode_prompt: as of `import_voice`.
    """
    needed = {name: None for version, _ in voices.values() for name in ("hubert", *_NEEDS.get(version, ()))}
    wanted = tuple(needed if assets is None else assets)
    if wanted:
        pretrained = root / "tiny" / "pretrained_models"
        import_assets(write_pretrained_models(pretrained, wanted), root, only=wanted)
    entries = tuple(
        import_voice(_request(voice_id, version, seed), root, encode_prompt=encode_prompt)
        for voice_id, (version, seed) in voices.items()
    )
    return TinyStore(root, Catalogue(root), entries)


def _request(voice_id: str, version: str, seed: int) -> ImportRequest:
    plain = version.removesuffix(LORA)
    decoder = lora_checkpoint if version.endswith(LORA) else sovits_checkpoint
    return ImportRequest(
        voice_id,
        t2s_checkpoint(plain, seed),
        decoder(plain, seed),
        tiny_prompt(seed),
        display_name=voice_id.replace("-", " ").title(),
        description=f"A seeded {version} voice that babbles.",
        licence="Apache-2.0",
        consent="Nobody is heard: the voice is synthetic.",
        tags=("tiny",),
        check_speech=False,  # it babbles: nothing of a seeded network is sure to end, or not to repeat itself
    )


def t2s_file(weight: Mapping[str, Any], config: dict[str, Any]) -> bytes:
    """These tensors as GPT-SoVITS's trainer saves a T2S half."""
    return _saved(OrderedDict(weight=OrderedDict(weight), config=config, info="GPT-e15"))


def sovits_file(weight: Mapping[str, Any], config: dict[str, Any], head: bytes = b"PK", **extra: Any) -> bytes:
    """These tensors as GPT-SoVITS's trainer saves a SoVITS half."""
    with as_hparams(config) as settings:
        content = OrderedDict(weight=dict(weight), config=settings, info="8epoch_216iteration", **extra)
        return head + _saved(content)[len(head) :]


def _saved(content: Any) -> bytes:
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()
