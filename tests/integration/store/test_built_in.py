"""The built-in voices: from the folder of the package to voices beside the store, once, and again when it changes."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from voxswap_server.audio.decode import decode
from voxswap_server.cli.storing import prompt_import
from voxswap_server.demo.tiny import build_tiny_store
from voxswap_server.demo.tiny_built_in import CONTENT_WIDTH, write_built_in
from voxswap_server.demo.tiny_speech import RATE_HZ, speech_clip
from voxswap_server.errors import RequestError
from voxswap_server.nn.ecapa import SpeakerEncoder
from voxswap_store.asset_importer import find_assets, import_assets
from voxswap_store.assets import CONTENT_ENCODERS, asset_directory, asset_state, content_encoder
from voxswap_store.built_in import (
    TABLE,
    TAG,
    built_in_root,
    catalogue_of,
    install_built_in,
    packaged,
    packaged_voices,
    read_table,
)
from voxswap_store.catalogue import Catalogue
from voxswap_store.content import content_encoder_of
from voxswap_store.errors import CheckpointError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_built_in(tmp_path_factory.mktemp("package") / "voices", ("amber", "slate"))


@pytest.fixture(scope="module")
def installed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store. Read only."""
    store = tmp_path_factory.mktemp("store")
    install(folder, store)
    return store


@pytest.fixture
def store(installed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(installed, tmp_path / "store"))


def install(folder: Path, store: Path) -> list[str]:
    """Which voices were imported."""
    imported: list[str] = []
    with prompt_import(store) as prompts:
        install_built_in(folder, store, encode_prompt=prompts.encode, progress=imported.append)
    return imported


def test_voices_are_whole_and_the_store_has_their_networks(installed: Path) -> None:
    catalogue = catalogue_of(installed, built_in=True)
    assert catalogue.ids() == ("amber", "slate")
    for voice_id in catalogue.ids():
        entry = catalogue.validate(voice_id)
        assert entry.built_in
        assert entry.manifest.files.prompt is not None, "it would have to be encoded when it speaks first"
        assert entry.manifest.tags == (TAG,)
        assert (entry.manifest.defaults.top_k, entry.manifest.languages) == (5, ("en",))
        assert content_encoder_of(entry) == content_encoder(CONTENT_WIDTH) == "hubert_small"
    assert asset_state(installed, "hubert_small").manifest
    assert asset_state(installed, "ecapa_small").manifest
    assert asset_state(installed, "ecapa").manifest is None
    assert Catalogue(installed).ids() == (), "the store itself is the user's"


def test_they_are_imported_once(folder: Path, store: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*.safetensors")}
    assert install(folder, store) == []
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*.safetensors")} == before


def test_a_new_release_brings_others_and_takes_away(store: Path, tmp_path: Path) -> None:
    newer = write_built_in(tmp_path / "newer", ("slate", "coral"), seed=1)
    old = Catalogue(built_in_root(store)).get("slate").manifest.origin
    encoder = asset_state(store, "hubert_small").manifest
    assert install(newer, store) == ["slate", "coral"]
    catalogue = catalogue_of(store, built_in=True)
    assert catalogue.ids() == ("coral", "slate")
    assert catalogue.get("slate").manifest.origin != old
    assert asset_state(store, "hubert_small").manifest != encoder


def test_tokens_that_the_table_knows_are_taken_and_all_else_is_heard(
    folder: Path, installed: Path, tmp_path: Path
) -> None:
    told = Path(shutil.copytree(folder, tmp_path / "told"))
    table = (told / TABLE).read_text("utf-8")
    (told / TABLE).write_text(f"{table}prompt_tokens = [3, 1, 2]\n", "utf-8")  # of the last row
    install(told, tmp_path / "store")

    def prompt(store: Path, voice_id: str) -> dict[str, torch.Tensor]:
        entry = catalogue_of(store, built_in=True).get(voice_id)
        assert entry.manifest.files.prompt is not None
        return load_file(entry.path(entry.manifest.files.prompt))

    assert prompt(tmp_path / "store", "slate")["tokens"].tolist() == [3, 1, 2]
    assert torch.equal(prompt(tmp_path / "store", "slate")["speaker"], prompt(installed, "slate")["speaker"])
    assert torch.equal(prompt(tmp_path / "store", "amber")["tokens"], prompt(installed, "amber")["tokens"])
    (told / TABLE).write_text(f"{table}prompt_tokens = [1024]\n", "utf-8")
    with pytest.raises(RequestError, match="less than 1024"):
        install(told, tmp_path / "store")


def test_what_is_missing_or_broken_is_brought_back(folder: Path, store: Path) -> None:
    shutil.rmtree(built_in_root(store) / "voices" / "amber")
    (built_in_root(store) / "voices" / "slate" / "voice.toml").write_text("broken")
    assert install(folder, store) == ["amber", "slate"]
    assert all(catalogue_of(store, built_in=True).validate(voice_id).built_in for voice_id in ("amber", "slate"))


def test_a_damaged_folder_is_told_and_what_was_there_stays(folder: Path, store: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(folder, tmp_path / "damaged"))
    (damaged / "sovits.pth").write_bytes(b"nothing")
    with pytest.raises(CheckpointError):
        install(damaged, store)
    assert catalogue_of(store, built_in=True).validate("amber").built_in


def test_a_small_speaker_encoder_is_taken_only_by_its_name(folder: Path) -> None:
    assert set(find_assets(folder)) == {"hubert_small", "ecapa"}
    assert list(find_assets(folder, only=("ecapa_small",))) == ["ecapa_small"]
    assert find_assets(folder, only=("bert",)) == {}


def test_a_package_of_networks_alone_has_no_voices(folder: Path, store: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "ecapa", tmp_path / "networks" / "ecapa")
    assert install(tmp_path / "networks", store) == []
    assert catalogue_of(store, built_in=True).ids() == ("amber", "slate"), "whoever brought them"
    assert install(tmp_path / "networks", tmp_path / "new") == []
    assert asset_state(tmp_path / "new", "ecapa_small").manifest
    assert asset_state(tmp_path / "new", "hubert_small").manifest is None


def test_a_width_without_an_encoder_is_told() -> None:
    assert {content_encoder(width) for width in CONTENT_ENCODERS} == {"hubert", "hubert_small"}
    with pytest.raises(RequestError, match="width 512; there are encoders for 256, 768"):
        content_encoder(512)


def test_upstreams_voices_hear_through_upstreams_encoder(tmp_path: Path) -> None:
    made = build_tiny_store(tmp_path, {"narrator": ("v2", 1)}, assets=())
    assert content_encoder_of(made.voices[0]) == "hubert"


def test_voices_of_the_package_have_all_that_they_need() -> None:
    folder = packaged_voices()
    if folder is None:
        pytest.skip("this source tree has no built-in voices")
    assert {"t2s.ckpt", "sovits.pth"} <= {path.name for path in folder.iterdir()}
    assert "hubert_small" in find_assets(folder, only=("hubert_small",))
    for voice in read_table(folder).voices:
        assert (folder / "references" / voice.reference).is_file()


def test_the_speaker_encoder_of_the_package_knows_speakers_again(tmp_path: Path) -> None:
    folder = packaged()
    if folder is None or "ecapa_small" not in find_assets(folder, only=("ecapa_small",)):
        pytest.skip("this source tree has no speaker encoder")
    import_assets(folder, tmp_path, only=("ecapa_small",))
    encoder = SpeakerEncoder.from_directory(asset_directory(tmp_path, "ecapa_small"))
    noise = np.random.default_rng(0).normal(0, 0.003, 16_000 * 5).astype(np.float32)
    clips = [decode(speech_clip(seed), max_s=60, max_bytes=1 << 24).samples[:, 0] for seed in range(4)]
    near = torch.stack([encoder.embedding(wave(clip)) for clip in clips])
    far = torch.stack(
        [encoder.embedding(0.3 * wave(clip) + torch.from_numpy(noise[: wave(clip).shape[1]])) for clip in clips]
    )
    torch.testing.assert_close(near.norm(dim=1), torch.ones(4))
    assert (near @ far.T).argmax(1).tolist() == [0, 1, 2, 3]


def wave(samples: NDArray[np.float32]) -> torch.Tensor:
    """At the encoder's rate, (1, n), at most 5 s."""
    return torch.from_numpy(soxr.resample(samples, RATE_HZ, 16_000).astype(np.float32)[: 16_000 * 5])[None]
