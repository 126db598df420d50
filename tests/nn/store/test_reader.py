"""Checkpoints that torch itself wrote come back as torch would read them."""

import io
from collections import OrderedDict

import pytest
import torch

from voxswap_store.checkpoint import read_checkpoint
from voxswap_store.errors import NotACheckpoint

DTYPES = [
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
]


def saved(content, **options):
    out = io.BytesIO()
    torch.save(content, out, **options)
    return out.getvalue()


def values(*shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(shape, generator=generator) * 50).to(dtype)


@pytest.mark.parametrize("dtype", [*DTYPES, torch.uint8, torch.bool], ids=str)
def test_every_dtype_is_read_bit_by_bit(dtype):
    tensor = values(3, 5, dtype=dtype)
    read = read_checkpoint(saved({"a": tensor})).weight["a"]
    assert read.dtype == dtype
    assert torch.equal(read, tensor)


VIEWS = {
    "scalar": lambda: torch.tensor(3.5),
    "empty": lambda: torch.empty(0, 4),
    "transposed": lambda: values(3, 5).T,
    "permuted": lambda: values(2, 3, 4, 5).permute(3, 0, 2, 1),
    "strided": lambda: values(40)[3:30:4],
    "every other row": lambda: values(9, 4)[::2],
    "a column": lambda: values(6, 4)[:, 2],
    "a part of a storage": lambda: values(100)[17:29].reshape(3, 4),
    "channels last": lambda: values(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "size one with an odd stride": lambda: values(4, 6)[:, 1:2],
    "a parameter": lambda: torch.nn.Parameter(values(2, 2)),
    "half, transposed": lambda: values(7, 3, dtype=torch.float16).T,
}


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_every_view_is_read_in_its_order(view):
    tensor = VIEWS[view]()
    read = read_checkpoint(saved({"a": tensor, "b": values(3)})).weight
    assert read["a"].shape == tensor.shape
    assert read["a"].is_contiguous()
    assert torch.equal(read["a"], tensor.detach())
    assert torch.equal(read["b"], values(3))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_of_pickle_is_read(protocol):
    content = OrderedDict(weight=OrderedDict(a=values(2)), config={"model": {"x": [1, 2.5, None, "é"]}}, info="GPT-e15")
    read = read_checkpoint(saved(content, pickle_protocol=protocol))
    assert read.config == {"model": {"x": [1, 2.5, None, "é"]}}
    assert read.info == "GPT-e15"
    assert torch.equal(read.weight["a"], values(2))


def test_the_state_of_a_module_is_read_whole():
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    read = read_checkpoint(saved(module.state_dict()))
    assert read.kind == "state"
    assert read.weight.keys() == module.state_dict().keys()
    assert all(torch.equal(tensor, read.weight[name]) for name, tensor in module.state_dict().items())


def test_progress_ends_at_the_end():
    told = []
    data = saved({"a": values(1000)})
    read_checkpoint(data, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (len(data), len(data))
    assert all(done <= total for done, total in told)


def test_a_path_is_read_as_the_bytes_are(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(b"05" + saved({"weight": {"a": values(4)}, "config": {"model": {}}})[2:])
    read = read_checkpoint(path)
    assert read.head == "05"
    assert torch.equal(read.weight["a"], values(4))
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "nowhere.pth")


def test_a_config_that_is_no_table_is_refused():
    with pytest.raises(NotACheckpoint, match="config is a list"):
        read_checkpoint(saved({"weight": {"a": values(1)}, "config": [1]}))
