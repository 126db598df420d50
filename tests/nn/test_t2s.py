"""The network's state is an argument: rows join, leave and share steps without hearing each other."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.fixtures.t2s import t2s_checkpoint, tiny_native_t2s, tiny_t2s
from voxswap_server.errors import EngineError, TextTooLong
from voxswap_server.nn.t2s import MAX_POSITIONS, T2S, KVCache, PrefillRow, T2SConfig, position_table, tensor_shapes
from voxswap_server.nn.t2s_backends import TokenModel
from voxswap_store.layout_t2s import convert_t2s

NEW = 12


NETS = {
    "torch": lambda: tiny_t2s(7),
    "native fp16": lambda: tiny_native_t2s(7),
    "native fp32": lambda: tiny_native_t2s(7, dtype=torch.float32),
    "native, three threads": lambda: tiny_native_t2s(7, threads=3),
}


@pytest.fixture(scope="module", params=NETS)
def net(request) -> TokenModel:
    return NETS[request.param]()


def make_row(net: TokenModel, seed: int, phones: int, prompt: int, *, bert: bool = False, new: int = NEW) -> PrefillRow:
    """A row on a cache whose unwritten places are NaN: any read of one would spoil the logits."""
    generator = torch.Generator().manual_seed(seed)
    cache = net.new_cache(phones + prompt, new)
    cache.storage.fill_(math.nan)
    return PrefillRow(
        torch.randint(0, net.config.phoneme_vocab_size, (phones,), generator=generator),
        torch.randn(net.config.bert_dim, phones, generator=generator) if bert else None,
        torch.randint(0, net.config.eos, (prompt,), generator=generator),
        cache,
    )


def script(seed: int, steps: int) -> Tensor:
    """Tokens that a row is fed, whatever its logits say."""
    return torch.randint(0, 1024, (steps,), generator=torch.Generator().manual_seed(seed + 1000))


def alone(net: TokenModel, row: PrefillRow, tokens: Tensor) -> list[Tensor]:
    logits = [net.prefill([row])[0]]
    logits += [net.step(token[None], [row.cache])[0] for token in tokens]
    return logits


def assert_close(one: Tensor, other: Tensor, tolerance: float = 1e-5) -> None:
    assert one.isfinite().all()
    assert (one - other).abs().max() <= tolerance * other.abs().max()


def full_pass(net: TokenModel, row: PrefillRow, tokens: Tensor) -> Tensor:
    """The same network written down plainly: no cache, one mask, logits of every position (N, vocab)."""
    config, weight = net.config, {name: tensor.double() for name, tensor in net.tensors.items()}
    table = position_table(config.hidden_dim, torch.float32, torch.device("cpu")).double()
    audio = torch.cat((row.prompt, tokens))
    text = weight["text_embedding.weight"][row.phones]
    bert = torch.zeros(config.bert_dim, len(row.phones)) if row.bert is None else row.bert
    text = text + bert.double().T @ weight["bert_projection.weight"] + weight["bert_projection.bias"]
    text = text + weight["text_position.alpha"] * table[: len(text)]
    spoken = weight["audio_embedding.weight"][audio] + weight["audio_position.alpha"] * table[: len(audio)]
    x = torch.cat((text, spoken))
    size, P = len(x), len(text)
    blocked = torch.ones(size, size, dtype=torch.bool).triu(1)
    blocked[:P, :P] = False
    for layer in range(config.layers):
        w = {name.removeprefix(f"layers.{layer}."): value for name, value in weight.items()}
        q, k, v = (x @ w["qkv.weight"] + w["qkv.bias"]).view(size, 3, config.heads, -1).permute(1, 2, 0, 3)
        scores = (q @ k.transpose(1, 2) / math.sqrt(config.head_dim)).masked_fill(blocked, -math.inf)
        heard = (scores.softmax(-1) @ v).transpose(0, 1).reshape(size, -1)
        x = F.layer_norm(x + heard @ w["out.weight"] + w["out.bias"], x.shape[1:], w["norm1.weight"], w["norm1.bias"])
        inner = (x @ w["ffn_in.weight"] + w["ffn_in.bias"]).relu() @ w["ffn_out.weight"] + w["ffn_out.bias"]
        x = F.layer_norm(x + inner, x.shape[1:], w["norm2.weight"], w["norm2.bias"])
    return x @ weight["head.weight"]


@pytest.mark.parametrize("prompt", [0, 1, 9])
@pytest.mark.parametrize("bert", [False, True])
def test_prefill_and_steps_equal_one_plain_pass(net, prompt, bert):
    row = make_row(net, 3, phones=8, prompt=prompt, bert=bert)
    tokens = script(3, NEW)
    expected = full_pass(net, row, tokens)[-(NEW + 1) :]
    for one, other in zip(alone(net, row, tokens), expected, strict=True):
        assert_close(one, other, 1e-5)


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_join_and_leave_between_steps(net, data):
    """Any schedule of prefills and steps gives each row what it gets alone."""
    sizes = data.draw(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 12)), min_size=1, max_size=5))
    expected = {i: alone(net, make_row(net, i, *size), script(i, NEW)) for i, size in enumerate(sizes)}
    rows = {i: make_row(net, i, *size) for i, size in enumerate(sizes)}
    waiting, done = list(rows), dict.fromkeys(rows, 0)
    active: list[int] = []
    while waiting or active:
        if waiting and (not active or data.draw(st.booleans())):
            joining = waiting[: data.draw(st.integers(1, len(waiting)))]
            waiting = waiting[len(joining) :]
            for i, logits in zip(joining, net.prefill([rows[i] for i in joining]), strict=True):
                assert_close(logits, expected[i][0])
            active += joining
        stepping = data.draw(st.permutations(active))[: data.draw(st.integers(1, len(active)))]
        tokens = torch.stack([script(i, NEW)[done[i]] for i in stepping])
        for i, logits in zip(stepping, net.step(tokens, [rows[i].cache for i in stepping]), strict=True):
            done[i] += 1
            assert_close(logits, expected[i][done[i]])
        active = [i for i in active if done[i] < NEW]


def test_text_may_look_ahead_and_speech_may_not(net):
    row = make_row(net, 1, phones=6, prompt=5)
    before = net.prefill([row])[0]
    later_phone = row.phones.clone()
    later_phone[-1] = (later_phone[-1] + 1) % 700
    assert not torch.allclose(before, net.prefill([PrefillRow(later_phone, None, row.prompt, row.cache)])[0])
    keys = row.cache.storage[:, :, :, :6].clone()
    net.prefill([PrefillRow(later_phone, None, row.prompt.flip(0), row.cache)])
    assert torch.equal(keys, row.cache.storage[:, :, :, :6])  # the text heard nothing of the other prompt


def test_speech_restarts_its_positions(net):
    """The first token after a text of any length has position 0."""
    row = make_row(net, 1, phones=6, prompt=0)
    net.prefill([row])
    assert (row.cache.length, row.cache.audio_tokens) == (6, 0)
    net.step(torch.tensor([4]), [row.cache])
    assert (row.cache.length, row.cache.audio_tokens) == (7, 1)


def test_a_full_cache_is_refused_before_anything_is_written(net):
    row, other = make_row(net, 1, phones=4, prompt=2, new=1), make_row(net, 2, phones=3, prompt=2)
    net.prefill([row, other])
    net.step(torch.tensor([1, 2]), [row.cache, other.cache])
    with pytest.raises(EngineError, match="full"):
        net.step(torch.tensor([1, 2]), [row.cache, other.cache])
    assert other.cache.length == 6


@pytest.mark.parametrize(("field", "value"), [("phones", 732), ("phones", -1), ("prompt", 1025), ("prompt", -1)])
def test_ids_outside_the_vocabulary_are_refused(net, field, value):
    row = make_row(net, 1, phones=4, prompt=2)
    getattr(row, field)[1] = value
    with pytest.raises(EngineError, match="outside"):
        net.prefill([row])


def test_a_prefix_must_fit_its_cache_and_hold_something(net):
    row = make_row(net, 1, phones=4, prompt=2)
    with pytest.raises(EngineError, match="in a cache of"):
        net.prefill([PrefillRow(row.phones, None, row.prompt, net.new_cache(5, 0))])
    nothing = torch.empty(0, dtype=torch.long)
    with pytest.raises(EngineError, match="prefix of 0"):
        net.prefill([PrefillRow(nothing, None, nothing, row.cache)])


def test_a_text_beyond_the_position_table_is_refused(net):
    phones = torch.zeros(MAX_POSITIONS + 1, dtype=torch.long)
    cache = KVCache(net.config, 4, dtype=torch.float32, device=net.device)
    with pytest.raises(TextTooLong, match=str(MAX_POSITIONS)):
        net.prefill([PrefillRow(phones, None, phones[:0], cache)])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 6e-2), (torch.float16, 8e-3)])
def test_half_precision_stays_near_fp32(dtype, tolerance):
    net = tiny_t2s(7)
    half = tiny_t2s(7, dtype=dtype)
    expected = alone(net, make_row(net, 5, 9, 7, bert=True), script(5, 4))
    for one, other in zip(alone(half, make_row(half, 5, 9, 7, bert=True), script(5, 4)), expected, strict=True):
        assert one.dtype == torch.float32
        assert_close(one, other, tolerance)


def test_stored_tensors_are_adopted_not_copied():
    converted = convert_t2s(*t2s_checkpoint(1, dtype=torch.float32))
    config = T2SConfig.from_dict(converted.config)
    first, second = (T2S.from_tensors(config, converted.tensors) for _ in range(2))
    for name, tensor in converted.tensors.items():
        assert first.tensors[name].data_ptr() == second.tensors[name].data_ptr() == tensor.data_ptr()


def test_tensors_that_do_not_fit_are_refused():
    converted = convert_t2s(*t2s_checkpoint(1))
    config = T2SConfig.from_dict(converted.config)
    with pytest.raises(ValueError, match=r"head\.weight"):
        T2S.from_tensors(config, {n: t for n, t in converted.tensors.items() if n != "head.weight"})
    with pytest.raises(ValueError, match="extra"):
        T2S.from_tensors(config, converted.tensors | {"extra": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"qkv\.bias"):
        T2S.from_tensors(config, converted.tensors | {"layers.0.qkv.bias": torch.zeros(5)})


def test_the_config_is_checked():
    values = convert_t2s(*t2s_checkpoint(1)).config
    assert T2SConfig.from_dict(values).max_s == 54
    with pytest.raises(ValueError, match="heads"):
        T2SConfig.from_dict({key: value for key, value in values.items() if key != "heads"})


def test_dimensions_come_from_the_checkpoint():
    net = tiny_t2s(2, width=48, heads=3, layers=3, vocab=65, phonemes=40)
    assert {name: tuple(tensor.shape) for name, tensor in net.tensors.items()} == tensor_shapes(net.config)
    row = PrefillRow(torch.arange(5), None, torch.arange(3), net.new_cache(8, 2))
    assert net.prefill([row]).shape == (1, 65)
    assert net.step(torch.tensor([7]), [row.cache]).shape == (1, 65)


def test_a_row_may_tell_how_its_tokens_look_at_its_phones(net: TokenModel) -> None:
    plain, told = make_row(net, 3, 5, 4), replace(make_row(net, 3, 5, 4), looks=[])
    assert torch.equal(net.prefill([plain]), net.prefill([told]))
    shorter = replace(make_row(net, 3, 5, 4), looks=[])
    net.prefill([replace(shorter, prompt=shorter.prompt[:2])])
    assert told.looks is not None
    assert shorter.looks is not None
    assert len(told.looks) == net.config.layers
    for look, of_two in zip(told.looks, shorter.looks, strict=True):
        assert look.shape == (net.config.heads, 4, 5)
        assert (look > 0).all()
        assert (look.sum(-1) < 1).all()  # the rest is at the tokens up to their own
        torch.testing.assert_close(look[:, :2], of_two)  # later tokens are not looked at
