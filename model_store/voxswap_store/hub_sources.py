"""Where the shared networks are published: repositories of the Hugging Face Hub, and the files of each.

Knows nothing of how they are downloaded or read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from voxswap_server.errors import RequestError
from voxswap_store.asset_importer import AP_BWE, CONFIG, EMBEDDING_MODEL, HYPERPARAMETERS
from voxswap_store.assets import asset_spec


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository."""

    path: str
    sha256: str | None = None
    """None where we do not know it: then the hash that the Hub tells of large files is what counts."""


@dataclass(frozen=True, slots=True)
class HubSource:
    """The files that a network is imported from."""

    repository: str
    files: tuple[HubFile, ...]


GPT_SOVITS: Final = "lj1995/GPT-SoVITS"
_HUBERT, _ROBERTA = "chinese-hubert-base", "chinese-roberta-wwm-ext-large"


def _files(*paths: str) -> tuple[HubFile, ...]:
    return tuple(map(HubFile, paths))


_WHOLE_MODELS: Final = {
    "hubert": (f"{_HUBERT}/config.json", f"{_HUBERT}/preprocessor_config.json", f"{_HUBERT}/pytorch_model.bin"),
    "bert": (f"{_ROBERTA}/config.json", f"{_ROBERTA}/tokenizer.json", f"{_ROBERTA}/pytorch_model.bin"),
    "eres2net": ("sv/pretrained_eres2netv2w24s4ep4.ckpt",),
    "sovits_v3": ("s2Gv3.pth",),
    "sovits_v4": ("gsv-v4-pretrained/s2Gv4.pth",),
    "vocoder_v4": ("gsv-v4-pretrained/vocoder.pth",),
}
SOURCES: Final[Mapping[str, HubSource]] = MappingProxyType(
    {name: HubSource(GPT_SOVITS, _files(*paths)) for name, paths in _WHOLE_MODELS.items()}
    | {
        "bigvgan": HubSource("nvidia/bigvgan_v2_24khz_100band_256x", _files("config.json", "bigvgan_generator.pt")),
        "ecapa": HubSource("speechbrain/spkrec-ecapa-voxceleb", _files(HYPERPARAMETERS, EMBEDDING_MODEL)),
        # Its authors publish it on a drive that has no hashes; this is a copy in the format of our own files.
        "ap_bwe": HubSource("rsxdalv/AP-BWE", _files(*(f"weights/24kto48k/{name}" for name in (CONFIG, AP_BWE[-1])))),
    }
)
"""By the name of the asset; every asset has a row, but those that come with voxswap."""


def source_of(name: str) -> HubSource:
    """Where an asset is published.

    Raises:
        RequestError: there is no such asset, and the message lists those that there are; or it is not published.
    """
    spec = asset_spec(name)
    if spec.built_in:
        raise RequestError(f"{name} cannot be fetched: {spec.remedy}", field="asset")
    return SOURCES[name]
