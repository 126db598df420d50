"""Fetching from a stand-in for the Hub: what comes is installed whole or not at all, and what broke off goes on."""

import hashlib
import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import constants, file_download
from safetensors.torch import save_file
from transformers import BertTokenizer
from typer.testing import CliRunner

from tests.fixtures.g2pw import write_g2pw_zip
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
    own = [name for name, source in SOURCES.items() if source.repository == GPT_SOVITS]
    write_pretrained_models(folder / GPT_SOVITS, own)
    made = folder / GPT_SOVITS / ASSETS["bert"].usual_place
    BertTokenizer.from_pretrained(made).backend_tokenizer.save(str(made / "tokenizer.json"))
    (made / "vocab.txt").unlink()
    (made / "tokenizer_config.json").unlink()
    for name in ("bigvgan", "ecapa"):
        write_pretrained_models(folder / "other", (name,))
        (folder / SOURCES[name].repository).parent.mkdir()
        (folder / "other" / ASSETS[name].usual_place).rename(folder / SOURCES[name].repository)
    zipped = folder / SOURCES["g2pw"].repository / SOURCES["g2pw"].weights.path
    zipped.parent.mkdir(parents=True)
    write_g2pw_zip(zipped)
    config, weights = (folder / SOURCES["ap_bwe"].repository / file.path for file in SOURCES["ap_bwe"].files)
    write_ap_bwe(weights.parent, 0)
    (weights.parent / "g_24kto48k.zip").unlink()
    save_file(ap_bwe_state(0), weights)
    assert config.is_file()
    return folder


@pytest.fixture
def served(published, monkeypatch):
    # Tiny networks have other hashes than those that are published.
    tiny = {name: HubSource(one.repository, one.elsewhere("a/copy").files) for name, one in SOURCES.items()}
    monkeypatch.setattr(hub_sources, "SOURCES", tiny)
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


def test_what_is_known_of_the_published_files():
    known = {name: source.weights for name, source in SOURCES.items()}
    assert [name for name, file in known.items() if file.sha256 is None] == ["ap_bwe"]
    for name, source in SOURCES.items():
        *texts, weights = source.files
        assert all(re.search(r"\.(json|yaml)$", text.path) for text in texts), name
        assert re.search(r"\.(bin|pth|pt|ckpt|safetensors|zip)$", weights.path), name
        assert weights.sha256 is None or re.fullmatch("[0-9a-f]{64}", weights.sha256), name
        assert (weights.sha256 is None) == (weights.size_bytes is None), name
    assert len({file.sha256 for file in known.values()}) == len(known)


def test_of_another_repository_nothing_is_known():
    source = SOURCES["hubert"]
    assert source.elsewhere(GPT_SOVITS) is source
    copied = source.elsewhere("somebody/hubert")
    assert [file.path for file in copied.files] == [file.path for file in source.files]
    assert {(file.sha256, file.size_bytes) for file in copied.files} == {(None, None)}


def test_what_comes_with_voxswap_is_not_fetched():
    with pytest.raises(RequestError, match="ecapa_small cannot be fetched: it comes with the built-in voices"):
        source_of("ecapa_small")


@pytest.mark.parametrize("name", SOURCES)
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
    import_assets(write_pretrained_models(tmp_path / "made", ("bert",)), tmp_path / "first")
    fetch("bert", served, tmp_path / "second")
    first, second = (
        TextEncoder.from_directory(asset_directory(tmp_path / store, "bert")).features("今天好。", (1, 1, 1, 1))
        for store in ("first", "second")
    )
    assert torch.equal(first, second)


def test_a_zip_that_breaks_goes_on_where_it_stopped_and_is_not_kept(served, tmp_path):
    file = SOURCES["g2pw"].weights.path
    served.broken[file] = [9_000, 0]
    with pytest.raises(FetchFailed, match=r"G2PWModel\.zip could not be fetched from 'XXXXRT/GPT-SoVITS-Pretrained'"):
        fetch("g2pw", served, tmp_path)
    assert asset_state(tmp_path, "g2pw").manifest is None
    fetch("g2pw", served, tmp_path)
    assert served.started_at(file) == [0, 9_000, 9_000]
    assert not list(tmp_path.rglob("*.zip"))


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
    with pytest.raises(
        FetchFailed, match=rf"holds another file \(sha256 [0-9a-f]{{64}}\) than the known one \({'1' * 64}\)"
    ):
        fetch("eres2net", served, tmp_path)
    assert not (tmp_path / "assets").exists()
    served.lies[SPEAKER] = "1" * 64
    with pytest.raises(FetchFailed, match="what came is damaged"):
        fetch("eres2net", served, tmp_path)


def test_a_copy_elsewhere_may_be_another_file(served, tmp_path, monkeypatch):
    source = HubSource("the/first", (HubFile(SPEAKER, sha256="1" * 64),))
    monkeypatch.setattr(hub_sources, "SOURCES", {"eres2net": source})
    fetch_asset("eres2net", GPT_SOVITS, tmp_path, endpoint=served.url)
    verify_asset(tmp_path, "eres2net")


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
    whole, served.folder = served.folder, tmp_path / "part"
    (served.folder / GPT_SOVITS).mkdir(parents=True)
    (served.folder / NVIDIA).parent.mkdir()
    for part in (f"{GPT_SOVITS}/chinese-hubert-base", f"{GPT_SOVITS}/sv", NVIDIA):
        (served.folder / part).symlink_to(whole / part)
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


def listed(root):
    """Rows of the table by name: state, size, sha256, hub."""
    said = CliRunner(env={"COLUMNS": "250"}).invoke(app, ["assets", "list", "--store", str(root)]).output
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines() if line.startswith("│")]
    return {name: rest for name, _, _, *rest in rows}


def test_the_list_tells_what_is_known_of_what_is_there_and_of_what_is_not(tmp_path):
    rows = listed(tmp_path)
    assert list(rows) == list(ASSETS)
    for name, source in SOURCES.items():
        state, size, sha256, repository = rows[name]
        assert state == f"missing ({ASSETS[name].usual_place})"
        assert repository == source.repository
        known = source.weights
        assert size == (f"{known.size_bytes / 1e6:.1f} MB" if known.size_bytes else "–")
        assert sha256 == (known.sha256[:12] if known.sha256 else "–")
    assert rows["ecapa_small"][1:] == ["–", "–", "–"]
    pretrained = write_pretrained_models(tmp_path / "pretrained_models", ("eres2net",))
    [installed] = import_assets(pretrained, tmp_path)
    state, size, sha256, _ = listed(tmp_path)["eres2net"]
    own = hashlib.sha256((pretrained / SPEAKER).read_bytes()).hexdigest()
    assert (state, size, sha256) == ("assets/eres2net", f"{installed.bytes_total / 1e6:.1f} MB", own[:12])
    (tmp_path / "assets/eres2net/model.safetensors").write_bytes(b"")
    assert listed(tmp_path)["eres2net"][0] == "its model.safetensors is missing or cut short"
