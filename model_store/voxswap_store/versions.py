"""Which model version a SoVITS checkpoint is, from what little the file says (SPEC §1.2).

Knows nothing of files or torch: it is given the facts of one. Upstream guesses by md5, head and size. We ask the
tensors first, because what a network is made of cannot be mislabelled; then the head and the md5, and never the size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from voxswap_server.errors import RequestError
from voxswap_store.errors import MismatchedCheckpoints, NotACheckpoint, VersionUnclear

Symbols = Literal["v1", "v2"]
Version = Literal["v1", "v2", "v2Pro", "v2ProPlus", "v3", "v4"]

SYMBOLS: Final[Mapping[Version, Symbols]] = MappingProxyType(
    {"v1": "v1", "v2": "v2", "v2Pro": "v2", "v2ProPlus": "v2", "v3": "v2", "v4": "v2"}
)
"""Symbol table of each version."""
LANGUAGES: Final[Mapping[Symbols, tuple[str, ...]]] = MappingProxyType(
    {"v1": ("zh", "en", "ja"), "v2": ("zh", "en", "ja", "ko", "yue")}
)
"""BCP-47 codes that a symbol table has phones for."""
PHONEMES_V1: Final = 512
"""Rows of a v1 T2S checkpoint's phoneme table; later ones have 732."""

_ROWS_V1: Final = 322
_PLUS_GIN: Final = 1024


@dataclass(frozen=True, slots=True)
class Guess:
    """Symbol table, model version, and whether the file is a LoRA."""

    symbols: Symbols
    version: Version
    lora: bool


HEADS: Final[Mapping[str, Guess]] = MappingProxyType(
    {
        "00": Guess("v1", "v1", lora=False),
        "01": Guess("v2", "v2", lora=False),
        "02": Guess("v2", "v3", lora=False),
        "03": Guess("v2", "v3", lora=True),
        "04": Guess("v2", "v4", lora=True),
        "05": Guess("v2", "v2Pro", lora=False),
        "06": Guess("v2", "v2ProPlus", lora=False),
    }
)
"""What the first two bytes say, where they are not the zip's own PK."""

PRETRAINED: Final[Mapping[str, Guess]] = MappingProxyType(
    {
        "dc3c97e17592963677a4a1681f30c653": Guess("v2", "v2", lora=False),  # the v1 base; upstream says v2
        "6642b37f3dbb1f76882b69937c95a5f3": Guess("v2", "v2", lora=False),
        "43797be674a37c1c83ee81081941ed0f": Guess("v2", "v3", lora=False),
        "4f26b9476d0c5033e04162c486074374": Guess("v2", "v4", lora=False),
        "c7e9fce2223f3db685cdfa1e6368728a": Guess("v2", "v2Pro", lora=False),
        "66b313e39455b57ab1b0bc0b239c9d0a": Guess("v2", "v2ProPlus", lora=False),
    }
)
"""md5 of the first 8192 bytes of upstream's own base models."""


@dataclass(frozen=True, slots=True)
class SovitsFacts:
    """What a SoVITS checkpoint shows."""

    head: str
    start_md5: str
    shapes: Mapping[str, tuple[int, ...]]
    """Of every tensor."""
    config_version: str
    """`config.model.version`, "" where it is absent."""
    lora_rank: int | None = None


def detect(facts: SovitsFacts, wanted: str = "", known: Mapping[str, Guess] = PRETRAINED) -> Guess:
    """The version of a SoVITS checkpoint.

    Args:
        facts: of the file.
        wanted: the user's word for it, "" to let the file speak.
        known: base models by the md5 of their first 8192 bytes.

    Raises:
        VersionUnclear: the file fits v3 and v4 alike and says neither, and nobody says which it is.
        RequestError: the user's word contradicts the file, or is no version.
        NotACheckpoint: the tensors are those of no version.
    """
    lora = any(".lora_A." in name for name in facts.shapes)
    possible = _possible(facts, lora=lora)
    version = _wanted(wanted, possible) or (possible[0] if len(possible) == 1 else _told(facts, possible, known))
    return Guess(SYMBOLS[version], version, lora)


def _wanted(wanted: str, possible: tuple[Version, ...]) -> Version | None:
    if wanted and wanted not in SYMBOLS:
        raise RequestError(f"unknown model version {wanted!r}; choose one of {', '.join(SYMBOLS)}", field="version")
    version = next((version for version in possible if version == wanted), None)
    if wanted and version is None:
        message = f"the checkpoint has the tensors of {' or '.join(possible)}, not of {wanted}"
        raise RequestError(message, field="version")
    return version


def _possible(facts: SovitsFacts, *, lora: bool) -> tuple[Version, ...]:
    """The versions that are made of these tensors."""
    shapes = facts.shapes
    if lora or any(name.startswith("cfm.") for name in shapes):
        return ("v3", "v4")
    if not any(name.startswith("dec.") for name in shapes):
        raise NotACheckpoint("its tensors are those of no SoVITS model: neither a `dec.` nor a `cfm.` is there")
    if "sv_emb.weight" in shapes:
        return ("v2Pro", "v2ProPlus")
    return ("v1",) if shapes.get("enc_p.text_embedding.weight", ())[:1] == (_ROWS_V1,) else ("v2",)


def _told(facts: SovitsFacts, possible: tuple[Version, ...], known: Mapping[str, Guess]) -> Version:
    """Head first: only a trainer of that very version writes it."""
    told = HEADS.get(facts.head) or known.get(facts.start_md5)
    if told and told.version in possible:
        return told.version
    for version in possible:
        if version == facts.config_version:
            return version
    if "v2ProPlus" in possible:  # the released sizes differ; any other size says what it is in one of the ways above
        return "v2ProPlus" if facts.shapes["sv_emb.weight"][:1] == (_PLUS_GIN,) else "v2Pro"
    raise VersionUnclear("v3 and v4 have the same tensors, and the checkpoint does not say which it is", possible)


def require_same_symbols(version: Version, phoneme_vocab_size: int) -> None:
    """The T2S half must speak the phones of the SoVITS half; upstream never looks (SPEC §1.1).

    Raises:
        MismatchedCheckpoints: it does not; the message says what each half is.
    """
    symbols: Symbols = "v1" if phoneme_vocab_size <= PHONEMES_V1 else "v2"
    if symbols != SYMBOLS[version]:
        raise MismatchedCheckpoints(
            f"the T2S checkpoint was trained on {symbols} phones ({phoneme_vocab_size} rows) and the SoVITS checkpoint "
            f"is {version}, which uses {SYMBOLS[version]} phones; pair halves of the same family",
            field="t2s_checkpoint",
        )
