"""Flow-matching decoders and their LoRAs, from upstream's names to ours."""

import json
import math
from itertools import pairwise

import pytest
import torch

from tests.fixtures.flow import (
    BANDS,
    DEPTH,
    FEED_FORWARD,
    FREQUENCIES,
    GROUPS,
    RANK,
    TEXT_INNER,
    WIDTH,
    flow_checkpoint,
    lora_checkpoint,
)
from tests.fixtures.sovits import TINY, sovits_checkpoint
from voxswap_server.nn.cfm import Cfm, CfmConfig
from voxswap_store.errors import BadTensor, CheckpointError
from voxswap_store.layout_lora import convert_lora
from voxswap_store.layout_sovits import convert_sovits

WRAPPED = "cfm.base_model.model.estimator"


def base(version: str = "v3"):
    return convert_sovits(*flow_checkpoint(version), version)


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_dimensions_come_from_the_tensors(version: str) -> None:
    result = base(version)
    config = CfmConfig.from_dict(json.loads(json.dumps(result.config)))
    assert Cfm.from_tensors(config, result.tensors).spec.version == version
    dit = config.dit
    assert (dit.bands, dit.width, dit.depth, dit.feed_forward_width) == (BANDS, WIDTH, DEPTH, FEED_FORWARD)
    assert (dit.condition_width, dit.text_inner_width, dit.position_groups) == (TINY.joined, TEXT_INNER, GROUPS)
    assert dit.head_width == 2 * FREQUENCIES
    assert (config.condition.wn.layers, config.condition.in_width) == (3, TINY.hidden)


def test_what_inference_never_reads_is_dropped() -> None:
    names = base().tensors
    assert not any("linear_mel" in name or "statistics" in name for name in names)
    hot = [not name.startswith("reference.") for name in names]
    assert hot == sorted(hot, reverse=True)


def test_frequencies_are_the_files_or_else_those_of_the_paper() -> None:
    weight, config = flow_checkpoint("v3")
    name = "cfm.estimator.rotary_embed.inv_freq"
    assert convert_sovits(weight, config, "v3").config["dit"]["frequencies"] == weight[name].tolist()
    del weight[name]
    found = convert_sovits(weight, config, "v3").config["dit"]["frequencies"]
    assert len(found) == 32
    assert found[0] == 1
    assert all(later / earlier == pytest.approx(10_000 ** (-1 / 32)) for earlier, later in pairwise(found))


@pytest.mark.parametrize(("made", "told"), [("v3", "v2"), ("v4", "v2Pro")])
def test_a_version_that_the_tensors_deny_is_refused(made: str, told: str) -> None:
    with pytest.raises(CheckpointError, match=told):
        convert_sovits(*flow_checkpoint(made), told)
    with pytest.raises(CheckpointError, match=made):
        convert_sovits(*sovits_checkpoint("v2"), made)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("wns1.enc.in_layers.1.bias", None, "although a later one is there"),
        ("bridge.0.bias", torch.full((TINY.joined,), math.nan), "NaN"),
        ("cfm.estimator.input_embed.conv_pos_embed.conv1d.2.weight", None, "is missing"),
        ("cfm.estimator.input_embed.conv_pos_embed.conv1d.0.weight", torch.ones(WIDTH, 5, 31), "do not divide"),
        ("cfm.estimator.rotary_embed.inv_freq", torch.ones(5), "do not divide"),
        ("cfm.estimator.transformer_blocks.1.attn.to_v.bias", torch.ones(3), "expected"),
        ("cfm.estimator.text_embed.text_blocks.0.grn.gamma", torch.ones(TEXT_INNER), "expected"),
    ],
)
def test_a_bad_tensor_is_named(name: str, value: torch.Tensor | None, why: str) -> None:
    weight, config = flow_checkpoint("v3")
    if value is None:
        del weight[name]
    else:
        weight[name] = value
    with pytest.raises(BadTensor, match=why) as caught:
        convert_sovits(weight, config, "v3")
    assert caught.value.tensor == name


# LoRA


def test_a_lora_leaves_out_what_equals_its_base() -> None:
    weight, config = flow_checkpoint("v3")
    lora = lora_checkpoint(seed=4)
    for name in lora:
        if name.startswith(("ref_enc.", "quantizer.")):
            lora[name] = weight[name]
    result = convert_lora(lora, convert_sovits(weight, config, "v3"), "v3", RANK)
    assert not any(name.startswith(("reference.", "codebook")) for name in result.tensors)
    assert any(name.startswith("condition.") for name in result.tensors)
    assert result.config["dit"]["lora_rank"] == RANK
    assert result.config["dit"]["frequencies"] == lora[f"{WRAPPED}.rotary_embed.inv_freq"].tolist()
    json.dumps(result.config)


def test_a_lora_without_the_rest_adapts_the_attention_alone() -> None:
    lora = {name: tensor for name, tensor in lora_checkpoint().items() if ".lora_" in name}
    result = convert_lora(lora, base(), "v3")
    assert len(result.tensors) == 4 * DEPTH
    assert all(".attention." in name for name in result.tensors)
    assert result.config["condition"] == base().config["condition"]


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        (f"{WRAPPED}.transformer_blocks.1.attn.to_k.lora_B.default.weight", None, "is missing"),
        (f"{WRAPPED}.transformer_blocks.0.attn.to_v.lora_A.default.weight", torch.ones(2, WIDTH), "expected"),
        (f"{WRAPPED}.transformer_blocks.0.attn.to_out.0.lora_B.default.weight", torch.ones(3, 3), "expected"),
        ("enc_p.ssl_proj.bias", torch.ones(TINY.hidden), "no LoRA replaces it"),
        (f"{WRAPPED}.transformer_blocks.0.ff.ff.2.bias", torch.ones(WIDTH), "no LoRA replaces it"),
        ("bridge.0.weight", torch.ones(TINY.joined + 1, TINY.hidden, 1), "expected"),
        ("wns1.proj.bias", torch.full((TINY.joined,), math.inf), "infinity"),
    ],
)
def test_a_bad_tensor_of_a_lora_is_named(name: str, change: torch.Tensor | None, why: str) -> None:
    lora = lora_checkpoint()
    if change is None:
        del lora[name]
    else:
        lora[name] = change
    with pytest.raises(BadTensor, match=why) as caught:
        convert_lora(lora, base(), "v3", RANK)
    assert caught.value.tensor.startswith(name.partition(".")[0])


def test_a_lora_that_says_another_rank_another_version_or_more_blocks_is_refused() -> None:
    lora = lora_checkpoint()
    with pytest.raises(CheckpointError, match="its rank is 8, its matrices have rank 3"):
        convert_lora(lora, base(), "v3", 8)
    with pytest.raises(CheckpointError, match="of v4 cannot lie on a base of v3"):
        convert_lora(lora, base(), "v4", RANK)
    lora[f"{WRAPPED}.transformer_blocks.{DEPTH}.attn.to_q.lora_A.default.weight"] = torch.ones(RANK, WIDTH)
    with pytest.raises(CheckpointError, match=f"its base, which has {DEPTH}"):
        convert_lora(lora, base(), "v3", RANK)
