"""Tensors on disk: what is written is read, by us in one block and by the safetensors library."""

import io
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load as library_load
from safetensors.torch import save as library_save

from voxswap_store.converted import Converted
from voxswap_store.known_headers import KnownHeaders
from voxswap_store.safetensors_header import BadHeader, read_header
from voxswap_store.weights import damaged, load_weights, non_finite, read_weights, write_weights

TENSORS = {
    "z.weight": torch.randn(8, 16).half(),
    "a.weight": torch.randn(4, 32),
    "odd.bias": torch.randn(3).half(),
    "scalar": torch.tensor(2.5),
    "transposed": torch.randn(16, 8).T,
    "tokens": torch.arange(7),
    "flags": torch.tensor([True, False, True]),
    "brain": torch.randn(5).bfloat16(),
}
CONFIG = {"layers": 2, "rates": [10, 8], "name": "é", "nothing": None}


def written(tensors=TENSORS, config=CONFIG, extra=None):
    out = io.BytesIO()
    write_weights(out, Converted(tensors, config), extra)
    return out


def test_everything_comes_back():
    weights = read_weights(written())
    assert weights.config == CONFIG
    assert weights.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert weights.tensors[name].dtype == tensor.dtype
        assert torch.equal(weights.tensors[name], tensor)


def test_the_library_reads_it_too(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(written(extra={"format": "pt"}).getvalue())
    read = library_load(path.read_bytes())
    assert all(torch.equal(read[name], tensor) for name, tensor in TENSORS.items())
    with safe_open(path, "pt") as opened:
        assert opened.metadata()["format"] == "pt"
        assert json.loads(opened.metadata()["config"]) == CONFIG


def test_what_the_library_wrote_is_read():
    tensors = {name: tensor.contiguous() for name, tensor in TENSORS.items()}
    weights = read_weights(io.BytesIO(library_save(tensors)))
    assert all(torch.equal(weights.tensors[name], tensor) for name, tensor in tensors.items())
    assert (weights.config, weights.digests) == ({}, {})


def test_a_file_is_one_block_of_memory():
    weights = read_weights(written())
    begin, end = weights.block.data_ptr(), weights.block.data_ptr() + weights.block.numel()
    assert weights.block.numel() == sum(tensor.nbytes for tensor in TENSORS.values())
    assert all(begin <= tensor.data_ptr() < end for tensor in weights.tensors.values())


def test_the_order_is_the_callers_and_full_lines_are_aligned():
    weights = read_weights(written())
    order = list(weights.tensors)
    assert order.index("z.weight") < order.index("a.weight") < order.index("transposed")
    base = weights.block.data_ptr()
    assert all((weights.tensors[name].data_ptr() - base) % 64 == 0 for name in ("z.weight", "a.weight", "transposed"))


def test_equal_tensors_have_equal_digests_and_others_do_not():
    tensor = torch.randn(4, 4)
    digests = read_weights(
        written(
            {"a": tensor, "b": tensor.clone(), "c": tensor.T, "d": tensor.reshape(16), "e": tensor.view(torch.int32)}
        )
    ).digests
    assert digests["a"] == digests["b"]
    assert len({digests[name] for name in "acde"}) == 4


def test_the_same_tensors_make_the_same_file():
    assert written().getvalue() == written().getvalue()


def test_a_config_that_is_no_json_is_refused():
    with pytest.raises(ValueError, match="JSON compliant"):
        written(config={"x": float("nan")})


@pytest.mark.parametrize("piece_bytes", [64, 1 << 18])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_converted_on_the_way_is_the_same(monkeypatch, piece_bytes, dtype):
    monkeypatch.setattr("voxswap_store.memory_layout._BUFFER_BYTES", piece_bytes)
    mixed = {**TENSORS, "more": torch.randn(50).half(), "last": torch.randn(3, 16), "none": torch.empty(0, 4)}
    weights = read_weights(written(mixed), dtype=dtype)
    assert weights.tensors.keys() == mixed.keys()
    for name, tensor in mixed.items():
        assert torch.equal(weights.tensors[name], tensor.to(dtype))


def test_a_file_that_is_cut_while_it_is_converted_is_refused():
    whole = written()
    header = read_header(whole)
    with pytest.raises(BadHeader, match="ended"):
        read_weights(io.BytesIO(whole.getvalue()[:-9]), dtype=torch.float32, header=header)


def test_the_header_of_a_file_is_parsed_once_for_as_long_as_it_stays_as_it_is(tmp_path, monkeypatch):
    parsed = []
    monkeypatch.setattr(
        "voxswap_store.known_headers.read_header", lambda file: parsed.append(file.name) or read_header(file)
    )
    path, headers = tmp_path / "a.safetensors", KnownHeaders()
    path.write_bytes(written().getvalue())
    for _ in range(2):
        assert load_weights(path, headers=headers).tensors.keys() == TENSORS.keys()
    assert len(parsed) == 1
    other = tmp_path / "other"
    other.write_bytes(written({"a": torch.ones(2)}).getvalue())
    other.replace(path)
    assert load_weights(path, headers=headers).tensors["a"].tolist() == [1.0, 1.0]
    assert len(parsed) == 2


def test_a_damaged_header_is_damaged_every_time(tmp_path):
    path, headers = tmp_path / "a.safetensors", KnownHeaders()
    path.write_bytes(b"nothing of the kind")
    for _ in range(2):
        with pytest.raises(BadHeader):
            load_weights(path, headers=headers)


@pytest.mark.parametrize("cut", [1, 100, 1000])
def test_a_cut_file_is_refused(tmp_path, cut):
    path = tmp_path / "a.safetensors"
    path.write_bytes(written().getvalue()[:-cut])
    with pytest.raises(BadHeader):
        load_weights(path)


@pytest.mark.parametrize("value", ["{", "[]"])
def test_metadata_that_lies_is_refused(value):
    data = library_save({"a": torch.ones(2)}, {"config": value})
    with pytest.raises(BadHeader, match="config"):
        read_weights(io.BytesIO(data))


def test_values_that_are_no_numbers_are_found():
    tensors = {
        "good": torch.ones(3),
        "nan": torch.tensor([1.0, float("nan")]),
        "inf": torch.tensor([float("inf")]).half(),
        "whole": torch.ones(3, dtype=torch.int64),
        "brain": torch.tensor([float("-inf")]).bfloat16(),
    }
    assert list(non_finite(tensors)) == ["nan", "inf", "brain"]


def test_tensors_may_be_converted_on_the_way(tmp_path):
    tensors = {
        "big": torch.randn(40, 64).half(),
        "odd": torch.randn(3),
        "none": torch.empty(0, 2),
        "ids": torch.arange(5),
    }
    path = tmp_path / "file"
    with path.open("wb") as file:
        write_weights(file, Converted(tensors, {"a": 1}))
    read = load_weights(path, dtype=torch.float32)
    assert read.config == {"a": 1}
    assert read.tensors.keys() == tensors.keys()
    for name, tensor in read.tensors.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, tensors[name].float())
    assert len({tensor.untyped_storage().data_ptr() for tensor in read.tensors.values()}) == 1


def test_nothing_is_converted_that_has_the_dtype_already(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        write_weights(file, Converted({"one": torch.randn(4), "two": torch.randn(8)}, {}))
    read = load_weights(path, dtype=torch.float32)
    assert read.block.numel() == 48
    assert all(tensor.untyped_storage().data_ptr() == read.block.data_ptr() for tensor in read.tensors.values())


def test_a_file_that_ends_too_soon_while_it_is_converted_is_refused(tmp_path):
    file = io.BytesIO()
    write_weights(file, Converted({"one": torch.randn(64).half()}, {}))

    class Shrinking(io.BytesIO):
        """Loses its end between header and tensors."""

        def readinto(self, room):
            return 0

    with pytest.raises(BadHeader, match="ended"):
        read_weights(Shrinking(file.getvalue()), dtype=torch.float32)


def test_a_byte_that_is_not_the_one_that_was_written_is_found():
    file = io.BytesIO()
    write_weights(file, Converted({"a": torch.arange(4.0), "b": torch.ones(3, dtype=torch.int8)}, {}))
    assert damaged(read_weights(file)) == []
    data = bytearray(file.getvalue())
    data[-1] ^= 1
    assert damaged(read_weights(io.BytesIO(data))) == ["b"]
