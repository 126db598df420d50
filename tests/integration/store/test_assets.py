"""The shared networks: recognised, converted, verified, and missed in plain words."""

import json

import pytest
import torch
from safetensors.torch import save_file

from tests.fixtures import pickle_assembly as asm
from voxswap_server.demo.tiny import write_pretrained_models
from voxswap_server.errors import AssetMissing, RequestError
from voxswap_server.nn.bert import TextEncoder
from voxswap_server.nn.eres2net import SpeakerVectorNet
from voxswap_server.nn.hubert import ContentEncoder
from voxswap_store import errors
from voxswap_store.asset_importer import find_assets, import_assets
from voxswap_store.assets import ASSETS, WEIGHTS, asset_directory, asset_state, asset_states, verify_asset

NETWORKS = ("hubert", "bert", "eres2net", "sovits_v3", "sovits_v4", "bigvgan", "vocoder_v4", "ap_bwe")
"""What a `pretrained_models` folder of GPT-SoVITS holds."""


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return write_pretrained_models(tmp_path_factory.mktemp("pretrained_models"), NETWORKS)


@pytest.fixture(scope="module")
def installed(tmp_path_factory, pretrained):
    root = tmp_path_factory.mktemp("store")
    import_assets(pretrained, root)
    return root


def test_a_folder_of_gpt_sovits_is_recognised_as_it_is(pretrained):
    found = find_assets(pretrained)
    assert list(found) == list(NETWORKS)
    assert found.keys() <= ASSETS.keys()
    assert found["hubert"].weights.name == "pytorch_model.bin"


def test_names_of_folders_do_not_matter_what_files_say_does(pretrained, tmp_path):
    (tmp_path / "x" / "y").mkdir(parents=True)
    (tmp_path / "x" / "y" / "renamed").symlink_to(pretrained / "chinese-hubert-base")
    assert find_assets(tmp_path) == {}  # a link is not followed: it may lead in circles
    (pretrained / "chinese-hubert-base" / "config.json").read_text()
    (tmp_path / "x" / "other").mkdir()
    for name in ("config.json", "pytorch_model.bin"):
        (tmp_path / "x" / "other" / name).symlink_to(pretrained / "chinese-hubert-base" / name)
    assert list(find_assets(tmp_path)) == ["hubert"]


@pytest.mark.parametrize(
    "config", ['{"model_type": "bert", "hidden_size": 768}', '{"model_type": "hubert"}', "[]", "{broken", ""]
)
def test_other_peoples_networks_are_left_alone(tmp_path, config):
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "pytorch_model.bin").touch()
    assert find_assets(tmp_path) == {}
    with pytest.raises(RequestError, match="does not hold any asset"):
        import_assets(tmp_path, tmp_path / "store")


def test_everything_is_installed_and_the_networks_read_it(installed):
    states = {state.spec.name: state for state in asset_states(installed)}
    assert states.keys() == ASSETS.keys()
    assert all(states[name].manifest and states[name].bytes_total > 1000 for name in NETWORKS)
    wave = torch.randn(1, 16_000) * 0.1
    assert ContentEncoder.from_directory(asset_directory(installed, "hubert")).features(wave).shape == (1, 768, 49)
    text = TextEncoder.from_directory(asset_directory(installed, "bert"))
    assert text.features("今天很好。", [2, 2, 2, 2, 1]).shape == (1024, 9)
    assert SpeakerVectorNet.from_directory(asset_directory(installed, "eres2net")).vector(wave).shape == (1, 20_480)


def test_no_pickle_is_installed(installed):
    names = {path.name for path in (installed / "assets").rglob("*") if path.is_file()}
    assert names == {
        "asset.toml",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer_config.json",
        "vocab.txt",
    }


def test_an_installed_network_is_verified_byte_by_byte(pretrained, tmp_path):
    import_assets(pretrained, tmp_path, only=("eres2net",))
    verify_asset(tmp_path, "eres2net")
    path = tmp_path / "assets" / "eres2net" / WEIGHTS
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(AssetMissing, match="damaged"):
        verify_asset(tmp_path, "eres2net")
    path.write_bytes(data[:-1])
    with pytest.raises(AssetMissing, match=r"cut short.*voxswap assets import"):
        asset_directory(tmp_path, "eres2net")
    import_assets(pretrained, tmp_path, only=("eres2net",))
    verify_asset(tmp_path, "eres2net")
    assert [path.name for path in (tmp_path / ".staging").iterdir()] == []


def test_what_is_missing_says_what_it_is_for(tmp_path):
    with pytest.raises(
        AssetMissing, match=r"ERes2NetV2 is not installed.*v2Pro and v2ProPlus.*voxswap assets import DIR"
    ):
        asset_directory(tmp_path, "eres2net")
    with pytest.raises(RequestError, match="choose from hubert, bert"):
        asset_directory(tmp_path, "nothing")


@pytest.mark.parametrize("text", ["format = 2", "broken", "format = 1\nname = 'hubert'\n"])
def test_a_broken_manifest_is_told(tmp_path, text):
    (tmp_path / "assets" / "hubert").mkdir(parents=True)
    (tmp_path / "assets" / "hubert" / "asset.toml").write_text(text)
    state = asset_state(tmp_path, "hubert")
    assert state.manifest is None
    assert "asset.toml cannot be read" in state.problem


def test_a_name_that_was_not_found_is_told(pretrained, tmp_path):
    with pytest.raises(RequestError, match="unknown asset 'hubbert'"):
        import_assets(pretrained, tmp_path, only=("hubbert",))
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match=r"does not hold bert; looked for chinese-roberta"):
        import_assets(tmp_path / "empty", tmp_path, only=("bert",))
    with pytest.raises(RequestError, match="no such folder"):
        import_assets(tmp_path / "nowhere", tmp_path)


def hubert_folder(directory, write):
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps({"model_type": "hubert", "hidden_size": 768}))
    write(directory)
    return directory


def test_an_attack_in_a_networks_folder_runs_nothing(tmp_path):
    attack = asm.torch_zip(asm.program(asm.called(asm.named("os", "system"), asm.plain("true"))))
    folder = hubert_folder(tmp_path / "x", lambda d: (d / "pytorch_model.bin").write_bytes(attack))
    with pytest.raises(errors.ForbiddenContent, match=r"os\.system"):
        import_assets(folder, tmp_path / "store")
    assert asset_state(tmp_path / "store", "hubert").manifest is None
    assert not (tmp_path / "store" / "assets").exists()


def test_safetensors_are_taken_as_they_are(tmp_path):
    folder = hubert_folder(tmp_path / "x", lambda d: save_file({"a": torch.ones(2)}, d / "model.safetensors"))
    assert [state.spec.name for state in import_assets(folder, tmp_path / "store")] == ["hubert"]
    save_file({"a": torch.tensor([float("nan")])}, folder / "model.safetensors")
    with pytest.raises(errors.BadTensor, match="NaN"):
        import_assets(folder, tmp_path / "store")
    (folder / "model.safetensors").write_bytes(b"no header")
    with pytest.raises(errors.CheckpointError, match="CN-HuBERT base: the header"):
        import_assets(folder, tmp_path / "store")
    verify_asset(tmp_path / "store", "hubert")
