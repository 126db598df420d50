"""Checkpoints are rebuilt from a few numbers, in upstream's formats, and only if their digest agrees."""

import io
import sys
import zipfile

import numpy as np
import pytest
import torch

from voxswap_server.parity import golden_weights
from voxswap_server.parity.errors import BadGoldens
from voxswap_server.parity.golden_weights import Manifest, TensorRule, build_tensors, digest
from voxswap_server.parity.materialize import materialize
from voxswap_store.checkpoint import read_checkpoint

RULES = (
    {"name": "half", "shape": [3, 4], "dtype": "f16", "a": 0.5, "b": 1.0, "seed": 7},
    {"name": "single", "shape": [5], "dtype": "f32", "a": 2.0, "b": 0.0, "seed": 8},
    {"name": "count", "shape": [], "dtype": "i64", "a": 0, "b": 3, "seed": 0},
    {"name": "fixed", "shape": [2, 1], "dtype": "f32", "a": 0, "b": 0, "seed": 0, "values": [[0.25], [-1.5]]},
)


def manifest(**changes) -> Manifest:
    rules = [TensorRule.model_validate(rule) for rule in RULES]
    draft = Manifest.model_construct(file="x", tensors=rules, sha256="")
    sha256 = digest({rule.name: tensor for rule, tensor in zip(rules, _tensors(draft), strict=True)})
    values = {"file": "deep/x.pth", "format": "s2", "sha256": sha256, "tensors": rules, "config": {"model": {"a": [1]}}}
    return Manifest.model_validate(values | changes)


def _tensors(draft: Manifest) -> list[torch.Tensor]:
    return [golden_weights._build(rule) for rule in draft.tensors]


def test_the_rule():
    rule = TensorRule(name="x", shape=(2, 3), dtype="f16", a=0.5, b=1.0, seed=7, row_scale={1: 4.0})
    bits = np.random.RandomState(7).randint(0, 65536, size=6, dtype=np.uint16)
    expected = ((bits.astype(np.float64) - 32768) / 32768 * 0.5 + 1.0).reshape(2, 3)
    expected[1] *= 4
    sha256 = digest({"x": torch.from_numpy(expected.astype(np.float16))})
    tensors = build_tensors(Manifest(file="x", format="s1", sha256=sha256, tensors=(rule,)))
    assert tensors["x"].dtype == torch.float16


def test_a_digest_that_differs_is_refused(tmp_path):
    with pytest.raises(BadGoldens, match="sha256"):
        materialize(manifest(sha256="0" * 64), tmp_path)
    assert not list(tmp_path.rglob("*.pth"))


@pytest.mark.parametrize("head", ["PK", "05"])
def test_a_sovits_checkpoint_is_upstreams_format(tmp_path, head):
    path = materialize(manifest(head=head, config_class="utils.HParams", lora_rank=4), tmp_path)
    assert path == tmp_path / "deep" / "x.pth"
    data = path.read_bytes()
    assert data[:2] == head.encode()
    pickle = next(content for name, content in _members(b"PK" + data[2:]).items() if name.endswith("data.pkl"))
    assert b"utils" in pickle
    assert b"HParams" in pickle
    checkpoint = read_checkpoint(path)
    assert (checkpoint.head, checkpoint.lora_rank, checkpoint.config) == (head, 4, {"model": {"a": [1]}})
    assert torch.equal(checkpoint.weight["half"], build_tensors(manifest())["half"])


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_class_of_the_pickle_leaves_no_trace(tmp_path):
    before = sys.modules.get("utils")
    materialize(manifest(config_class="utils.HParams"), tmp_path)
    assert sys.modules.get("utils") is before


def test_what_is_there_is_not_made_again(tmp_path):
    path = materialize(manifest(), tmp_path)
    path.write_bytes(b"kept")
    assert materialize(manifest(), tmp_path).read_bytes() == b"kept"


def test_directories_of_hugging_face(tmp_path):
    path = materialize(manifest(file="bert", format="hf", files={"config.json": "{}"}), tmp_path)
    assert sorted(file.name for file in path.iterdir()) == ["config.json", "pytorch_model.bin"]
    assert (path / "config.json").read_text() == "{}"


def test_a_vocoder(tmp_path):
    path = materialize(manifest(file="vocoder", format="bigvgan", files={"config.json": "{}"}), tmp_path)
    assert "generator" in torch.load(path / "bigvgan_generator.pt", weights_only=True)


def test_no_manifest_writes_outside_its_directory(tmp_path):
    with pytest.raises(BadGoldens, match="outside"):
        materialize(manifest(file="../x.pth"), tmp_path / "inner")
