"""Fetching from a stand-in for the Hub: what comes is installed whole or not at all, and what broke off goes on."""

import hashlib
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import constants, file_download
from safetensors.torch import save_file
from transformers import BertTokenizer
from typer.testing import CliRunner

from tests.fixtures.hub import LARGE_BYTES, hub_of
from voxswap_server.cli.main import app
from voxswap_server.demo.tiny import write_pretrained_models
from voxswap_server.demo.tiny_ap_bwe import ap_bwe_state, write_ap_bwe
from voxswap_server.errors import AssetMissing, RequestError
from voxswap_server.nn.bert import TextEncoder
from voxswap_store import hub, hub_sources
from voxswap_store.asset_importer import find_assets, import_assets
from voxswap_store.assets import ASSETS, asset_directory, asset_state, verify_asset
from voxswap_store.hub import FetchFailed, fetch_asset
from voxswap_store.hub_sources import GPT_SOVITS, SOURCES, HubFile, HubSource, source_of

NVIDIA = SOURCES["bigvgan"].repository
SPEAKER = "sv/pretrained_eres2netv2w24s4ep4.ckpt"


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """The repositories, with tiny networks in their places."""
    folder = tmp_path_factory.mktemp("hub")
    for name in ("hubert", "eres2net"):
        write_pretrained_models(folder / GPT_SOVITS, (name,))
    write_pretrained_models(folder / "other", ("bigvgan",))
    (folder / NVIDIA).parent.mkdir()
    (folder / "other" / ASSETS["bigvgan"].usual_place).rename(folder / NVIDIA)
    config, weights = (folder / SOURCES["ap_bwe"].repository / file.path for file in SOURCES["ap_bwe"].files)
    write_ap_bwe(weights.parent, 0)
    (weights.parent / "g_24kto48k.zip").unlink()
    save_file(ap_bwe_state(0), weights)
    assert config.is_file()
    return folder


@pytest.fixture
def served(published, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "secret")
    # The library writes ten million bytes at a time, and waits a second before it goes on.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1_000)
    monkeypatch.setattr(file_download, "time", SimpleNamespace(sleep=lambda _: None, time=time.time))
    with hub_of(published) as hub:
        yield hub


def fetch(name, served, root, **changes):
    return fetch_asset(name, SOURCES[name].repository, root, endpoint=served.url, **changes)


def test_every_asset_is_published_somewhere_and_recognised_by_its_files(tmp_path):
    assert SOURCES.keys() == {name for name, spec in ASSETS.items() if not spec.built_in}
    for name, source in SOURCES.items():
        if source.repository == GPT_SOVITS:
            assert all(file.path.startswith(ASSETS[name].usual_place) for file in source.files)
    single = [
        file.path for name in ("eres2net", "sovits_v3", "sovits_v4", "vocoder_v4") for file in SOURCES[name].files
    ]
    for path in single:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert list(find_assets(tmp_path)) == ["eres2net", "sovits_v3", "sovits_v4", "vocoder_v4"]


def test_what_comes_with_voxswap_is_not_fetched():
    with pytest.raises(RequestError, match="ecapa_small cannot be fetched: it comes with the built-in voices"):
        source_of("ecapa_small")


@pytest.mark.parametrize("name", ["hubert", "eres2net", "bigvgan", "ap_bwe"])
def test_a_network_is_fetched_and_installed(served, tmp_path, name):
    steps = {}
    state = fetch(name, served, tmp_path, progress=lambda step, done, total: steps.update({step: (done, total)}))
    assert state.manifest is not None
    verify_asset(tmp_path, name)
    for file in SOURCES[name].files:
        size = (served.folder / SOURCES[name].repository / file.path).stat().st_size
        assert steps[f"fetching {file.path}"] == (size, size)
    assert served.credentials == {None}
    assert not [path for path in (tmp_path / ".downloads").rglob("*") if path.is_file() and path.name != ".lock"]


def test_the_text_encoder_reads_by_the_one_file_that_is_published_of_its_tokenizer(served, tmp_path):
    write_pretrained_models(tmp_path / "made", ("bert",))
    made = tmp_path / "made" / ASSETS["bert"].usual_place
    wanted = TextEncoder.from_directory(installed(made, tmp_path / "first")).features("今天好。", (1, 1, 1, 1))
    BertTokenizer.from_pretrained(made).backend_tokenizer.save(str(made / "tokenizer.json"))
    (made / "vocab.txt").unlink()
    (made / "tokenizer_config.json").unlink()
    served.folder = tmp_path / "hub"
    (served.folder / "lj1995").mkdir(parents=True)
    (tmp_path / "made").rename(served.folder / GPT_SOVITS)
    fetch("bert", served, tmp_path / "store")
    got = TextEncoder.from_directory(asset_directory(tmp_path / "store", "bert")).features("今天好。", (1, 1, 1, 1))
    assert torch.equal(got, wanted)


def installed(folder: Path, root: Path) -> Path:
    import_assets(folder, root)
    return asset_directory(root, "bert")


def test_a_download_that_breaks_goes_on_in_the_same_run(served, tmp_path):
    served.broken[SPEAKER] = [5_000, 7_000]
    fetch("eres2net", served, tmp_path)
    verify_asset(tmp_path, "eres2net")
    assert served.started_at(SPEAKER) == [0, 5_000, 12_000]


def test_a_download_that_fails_goes_on_in_the_next_run(served, tmp_path):
    served.broken[SPEAKER] = [5_000, 0]
    with pytest.raises(FetchFailed, match="the Hub answered 503"):
        fetch("eres2net", served, tmp_path)
    assert asset_state(tmp_path, "eres2net").manifest is None
    fetch("eres2net", served, tmp_path)
    verify_asset(tmp_path, "eres2net")
    assert served.started_at(SPEAKER) == [0, 5_000, 5_000]


def test_whole_files_of_a_failed_fetch_are_not_fetched_again(served, tmp_path):
    config, weights = "chinese-hubert-base/config.json", "chinese-hubert-base/pytorch_model.bin"
    served.broken[weights] = [0]
    with pytest.raises(FetchFailed, match=r"pytorch_model\.bin could not be fetched from 'lj1995/GPT-SoVITS'"):
        fetch("hubert", served, tmp_path)
    fetch("hubert", served, tmp_path)
    assert served.started_at(config) == [0]


def test_what_broke_off_is_dropped_when_another_file_is_published(served, published, tmp_path):
    served.broken[SPEAKER] = [5_000, 0]
    with pytest.raises(FetchFailed):
        fetch("eres2net", served, tmp_path)
    served.folder = tmp_path / "newer"
    write_pretrained_models(served.folder / GPT_SOVITS, ("eres2net",), seed=5)
    state = fetch("eres2net", served, tmp_path)
    newer = (served.folder / GPT_SOVITS / SPEAKER).read_bytes()
    assert served.started_at(SPEAKER) == [0, 5_000, 0]
    assert state.manifest.source_sha256 == hashlib.sha256(newer).hexdigest()


def test_a_file_of_another_hash_installs_nothing(served, tmp_path):
    fetch("eres2net", served, tmp_path)
    before = asset_state(tmp_path, "eres2net")
    served.lies[SPEAKER] = "0" * 64
    with pytest.raises(FetchFailed, match="what came is damaged: its sha256"):
        fetch("eres2net", served, tmp_path)
    assert asset_state(tmp_path, "eres2net") == before
    verify_asset(tmp_path, "eres2net")
    del served.lies[SPEAKER]
    fetch("eres2net", served, tmp_path)
    assert served.started_at(SPEAKER) == [0, 0, 0]


def test_a_hash_that_we_know_counts_for_more_than_what_the_hub_tells(served, tmp_path, monkeypatch):
    source = HubSource(GPT_SOVITS, (HubFile(SPEAKER, sha256="1" * 64),))
    monkeypatch.setattr(hub_sources, "SOURCES", {"eres2net": source})
    with pytest.raises(FetchFailed, match="what came is damaged"):
        fetch("eres2net", served, tmp_path)
    assert not (tmp_path / "assets").exists()


def test_files_of_two_commits_are_not_mixed(served, tmp_path, monkeypatch):
    def told(url, **asked):
        served.commit = ("b" if url.endswith(".bin") else "a") * 40
        return file_download.get_hf_file_metadata(url, **asked)

    monkeypatch.setattr(hub, "get_hf_file_metadata", told)
    with pytest.raises(FetchFailed, match="the repository changed meanwhile"):
        fetch("hubert", served, tmp_path)
    assert not (tmp_path / "assets").exists()


@pytest.mark.parametrize("offline", [True, False])
def test_without_a_network_one_error_says_how_to_do_it_by_hand(served, tmp_path, monkeypatch, offline):
    with hub_of(tmp_path) as gone:
        pass
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    with pytest.raises(FetchFailed) as caught:
        fetch("eres2net", gone, tmp_path / "store")
    assert caught.value.message == (
        f"{SPEAKER} could not be fetched from 'lj1995/GPT-SoVITS': it cannot be reached. By hand: download its {SPEAKER}"
        " where there is a network, put them into one folder here, and run `voxswap assets import DIR --only eres2net`"
    )


def test_a_missing_asset_tells_both_ways(tmp_path):
    told = (
        r"HuBERT base is not installed.*`voxswap assets fetch hubert`, or without.*`voxswap assets import DIR` on a pre"
    )
    with pytest.raises(AssetMissing, match=told):
        asset_directory(tmp_path, "hubert")
    with pytest.raises(RequestError, match="unknown asset 'hubbert'"):
        fetch_asset("hubbert", "a/b", tmp_path)


def run(*words, code=0):
    done = CliRunner().invoke(app, ["assets", "fetch", *words])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


def test_the_command_fetches_those_named_and_then_all_that_lack(served, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = ("--endpoint", served.url, "--store", str(tmp_path / "store"))
    said = run("hubert", "bigvgan", *place)
    assert said.startswith("imported hubert of lj1995/GPT-SoVITS: CN-HuBERT base, ")
    assert f"imported bigvgan of {NVIDIA}: BigVGAN v2 24 kHz, " in said
    before = len(served.asked)
    said = run("--all", *place, code=2)  # of those that lack, the first is not published here
    assert "chinese-roberta-wwm-ext-large/config.json could not be fetched" in said
    assert "the repository does not hold it" in said
    assert not [name for _, name, _ in served.asked[before:] if "hubert" in name]
    assert "imported eres2net of" in run("eres2net", "--hub", GPT_SOVITS, *place)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "give names"),
        (("--all", "bert"), "give names"),
        (("--all", "--hub", "a/b"), "--hub"),
        (("x",), "unknown asset"),
    ],
)
def test_a_command_that_makes_no_sense(tmp_path, words, told):
    assert told in run(*words, "--store", str(tmp_path), code=2)


def test_the_large_files_of_the_tests_are_large(published):
    assert (published / GPT_SOVITS / SPEAKER).stat().st_size > 2 * LARGE_BYTES
