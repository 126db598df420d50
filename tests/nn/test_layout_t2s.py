"""What may be wrong with a T2S checkpoint is found at the door, and named."""

import math

import pytest
import torch

from tests.fixtures.t2s import t2s_checkpoint
from voxswap_server.nn.t2s import T2SConfig, tensor_shapes
from voxswap_store.errors import BadTensor, CheckpointError
from voxswap_store.layout_t2s import convert_t2s


def test_names_and_shapes_are_those_the_network_adopts():
    weight, config = t2s_checkpoint(3, layers=3)
    converted = convert_t2s(weight, config)
    expected = tensor_shapes(T2SConfig.from_dict(converted.config))
    assert {name: tuple(tensor.shape) for name, tensor in converted.tensors.items()} == expected
    assert list(converted.tensors) == list(expected)
    assert all(tensor.is_contiguous() for tensor in converted.tensors.values())


def test_values_are_kept_bit_for_bit():
    weight, config = t2s_checkpoint(3)
    converted = convert_t2s(weight, config).tensors
    assert torch.equal(converted["layers.1.ffn_in.weight"].T, weight["model.h.layers.1.linear1.weight"])
    assert torch.equal(converted["layers.0.qkv.bias"], weight["model.h.layers.0.self_attn.in_proj_bias"])
    assert {tensor.dtype for tensor in converted.values()} == {torch.float16}


NAME = "model.h.layers.1.norm2.weight"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "missing"),
        (torch.zeros(7), r"shape \(7,\)"),
        (torch.zeros(32, dtype=torch.int64), "floating point"),
        (torch.full((32,), math.nan), "NaN"),
        (torch.full((32,), math.inf), "infinity"),
    ],
)
def test_a_bad_tensor_is_named(value, why):
    weight, config = t2s_checkpoint()
    del weight[NAME]
    with pytest.raises(BadTensor, match=why) as raised:
        convert_t2s(weight if value is None else weight | {NAME: value}, config)
    assert raised.value.tensor == NAME


def test_a_tensor_too_many_is_named():
    weight, config = t2s_checkpoint()
    with pytest.raises(BadTensor, match="not part of"):
        convert_t2s(weight | {"model.h.layers.2.norm2.weight": weight[NAME]}, config)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("EOS", 1023, "EOS"),
        ("head", 5, "heads"),
        ("embedding_dim", 64, "embedding_dim"),
        ("n_layer", 10**9, "layers"),
        ("n_layer", 0, "n_layer"),
        ("hidden_dim", "32", "hidden_dim"),
        ("vocab_size", True, "vocab_size"),
        ("phoneme_vocab_size", None, "phoneme_vocab_size"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(key, value, why):
    weight, config = t2s_checkpoint()
    config["model"][key] = value
    with pytest.raises(CheckpointError, match=why):
        convert_t2s(weight, config)


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "54", None, True])
def test_a_senseless_length_is_refused(value):
    weight, config = t2s_checkpoint()
    config["data"]["max_sec"] = value
    with pytest.raises(CheckpointError, match="max_sec"):
        convert_t2s(weight, config)


@pytest.mark.parametrize("section", ["model", "data"])
def test_a_missing_section_is_named(section):
    weight, config = t2s_checkpoint()
    del config[section]
    with pytest.raises(CheckpointError, match=section):
        convert_t2s(weight, config)
