"""Where the shared networks are published: repositories of the Hugging Face Hub, the files of each, and their hashes.

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
    size_bytes: int | None = None
    """None where we do not know it."""


@dataclass(frozen=True, slots=True)
class HubSource:
    """The files that a network is imported from."""

    repository: str
    files: tuple[HubFile, ...]
    """The weights, or the archive that holds them, come last."""

    @property
    def weights(self) -> HubFile:
        """The file whose hash an installed asset has as that of its source."""
        return self.files[-1]

    def elsewhere(self, repository: str) -> "HubSource":
        """The same files of another repository: of those nothing is known, for they may hold another network."""
        if repository == self.repository:
            return self
        return HubSource(repository, _files(*(file.path for file in self.files)))


GPT_SOVITS: Final = "lj1995/GPT-SoVITS"
_HUBERT, _ROBERTA = "chinese-hubert-base", "chinese-roberta-wwm-ext-large"


def _files(*paths: str) -> tuple[HubFile, ...]:
    return tuple(map(HubFile, paths))


# The Hub could not be reached where this table was written. Repositories and paths are those that upstream's installer
# and its documentation name; hashes and sizes are those that unrelated public projects (pointers of Git LFS, lists of
# what an installer expects) tell alike, at least two for each. AP-BWE's are nowhere told.
_WHOLE_MODELS: Final = {
    "hubert": (
        *_files(f"{_HUBERT}/config.json", f"{_HUBERT}/preprocessor_config.json"),
        HubFile(
            f"{_HUBERT}/pytorch_model.bin",
            "24164f129c66499d1346e2aa55f183250c223161ec2770c0da3d3b08cf432d3c",
            188_811_417,
        ),
    ),
    "bert": (
        *_files(f"{_ROBERTA}/config.json", f"{_ROBERTA}/tokenizer.json"),
        HubFile(
            f"{_ROBERTA}/pytorch_model.bin",
            "e53a693acc59ace251d143d068096ae0d7b79e4b1b503fa84c9dcf576448c1d8",
            651_225_145,
        ),
    ),
    "eres2net": (
        HubFile(
            "sv/pretrained_eres2netv2w24s4ep4.ckpt",
            "4f5a0bf73c61eb41b174e1bb54e7ee3c83233892be8e0af1f187024e8e581a35",
            107_528_697,
        ),
    ),
    "sovits_v3": (
        HubFile("s2Gv3.pth", "f33abb1920076d988e1711d5f41b5c9c6d7f92575b4acf0ad4fae6a4ebf0cf19", 769_035_145),
    ),
    "sovits_v4": (
        HubFile(
            "gsv-v4-pretrained/s2Gv4.pth",
            "906fe22f48c3e037a389df291d4d32a9414e15dbb8f9628643e83aaced109ea4",
            769_025_545,
        ),
    ),
    "vocoder_v4": (
        HubFile(
            "gsv-v4-pretrained/vocoder.pth",
            "4d611913df7b12d49e8976c944558d2d096816365edfc6c35a9e85b67dd14ed9",
            57_781_109,
        ),
    ),
}
_ELSEWHERE: Final = {
    "bigvgan": HubSource(
        "nvidia/bigvgan_v2_24khz_100band_256x",
        (
            HubFile(CONFIG),
            HubFile(
                "bigvgan_generator.pt",
                "6f9c5715550c9d0f11159ceb8935638da5aeb19e27d1e63677632df095e376f5",
                450_088_331,
            ),
        ),
    ),
    "ecapa": HubSource(
        "speechbrain/spkrec-ecapa-voxceleb",
        (
            HubFile(HYPERPARAMETERS),
            HubFile(EMBEDDING_MODEL, "0575cb64845e6b9a10db9bcb74d5ac32b326b8dc90352671d345e2ee3d0126a2", 83_316_686),
        ),
    ),
    # Its authors publish it on a drive that has no hashes; this is a copy in the format of our own files.
    "ap_bwe": HubSource("rsxdalv/AP-BWE", _files(*(f"weights/24kto48k/{name}" for name in (CONFIG, AP_BWE[-1])))),
    "g2pw": HubSource(
        "XXXXRT/GPT-SoVITS-Pretrained",
        (HubFile("G2PWModel.zip", "46292be0374a49308069233cd5c147ae4c41806558e4781a2467a31a4d8099da", 588_856_634),),
    ),
}
SOURCES: Final[Mapping[str, HubSource]] = MappingProxyType(
    {name: HubSource(GPT_SOVITS, files) for name, files in _WHOLE_MODELS.items()} | _ELSEWHERE
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
