"""What a model version means: the one table that every other file asks.

Knows nothing of torch, of checkpoints or of how a network is built; what a single voice may choose freely (widths,
layers, kernels) comes from its config and its tensors. A new version is a new row here, never an `if` elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

from voxswap_server.errors import RequestError

TOKEN_RATE_HZ = 25
"""Semantic tokens per second, in every version."""

_CODES_V1 = frozenset({"auto", "en", "zh", "ja", "all_zh", "all_ja"})
_CODES_V2 = _CODES_V1 | {"auto_yue", "yue", "ko", "all_yue", "all_ko"}


@dataclass(frozen=True, slots=True)
class MelSpec:
    """Mel spectrogram of the reference audio that the flow-matching decoder is prompted with (SPEC §2.3)."""

    sample_rate_hz: int
    fft_samples: int
    hop_samples: int
    bands: int = 100


@dataclass(frozen=True, slots=True)
class FlowSpec:
    """How a flow-matching decoder lays out its frames (SPEC §2.3)."""

    mel: MelSpec
    frames_per_latent: Fraction
    """Mel frames for one frame of the prior encoder (50 Hz)."""
    told_frames_per_token: Fraction
    """By which upstream works out the length that it tells its mask; not quite the true one in v3."""
    prompt_frames: int
    """At most this many mel frames of the reference prompt a chunk (upstream's T_ref)."""
    chunk_frames: int
    """Prompt and new frames of one pass together (upstream's T_chunk)."""
    samples_per_frame: int
    """Output samples that the vocoder makes of one mel frame."""
    overlap_frames: int = 12
    """Frames that neighbouring chunks share when they are synthesised as one batch."""


@dataclass(frozen=True, slots=True)
class VersionSpec:
    """One row of the table."""

    version: str
    symbols: Literal["v1", "v2"]
    """Which symbol table the phone ids index."""
    languages: frozenset[str]
    """Upstream's language codes that the version speaks."""
    sample_rate_hz: int
    """Of the waveform that comes out."""
    samples_per_token: int
    """Output samples for one semantic token at speed 1."""
    decoder: Literal["vits", "cfm"]
    speaker_vector: bool = False
    """The reference is also described by ERes2NetV2's vector."""
    no_prompt: bool = True
    """Speaks without a transcript of the reference audio."""
    auxiliary_references: bool = True
    """More clips of the speaker can be averaged in."""
    flow: FlowSpec | None = None
    """Only of flow-matching decoders."""
    vocoder: Literal["bigvgan", "vocoder_v4"] | None = None
    """Shared network that turns mel frames into samples; None: the decoder makes samples itself."""
    super_sampled_hz: int | None = None
    """Rate that its waveform can be raised to, with a wider band; None: there is no network for that."""


_FLOW_V3 = FlowSpec(MelSpec(24_000, 1024, 256), Fraction(15, 8), Fraction(31, 8), 468, 934, samples_per_frame=256)
_FLOW_V4 = FlowSpec(MelSpec(32_000, 1280, 320), Fraction(2), Fraction(4), 500, 1000, samples_per_frame=480)

_ROWS = (
    VersionSpec("v1", "v1", _CODES_V1, 32_000, 1280, "vits"),
    VersionSpec("v2", "v2", _CODES_V2, 32_000, 1280, "vits"),
    VersionSpec("v2Pro", "v2", _CODES_V2, 32_000, 1280, "vits", speaker_vector=True),
    VersionSpec("v2ProPlus", "v2", _CODES_V2, 32_000, 1280, "vits", speaker_vector=True),
    VersionSpec(
        "v3",
        "v2",
        _CODES_V2,
        24_000,
        960,
        "cfm",
        no_prompt=False,
        auxiliary_references=False,
        flow=_FLOW_V3,
        vocoder="bigvgan",
        super_sampled_hz=48_000,
    ),
    VersionSpec(
        "v4",
        "v2",
        _CODES_V2,
        48_000,
        1920,
        "cfm",
        no_prompt=False,
        auxiliary_references=False,
        flow=_FLOW_V4,
        vocoder="vocoder_v4",
    ),
)

SPECS: Mapping[str, VersionSpec] = MappingProxyType({row.version: row for row in _ROWS})
"""Every version, by its name."""


def spec_of(version: str) -> VersionSpec:
    """The row of a version.

    Raises:
        RequestError: there is no such version; the message lists those that there are.
    """
    try:
        return SPECS[version]
    except KeyError:
        raise RequestError(f"unknown model version {version!r}; choose one of {', '.join(SPECS)}") from None
