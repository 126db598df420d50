"""Speaker embeddings: those of SpeechBrain, through our way in."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from tests.fixtures.ecapa import Reference
from voxswap_server.engine.memory import size_of
from voxswap_server.nn.ecapa import SpeakerEncoder
from voxswap_store.asset_importer import import_assets
from voxswap_store.assets import asset_directory


def installed(reference: Reference, folder: Path) -> Path:
    import_assets(reference.write(folder / "speechbrain"), folder / "store", only=("ecapa",))
    return asset_directory(folder / "store", "ecapa")


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


@pytest.fixture(scope="module")
def directory(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(reference, tmp_path_factory.mktemp("ecapa"))


@pytest.fixture(scope="module")
def encoder(directory: Path) -> SpeakerEncoder:
    return SpeakerEncoder.from_directory(directory)


def waves(count: int, samples: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, samples, generator=torch.Generator().manual_seed(seed)) * 0.1


@pytest.mark.parametrize("samples", [8_000, 8_001, 16_000, 37_123, 80_000])
def test_it_is_speechbrains_embedding_at_any_length(reference, encoder, samples):
    batch = waves(3, samples)
    expected = F.normalize(reference.embeddings(batch), dim=1)
    for wave, one in zip(batch, expected, strict=True):
        torch.testing.assert_close(encoder.embedding(wave[None]), one, rtol=0, atol=1e-5)
    assert (expected[0] - expected[1]).abs().max() > 1e-3  # the comparison could tell them apart


@pytest.mark.parametrize(
    "settings",
    [
        {"network": {"channels": [8, 16, 16, 24]}},
        {"network": {"channels": [16, 24, 24, 24, 24, 32], "kernel_sizes": [3, 3, 5, 3, 3, 1]}},
        {"network": {"global_context": False}},
        {"network": {"res2net_scale": 2, "se_channels": 128}},
        {"features": {"f_min": 50, "f_max": 7600, "hop_length": 8, "win_length": 20, "n_fft": 512}},
        {"std_norm": True},
    ],
    ids=["shortcut", "deeper", "no context", "branches", "filters", "deviation"],
)
def test_every_setting_reaches_the_network(tmp_path, settings):
    if len(settings.get("network", {}).get("channels", [])) == 6:
        settings["network"]["dilations"] = [1, 2, 3, 4, 1, 1]
    reference = Reference(**settings, seed=1)
    wave = waves(1, 20_000)
    expected = F.normalize(reference.embeddings(wave)[0], dim=0)
    torch.testing.assert_close(
        SpeakerEncoder.from_directory(installed(reference, tmp_path)).embedding(wave), expected, rtol=0, atol=1e-5
    )


def test_it_is_of_length_one_whatever_the_length_of_speechbrains(reference, encoder):
    wave = waves(1, 24_000)
    assert reference.embeddings(wave).norm() != pytest.approx(1, abs=0.1)
    embedding = encoder.embedding(wave)
    assert embedding.shape == (20,)
    assert embedding.dtype == torch.float32
    assert embedding.norm().item() == pytest.approx(1, abs=1e-6)


def test_loudness_is_not_who_speaks(encoder):
    wave = waves(1, 24_000)
    assert encoder.embedding(wave) @ encoder.embedding(wave / 4) > 0.9999
    assert encoder.embedding(wave) @ encoder.embedding(wave.cumsum(1) / 20) < 0.9999


def test_a_half_precision_file_is_computed_in_fp32(directory, encoder, tmp_path):
    (tmp_path / "config.json").write_text((directory / "config.json").read_text())
    stored = load_file(directory / "model.safetensors")
    save_file({name: tensor.half() for name, tensor in stored.items()}, tmp_path / "model.safetensors")
    half, wave = SpeakerEncoder.from_directory(tmp_path), waves(1, 24_000)
    assert size_of(half) == size_of(encoder)
    assert half.embedding(wave) @ encoder.embedding(wave) > 0.999


def test_a_network_without_a_direction_is_an_error(directory, tmp_path):
    tensors = load_file(directory / "model.safetensors")
    (tmp_path / "config.json").write_text((directory / "config.json").read_text())
    for value in (0.0, float("nan")):
        broken = tensors | {name: torch.full_like(tensors[name], value) for name in ("fc.conv.weight", "fc.conv.bias")}
        save_file(broken, tmp_path / "model.safetensors")
        with pytest.raises(ValueError, match="no direction"):
            SpeakerEncoder.from_directory(tmp_path).embedding(waves(1, 16_000))


def test_tensors_that_do_not_fit_the_config_are_told(directory, tmp_path):
    config = json.loads((directory / "config.json").read_text())
    (tmp_path / "model.safetensors").symlink_to(directory / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config | {"embedding_dim": 21}))
    with pytest.raises(ValueError, match=r"fc\.conv\.\w+.*\(20"):
        SpeakerEncoder.from_directory(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({name: config[name] for name in config if name != "bands"}))
    with pytest.raises(ValueError, match="bands"):
        SpeakerEncoder.from_directory(tmp_path)


def test_it_is_quiet_and_needs_neither_pickle_nor_network(directory):
    program = f"""
import pickle, socket, sys
import voxswap_server, torch
from pathlib import Path
from voxswap_server.nn.ecapa import SpeakerEncoder
assert not any(name.startswith("speechbrain") for name in sys.modules), "imported before it is needed"
def forbidden(*_, **__): raise AssertionError("pickle or network")
pickle.load = pickle.loads = torch.load = socket.socket.connect = forbidden
print(tuple(SpeakerEncoder.from_directory(Path({str(directory)!r})).embedding(torch.randn(1, 16000)).shape))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "(20,)\n", "")
