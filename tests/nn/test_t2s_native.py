"""Our own kernels: what they promise beyond what every backend of T2S does."""

import gc
import threading
from io import BytesIO

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.t2s import t2s_checkpoint, tiny_native_t2s, tiny_t2s
from voxswap_server.engine.memory import size_of
from voxswap_server.errors import RequestError
from voxswap_server.nn.native import compiler, linear
from voxswap_server.nn.native.compiler import Processor
from voxswap_server.nn.native.panels import GROUP, PANEL, ZERO, panel_shape
from voxswap_server.nn.native.post_norm import Shape, step_code
from voxswap_server.nn.native.team import Team
from voxswap_server.nn.quantized import Quantized, quantized, restored
from voxswap_server.nn.t2s import T2S, PrefillRow, T2SConfig
from voxswap_server.nn.t2s_backends import BACKENDS, Placement, Stored, chosen, load_t2s
from voxswap_server.nn.t2s_native import NativeT2S
from voxswap_store.layout_t2s import convert_t2s
from voxswap_store.weights import read_weights, write_weights

CPU = torch.device("cpu")


def prefixes(net, sizes, *, room=40):
    rows = []
    for seed, (phones, prompt) in enumerate(sizes):
        generator = torch.Generator().manual_seed(seed)
        ids = (
            torch.randint(0, 700, (phones,), generator=generator),
            torch.randint(0, 1024, (prompt,), generator=generator),
        )
        bert = torch.randn(1024, phones, generator=generator) if seed % 2 else None
        rows.append(PrefillRow(ids[0], bert, ids[1], net.new_cache(phones + prompt, room)))
    return rows


def spoken(net, rows, steps):
    """Logits of a prefill and of steps with prescribed tokens, (steps + 1, B, vocab)."""
    found = [net.prefill(rows)]
    found += [net.step(torch.full((len(rows),), 3 + step), [row.cache for row in rows]) for step in range(steps)]
    return torch.stack(found)


@given(sizes=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 30)), min_size=2, max_size=9))
@settings(max_examples=15, deadline=None)
def test_a_row_does_not_depend_on_its_company_by_a_bit(sizes):
    net = tiny_native_t2s(3)
    together = spoken(net, prefixes(net, sizes), 5)
    for place, row in enumerate(prefixes(net, sizes)):
        assert torch.equal(spoken(net, [row], 5)[:, 0], together[:, place])


@pytest.mark.parametrize("threads", [2, 5])
def test_the_number_of_threads_changes_no_bit(threads):
    sizes = [(9, 4), (30, 0), (1, 17)]
    one, several = tiny_native_t2s(3), tiny_native_t2s(3, threads=threads)
    assert torch.equal(spoken(one, prefixes(one, sizes), 20), spoken(several, prefixes(several, sizes), 20))


@pytest.mark.parametrize(
    "sizes",
    [
        {"width": 48, "heads": 3, "layers": 3, "vocab": 65, "phonemes": 732},
        {"width": 20, "heads": 2, "layers": 1, "vocab": 1025},
        {"width": 128, "heads": 1, "layers": 1, "vocab": 130},
        {"width": 96, "heads": 16, "layers": 2, "vocab": 1024},
    ],
)
def test_any_size_that_a_checkpoint_has(sizes):
    net, native = tiny_t2s(2, **sizes), tiny_native_t2s(2, **sizes)
    prefix = [(torch.arange(40), torch.arange(13)), (torch.arange(7), torch.arange(0))]
    found = []
    for each in (net, native):
        rows = [PrefillRow(phones, None, prompt, each.new_cache(60, 25)) for phones, prompt in prefix]
        found.append(spoken(each, rows, 20))
    assert (found[1] - found[0]).abs().max() < 1e-5 * found[0].abs().max()


@pytest.mark.parametrize(
    ("width", "heads", "dtype", "threads"),
    [(20, 2, torch.float16, 1), (20, 2, torch.float32, 2), (48, 3, torch.float32, 1)],
)
def test_a_row_by_itself_takes_another_way_to_the_same_bits(width, heads, dtype, threads):
    net = tiny_native_t2s(2, width=width, heads=heads, layers=1, vocab=1025, dtype=dtype, threads=threads)
    prefix = [(9, 4), (20, 1)]
    together = spoken(net, prefixes(net, prefix), 6)
    for place, row in enumerate(prefixes(net, prefix)):
        assert torch.equal(spoken(net, [row], 6)[:, 0], together[:, place])


def test_half_precision_is_lossless_and_copies_nothing():
    converted = convert_t2s(*t2s_checkpoint(1))
    config = T2SConfig.from_dict(converted.config)
    net = NativeT2S.from_tensors(config, converted.tensors, Team(1))
    for name, tensor in net.tensors.items():
        assert torch.equal(tensor.float(), converted.tensors[name].float())
        if tensor.dim() == 2:
            assert tensor.data_ptr() == converted.tensors[name].data_ptr()


def test_one_matrix_in_single_precision_makes_all_of_them_so():
    converted = convert_t2s(*t2s_checkpoint(1))
    mixed = converted.tensors | {"layers.1.out.weight": converted.tensors["layers.1.out.weight"].float() * 1.0001}
    net = NativeT2S.from_tensors(T2SConfig.from_dict(converted.config), mixed, Team(1))
    assert net.tensors["head.weight"].dtype == torch.float32
    assert torch.equal(net.tensors["layers.1.out.weight"], mixed["layers.1.out.weight"])


def test_tensors_that_do_not_fit_are_refused():
    converted = convert_t2s(*t2s_checkpoint(1))
    with pytest.raises(ValueError, match="extra"):
        NativeT2S.from_tensors(
            T2SConfig.from_dict(converted.config), converted.tensors | {"extra": torch.zeros(1)}, Team(1)
        )


def with_rounded_matrices(exact, rounded):
    """The reference network with the matrices that the other one has in 8 bits."""
    tensors = dict(exact.tensors)
    for name, tensor in rounded.tensors.items():
        if tensor.dtype == torch.uint8:
            scale = rounded.tensors[name.replace(".weight", ".scale")]
            tensors[name] = restored(Quantized(tensor, scale), exact.tensors[name].shape[0])
    return T2S.from_tensors(exact.config, tensors)


def test_eight_bits_stay_near():
    """Against the same network with the rounded matrices, and against the exact one."""
    exact, rounded = tiny_native_t2s(4), tiny_native_t2s(4, int8=True)
    sizes = [(9, 4), (20, 9)]
    one, other = (spoken(net, prefixes(net, sizes), 8) for net in (exact, rounded))
    assert 0 < (one - other).abs().max() < 0.05 * one.abs().max()
    plain = with_rounded_matrices(exact, rounded)
    assert (spoken(plain, prefixes(plain, sizes), 8) - other).abs().max() < 2e-3 * other.abs().max()


def test_beside_eight_bits_keys_and_values_are_halves():
    """What a prefill keeps and what a step adds: those of the reference, rounded once."""
    exact, rounded = tiny_native_t2s(4), tiny_native_t2s(4, int8=True)
    kept = []
    for net in (with_rounded_matrices(exact, rounded), rounded):
        (row,) = prefixes(net, [(9, 4)])
        spoken(net, [row], 3)
        kept.append(row.cache.storage[:, :, :, : row.cache.length])
    one, other = kept
    assert (one.dtype, other.dtype) == (torch.float32, torch.float16)
    assert row.cache.length == 16
    assert (one - other).abs().max() < 2e-3 * one.abs().max()


@given(sizes=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 30)), min_size=2, max_size=9))
@settings(max_examples=10, deadline=None)
def test_in_eight_bits_a_row_does_not_depend_on_its_company_by_a_bit(sizes):
    net = tiny_native_t2s(3, int8=True)
    together = spoken(net, prefixes(net, sizes), 5)
    for place, row in enumerate(prefixes(net, sizes)):
        assert torch.equal(spoken(net, [row], 5)[:, 0], together[:, place])


def test_in_eight_bits_the_number_of_threads_changes_no_bit():
    sizes = [(9, 4), (30, 0), (1, 17)]
    one, several = (tiny_native_t2s(3, int8=True, threads=threads) for threads in (1, 3))
    assert torch.equal(spoken(one, prefixes(one, sizes), 20), spoken(several, prefixes(several, sizes), 20))


def test_rounding_keeps_a_column_of_zeros():
    matrix = torch.tensor([[0.0, 1.0], [0.0, -2.0]])
    rounded = quantized(matrix)
    assert rounded.values.dtype == torch.uint8
    assert tuple(rounded.values.shape) == panel_shape(2, 2) == (1, 1, PANEL, GROUP)
    assert rounded.values[0, 0, :2].tolist() == [[ZERO, ZERO, ZERO, ZERO], [ZERO + 64, ZERO - 127, ZERO, ZERO]]
    assert (rounded.values[0, 0, 2:] == ZERO).all()
    assert (restored(rounded, 2) - matrix).abs().max() <= rounded.scale.max() / 2


@pytest.mark.parametrize("shape", [(4, 64), (5, 65), (33, 7), (130, 200)])
def test_rounded_matrices_come_back_from_their_panels(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    rounded = quantized(matrix)
    assert rounded.values.is_contiguous()
    assert ((restored(rounded, shape[0]) - matrix).abs() <= 0.5001 * rounded.scale).all()


def test_a_score_far_below_the_peak_weighs_nothing_and_none_overflows():
    """Scores of thousands: the softmax still sums to 1."""
    converted = convert_t2s(*t2s_checkpoint(1))
    tensors = {name: tensor.float() * (40 if "qkv.weight" in name else 1) for name, tensor in converted.tensors.items()}
    config = T2SConfig.from_dict(converted.config)
    nets = T2S.from_tensors(config, tensors), NativeT2S.from_tensors(config, tensors, Team(1))
    one, other = (spoken(net, prefixes(net, [(12, 5)]), 3) for net in nets)
    assert other.isfinite().all()
    assert (one - other).abs().max() < 1e-3 * one.abs().max()


@pytest.mark.parametrize("cpu", [Processor(8, 2, halves=True), Processor(4, 4, halves=True)])
def test_code_for_narrower_processors_computes_the_same(cpu, monkeypatch):
    wide = tiny_native_t2s(3)
    expected = spoken(wide, prefixes(wide, [(9, 4), (3, 30)]), 12)
    step_code.cache_clear()
    monkeypatch.setattr("voxswap_server.nn.native.post_norm.processor", lambda: cpu)
    try:
        narrow = tiny_native_t2s(3)
    finally:
        step_code.cache_clear()
    found = spoken(narrow, prefixes(narrow, [(9, 4), (3, 30)]), 12)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("int8", [False, True])
def test_what_is_no_number_stays_visible(int8):
    net = tiny_native_t2s(3, int8=int8)
    (row,) = prefixes(net, [(9, 4)])
    net.prefill([row])
    row.cache.storage[0, 0, 0, 2] = float("nan")
    assert net.step(torch.tensor([1]), [row.cache]).isnan().any()


def test_a_team_goes_home_when_nobody_needs_it():
    before = set(threading.enumerate())
    team = Team(3)
    members = [thread for thread in threading.enumerate() if thread not in before and thread.name == "voxswap-kernel"]
    assert len(members) == 2
    del team
    gc.collect()
    assert not any(member.is_alive() for member in members)


def test_callers_of_one_team_take_turns():
    net = tiny_native_t2s(3, threads=2)
    expected = spoken(net, prefixes(net, [(9, 4)]), 10)
    found: list[torch.Tensor] = []
    callers = [
        threading.Thread(target=lambda: found.append(spoken(net, prefixes(net, [(9, 4)]), 10))) for _ in range(4)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(found) == 4
    assert all(torch.equal(one, expected) for one in found)


def placed(dtype=torch.float32, device=CPU):
    return Placement(device, dtype, Team(1))


def test_the_fastest_backend_that_computes_there_is_chosen(monkeypatch):
    assert list(BACKENDS) == ["native", "torch"]
    assert chosen("auto", placed()) == "native"
    assert chosen("torch", placed()) == "torch"
    assert chosen("auto", placed(torch.bfloat16)) == "torch"
    assert chosen("auto", placed(device=torch.device("cuda"))) == "torch"
    monkeypatch.setattr("voxswap_server.nn.t2s_backends.processor", lambda: Processor(4, 4, halves=False))
    assert chosen("auto", placed()) == "torch"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("native", placed(torch.bfloat16)), "choose auto or torch"),
        (("torch", placed(), "int8"), "choose auto or native"),
        (("auto", placed(torch.bfloat16), "int8"), "another precision"),
    ],
)
def test_a_backend_that_cannot_is_refused(arguments, message):
    with pytest.raises(RequestError, match=message):
        chosen(*arguments)


@pytest.mark.parametrize(
    ("backend", "precision", "kind"),
    [("auto", "exact", NativeT2S), ("auto", "int8", NativeT2S), ("torch", "exact", T2S)],
)
@pytest.mark.parametrize("dtypes", ["halves", "singles", "mixed"])
def test_backends_take_what_they_say(backend, precision, kind, dtypes):
    """Of a file that was read as one block, in the dtypes that they ask for."""
    converted = convert_t2s(*t2s_checkpoint(1))
    for number, (name, tensor) in enumerate(converted.tensors.items()):
        converted.tensors[name] = (
            tensor.float() if dtypes == "singles" or (dtypes == "mixed" and number % 3) else tensor
        )
    file = BytesIO()
    write_weights(file, converted)
    stored = {name: Stored(tensor.dtype, tuple(tensor.shape)) for name, tensor in converted.tensors.items()}
    row = BACKENDS[chosen(backend, placed(), precision)]
    dtypes = row.read_as(stored, placed(), precision)
    weights = read_weights(file, dtype=lambda name, _: dtypes[name])
    config = T2SConfig.from_dict(weights.config)
    net = load_t2s(config, weights.tensors, placed(), backend=backend, precision=precision)
    assert isinstance(net, kind)
    assert row.planned_bytes(stored, placed(), precision) == size_of(net)
    adopted = {tensor.untyped_storage().data_ptr() for tensor in net.tensors.values()}
    assert (adopted == {weights.block.untyped_storage().data_ptr()}) == (precision == "exact")


def test_machine_code_is_made_once_a_shape():
    one, other = tiny_native_t2s(3), tiny_native_t2s(4)
    assert one._code is other._code
    assert isinstance(one._shape, Shape)
    assert set(linear.KINDS) == {"float16", "float32", "int8"}
    assert compiler.processor() is compiler.processor()
