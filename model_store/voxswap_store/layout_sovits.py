"""Upstream's SoVITS checkpoints under our names.

Every dimension comes from the tensors; the config is asked only for what no tensor tells (strides and dilations).
Knows nothing of files and of pickles. Dropped, because inference never reads it: enc_q, and of the quantizer
embed_avg, cluster_size and inited.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import Tensor

from voxswap_store.converted import Converted
from voxswap_store.errors import BadTensor, CheckpointError
from voxswap_store.layout_flow import flow_matching
from voxswap_store.layout_parts import codebook, generator, hot_first, prior, style_encoder, wn
from voxswap_store.translation import Translation


def convert_sovits(weight: Mapping[str, Tensor], config: Mapping[str, Any], version: str) -> Converted:
    """Translates a whole SoVITS checkpoint.

    Args:
        weight: upstream's tensors.
        config: upstream's config as plain dictionaries; `config["model"]` is read.
        version: as detected or as given.

    Raises:
        CheckpointError: a tensor is missing, malformed or contradicts the others; the message names it.
    """
    model = config.get("model")
    if not isinstance(model, Mapping):
        raise CheckpointError("the config has no section 'model'")
    source = Translation(weight)
    marks = {name for name in _MARKS if source.has(name)}
    if marks != _MARKS_OF[version]:
        raise CheckpointError(f"the tensors are not those of {version}: {', '.join(sorted(marks)) or 'no mark'} found")
    translated = {"version": version, **_LAYOUTS[version](source, model)}
    return Converted(hot_first(source.tensors), translated)


def _vits(source: Translation, model: Mapping[str, Any]) -> dict[str, Any]:
    """v1, v2, v2Pro, v2ProPlus, as a VitsConfig."""
    tokens, content_width = codebook(source)
    latent_width = source.size("enc_p.proj.weight", 3)[0] // 2
    style = style_encoder(source)
    width = style["out_width"]
    return {
        "tokens": tokens,
        "content_width": content_width,
        "style": style,
        "speaker_vector_width": _speaker_fusion(source, width) if source.has(_WITH_VECTOR) else None,
        "prior": prior(source, content_width, width, latent_width=latent_width),
        "flow": _flow(source, latent_width, width),
        "generator": generator(source, model, "dec", "generator", in_width=latent_width, condition_width=width),
    }


def _speaker_fusion(source: Translation, speaker_width: int) -> int:
    """V2Pro's second view of the speaker: width of ERes2NetV2's vector."""
    vector_width = source.size("sv_emb.weight", 2)[1]
    source.linear("sv_emb", "reference.fusion.vector_in", (speaker_width, vector_width))
    source.copy("prelu.weight", "reference.fusion.slope", speaker_width)
    return vector_width


def _flow(source: Translation, latent_width: int, speaker_width: int) -> dict[str, Any]:
    """The couplings, in the order in which inference applies them: upstream's last first. Odd numbers are flips."""
    names = [f"flow.flows.{index}" for index in source.numbers("flow.flows.{}.pre.weight", step=2)]
    if not names:
        raise BadTensor("flow.flows.0.pre.weight", "it is missing")
    width, half, _ = source.size(f"{names[0]}.pre.weight", 3)
    if 2 * half != latent_width:
        raise BadTensor(f"{names[0]}.pre.weight", f"it takes {half} channels, expected half of {latent_width}")
    configs = []
    for index, name in enumerate(reversed(names)):
        to = f"flow.couplings.{index}"
        source.layer(f"{name}.pre", f"{to}.pre", width, half, 1, bias=width)
        configs.append(wn(source, f"{name}.enc", f"{to}.wn", width, speaker_width))
        source.layer(f"{name}.post", f"{to}.post", half, width, 1, bias=half)
    if any(config != configs[0] for config in configs):
        raise BadTensor(f"{names[0]}.enc", "the couplings of the flow differ in their shapes")
    return {"width": latent_width, "couplings": len(names), "wn": configs[0]}


_WITH_VECTOR: Final = "sv_emb.weight"
_WITH_FLOW_MATCHING: Final = "cfm.estimator.proj_out.weight"
_MARKS: Final = (_WITH_VECTOR, _WITH_FLOW_MATCHING)
_MARKS_OF: Final[Mapping[str, set[str]]] = {
    "v1": set(),
    "v2": set(),
    "v2Pro": {_WITH_VECTOR},
    "v2ProPlus": {_WITH_VECTOR},
    "v3": {_WITH_FLOW_MATCHING},
    "v4": {_WITH_FLOW_MATCHING},
}
"""Tensors that tell the families apart, and which of them each version has."""
_LAYOUTS: Final[Mapping[str, Callable[[Translation, Mapping[str, Any]], dict[str, Any]]]] = {
    "v1": _vits,
    "v2": _vits,
    "v2Pro": _vits,
    "v2ProPlus": _vits,
    "v3": flow_matching,
    "v4": flow_matching,
}
