"""A LoRA merged into its base is the base plus B times A, and nothing is merged by accident."""

import pytest
import torch

from voxswap_store.errors import BadTensor
from voxswap_store.lora import merge_lora

LAYER = "estimator.transformer_blocks.0.attn.to_q"
WRAPPED = "cfm.base_model.model."
BASE = {
    f"cfm.{LAYER}.weight": torch.randn(6, 4).half(),
    f"cfm.{LAYER}.bias": torch.randn(6).half(),
    "cfm.estimator.rotary_embed.inv_freq": torch.randn(3).half(),
    "bridge.weight": torch.randn(2, 2).half(),
    "enc_p.weight": torch.randn(3).half(),
}
A, B = torch.randn(2, 4).half(), torch.randn(6, 2).half()


def lora(**changes):
    tensors = {f"{WRAPPED}{LAYER}.lora_A.default.weight": A, f"{WRAPPED}{LAYER}.lora_B.default.weight": B}
    return {name: tensor for name, tensor in {**tensors, **changes}.items() if tensor is not None}


def test_matrices_are_added_in_single_precision():
    merged = merge_lora(BASE, lora(), 2)
    expected = BASE[f"cfm.{LAYER}.weight"].double() + B.double() @ A.double()
    assert merged[f"cfm.{LAYER}.weight"].dtype == torch.float32
    torch.testing.assert_close(merged[f"cfm.{LAYER}.weight"].double(), expected, rtol=1e-6, atol=1e-6)
    assert merged.keys() == BASE.keys()
    assert all(merged[name] is BASE[name] for name in BASE if name != f"cfm.{LAYER}.weight")


def test_whole_tensors_of_the_file_replace_the_bases():
    bridge, frequencies, bias = torch.ones(2, 2), torch.ones(3), torch.ones(6)
    merged = merge_lora(
        BASE,
        lora(
            **{
                "bridge.weight": bridge,
                f"{WRAPPED}estimator.rotary_embed.inv_freq": frequencies,
                f"{WRAPPED}{LAYER}.base_layer.bias": bias,
            }
        ),
        None,
    )
    assert merged["bridge.weight"] is bridge
    assert merged["cfm.estimator.rotary_embed.inv_freq"] is frequencies
    assert merged[f"cfm.{LAYER}.bias"] is bias
    assert merged.keys() == BASE.keys()


@pytest.mark.parametrize(
    ("changes", "rank", "told"),
    [
        ({f"{WRAPPED}{LAYER}.lora_B.default.weight": None}, 2, "lora_A without its partner"),
        ({f"{WRAPPED}{LAYER}.lora_A.default.weight": None}, 2, "lora_B without its partner"),
        ({}, 4, "rank 2, the file says 4"),
        ({f"{WRAPPED}{LAYER}.lora_A.default.weight": torch.ones(2, 5)}, 2, "does not fit"),
        ({f"{WRAPPED}{LAYER}.lora_A.default.weight": torch.ones(3, 4)}, 2, "does not fit"),
        ({f"{WRAPPED}{LAYER}.lora_A.default.weight": torch.ones(8)}, 2, "does not fit"),
        ({f"{WRAPPED}unknown.lora_A.default.weight": A}, 2, "base does not have"),
        ({"bridge.weight": torch.ones(3, 3)}, 2, "the base has"),
        ({f"{WRAPPED}estimator.rotary_embed.inv_freq": torch.ones(4)}, 2, "the base has"),
    ],
)
def test_what_does_not_fit_is_told_with_its_tensor(changes, rank, told):
    with pytest.raises(BadTensor, match=told) as caught:
        merge_lora(BASE, lora(**changes), rank)
    assert caught.value.tensor
