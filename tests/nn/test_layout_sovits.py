"""From upstream's names to ours: what is folded, what is dropped, and what is refused."""

import json
import math
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from tests.fixtures.sovits import TINY, VITS_VERSIONS, Sizes, sovits_checkpoint
from voxswap_server.nn.vits import Vits, VitsConfig
from voxswap_store.errors import BadTensor, CheckpointError
from voxswap_store.layout_sovits import convert_sovits
from voxswap_store.translation import Translation


def converted(version: str = "v2", **changes: object):
    weight, config = sovits_checkpoint(version)
    weight |= {name: value for name, value in changes.items() if value is not None}
    return convert_sovits({n: t for n, t in weight.items() if changes.get(n, t) is not None}, config, version)


@pytest.mark.parametrize("version", VITS_VERSIONS)
def test_a_checkpoint_of_every_version_becomes_a_network(version: str) -> None:
    result = converted(version)
    config = VitsConfig.from_dict(json.loads(json.dumps(result.config)))
    network = Vits.from_tensors(config, result.tensors)
    assert network.spec.version == version
    assert config.style.bins == (1025 if version == "v1" else 704)
    assert (config.speaker_vector_width is not None) == network.spec.speaker_vector
    assert [c.layers for c in (config.prior.content_encoder, config.prior.phone_encoder)] == [1, 2]


@pytest.mark.parametrize("sizes", [Sizes(content=20, tokens=7, phones=5, latent=6, hidden=24), Sizes(initial=32)])
def test_dimensions_come_from_the_tensors(sizes: Sizes) -> None:
    weight, config = sovits_checkpoint("v2", sizes=sizes)
    result = convert_sovits(weight, config, "v2")
    network = Vits.from_tensors(VitsConfig.from_dict(result.config), result.tensors)
    assert network.codebook.shape == (sizes.tokens, sizes.content)
    assert network.prior.phone_embedding.num_embeddings == sizes.phones


def test_what_only_a_prompt_needs_stands_last() -> None:
    names = list(converted("v2Pro").tensors)
    first = next(index for index, name in enumerate(names) if name.startswith("reference."))
    assert all(name.startswith("reference.") for name in names[first:])
    assert "reference.fusion.vector_in.weight" in names


def test_what_inference_never_reads_is_dropped_and_the_rest_keeps_its_type() -> None:
    weight, config = sovits_checkpoint("v2")
    tensors = convert_sovits(weight, config, "v2").tensors
    assert not any("enc_q" in name or "embed_avg" in name for name in tensors)
    folded = {name for name, tensor in tensors.items() if tensor.dtype is torch.float32}
    assert all("wn." in name or "stages." in name for name in folded)
    assert tensors["codebook"].dtype is torch.float16
    torch.testing.assert_close(tensors["codebook"], weight["quantizer.vq.layers.0._codebook.embed"], rtol=0, atol=0)


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Conv1d(5, 6, 3),
        lambda: nn.ConvTranspose1d(5, 6, 4),
        lambda: nn.Conv2d(3, 4, 2),
        lambda: nn.Linear(4, 3),
    ],
)
@pytest.mark.parametrize("spelling", [("weight_g", "weight_v"), ("original0", "original1")])
def test_folding_equals_torchs_own_weight_norm(build: Callable[[], nn.Module], spelling: tuple[str, str]) -> None:
    layer = build()
    normed = weight_norm(layer).requires_grad_(requires_grad=False)
    normed.parametrizations.weight.original0.mul_(1.7)
    prefix = "x." if spelling[0] == "weight_g" else "x.parametrizations.weight."
    parts = (normed.parametrizations.weight.original0, normed.parametrizations.weight.original1)
    source = Translation(dict(zip((prefix + name for name in spelling), parts, strict=True)))
    torch.testing.assert_close(source.weight("x", *layer.weight.shape), layer.weight, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("enc_p.ssl_proj.bias", None, "is missing"),
        ("dec.ups.1.weight_v", None, "is missing"),
        ("ref_enc.fc.fc.weight", torch.zeros(3), "expected 2 axes"),
        ("ssl_proj.weight", torch.zeros(4, 4, 2), r"its shape is \(4, 4, 2\), expected \(12, 12, 2\)"),
        ("dec.conv_pre.bias", torch.full((16,), math.nan), "NaN"),
        ("flow.flows.4.post.weight", torch.full((4, 16, 1), math.inf), "infinity"),
        ("enc_p.text_embedding.weight", torch.zeros(11, 16, dtype=torch.int64), "int64"),
        ("dec.resblocks.0.convs1.0.weight_v", torch.zeros(8, 8, 3), "no direction"),
        ("flow.flows.2.pre.weight", None, "is missing"),
        ("enc_p.encoder_text.attn_layers.0.conv_q.weight", None, "although a later one is there"),
        ("dec.ups.0.weight_v", torch.ones(16, 8, 7), "cannot upsample by 4"),
    ],
)
def test_a_bad_tensor_is_named(name: str, value: torch.Tensor | None, why: str) -> None:
    with pytest.raises(BadTensor, match=why) as caught:
        converted(**{name: value})
    assert caught.value.tensor.startswith(name.removesuffix(".weight_v").removesuffix(".pre.weight"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("upsample_rates", [4, 0]),
        ("upsample_rates", "4,2"),
        ("upsample_rates", [4, True]),
        ("upsample_rates", [10**9, 2]),
        ("resblock_dilation_sizes", []),
        ("resblock_dilation_sizes", [[1, 3], None]),
        ("resblock", "2"),
    ],
)
def test_a_config_that_lies_is_refused(key: str, value: object) -> None:
    weight, config = sovits_checkpoint("v2")
    config["model"][key] = value
    with pytest.raises(CheckpointError):
        convert_sovits(weight, config, "v2")


@pytest.mark.parametrize(("made", "told"), [("v2", "v2Pro"), ("v2Pro", "v2"), ("v2ProPlus", "v1")])
def test_a_version_that_the_tensors_deny_is_refused(made: str, told: str) -> None:
    weight, config = sovits_checkpoint(made)
    with pytest.raises(CheckpointError, match=told):
        convert_sovits(weight, config, told)


def test_a_config_without_a_model_is_refused() -> None:
    with pytest.raises(CheckpointError, match="'model'"):
        convert_sovits(sovits_checkpoint("v2")[0], {"data": {}}, "v2")


def test_a_speaker_that_does_not_fit_the_rest_is_refused() -> None:
    weight, config = sovits_checkpoint("v2", sizes=Sizes(speaker=TINY.joined + 1))
    with pytest.raises(BadTensor, match="does not fit"):
        convert_sovits(weight, config, "v2")
