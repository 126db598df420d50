"""A server that has voices from its first start: tiny stand-ins for the built-in ones take the way of the true ones."""

import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
from structlog.testing import capture_logs

from tests.fixtures.engines import asking, engine_over, hear
from voxswap_server.app import Engine
from voxswap_server.cli.storing import prompt_import
from voxswap_server.demo.tiny import build_tiny_store, tiny_prompt
from voxswap_server.demo.tiny_built_in import write_built_in
from voxswap_server.demo.tiny_ecapa import write_ecapa
from voxswap_server.domain import VoiceChanges
from voxswap_server.engine import built_in
from voxswap_server.errors import RequestError
from voxswap_store.asset_importer import import_assets
from voxswap_store.built_in import TABLE, install_built_in


class Starting(Protocol):
    def __call__(self, store: Path, **changes: Any) -> AbstractAsyncContextManager[Engine]: ...


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_built_in(tmp_path_factory.mktemp("package") / "voices")


@pytest.fixture
def starting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Starting:
    """An engine whose package has the tiny voices."""
    monkeypatch.setattr(built_in, "packaged", lambda: folder)

    @asynccontextmanager
    async def started(store: Path, **changes: Any) -> AsyncIterator[Engine]:
        async with engine_over(store, **{"voices": {"built_in": True}} | changes) as (engine, _):
            yield engine

    return started


@pytest.fixture(scope="module")
def installed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store at which a server was started before. Read only."""
    store = tmp_path_factory.mktemp("store")
    with prompt_import(store) as prompts:
        install_built_in(folder, store, encode_prompt=prompts.encode)
    return store


@pytest.fixture
def store(installed: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(installed, tmp_path / "store"))


async def test_with_nothing_at_all_it_speaks(starting: Starting, tmp_path: Path) -> None:
    async with starting(tmp_path) as engine:
        voices = await engine.library.list_voices()
        assert [(voice.voice_id, voice.tags) for voice in voices] == [
            ("amber", ("built-in",)),
            ("slate", ("built-in",)),
        ]
        own = [await hear(engine.synthesizer, asking(name, "Good morning.")) for name in ("amber", "slate")]
        assert all(heard.pcm.any() for heard in own)
        clip = await hear(engine.synthesizer, asking("amber", "Good morning.", prompt=tiny_prompt(9)))
        assert clip.pcm.any(), "a new speaker is heard through the small content encoder"
        assert clip.data != own[0].data
        assert (await engine.speakers.find_voices(tiny_prompt(0).audio, limit=1))[0].voice_id == "amber"
        with pytest.raises(RequestError, match="built in"):
            await engine.library.update_voice("amber", VoiceChanges(description="Mine."))


async def test_the_second_start_finds_them_and_settings_switch_them_off(starting: Starting, store: Path) -> None:
    with capture_logs() as logs:
        async with starting(store) as engine:
            assert engine.catalogue.ids() == ("amber", "slate")
        async with starting(store, voices={"built_in": False}) as engine:
            assert engine.catalogue.ids() == ()
    assert not [line for line in logs if "built-in" in line["event"]]


async def test_a_voice_of_the_store_wins_and_that_is_told(starting: Starting, store: Path) -> None:
    build_tiny_store(store, {"amber": ("v2", 5)})
    with capture_logs() as logs:
        async with starting(store) as engine:
            assert [entry.built_in for entry in engine.catalogue.entries()] == [False, True]
            assert (await hear(engine.synthesizer, asking("amber", "Good morning."))).pcm.any()
    told = [line for line in logs if "takes the place" in line["event"]]
    assert [(line["voice"], line["log_level"]) for line in told] == [("amber", "warning")]


async def test_a_damaged_package_is_told_and_hinders_no_other_voice(
    starting: Starting, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = Path(shutil.copytree(folder, tmp_path / "damaged"))
    (damaged / "t2s.ckpt").write_bytes(b"nothing")
    monkeypatch.setattr(built_in, "packaged", lambda: damaged)
    store = build_tiny_store(tmp_path / "store", {"narrator": ("v2", 5)}).root
    with capture_logs() as logs:
        async with starting(store) as engine:
            assert engine.catalogue.ids() == ("narrator",)
    assert [line["log_level"] for line in logs if "cannot be imported" in line["event"]] == ["error"]


async def test_one_setting_takes_the_speaker_encoder_of_the_hub(
    starting: Starting, store: Path, tmp_path: Path
) -> None:
    write_ecapa(tmp_path / "hub", 7)
    import_assets(tmp_path / "hub", store)
    clip, found = tiny_prompt(0).audio, {}
    for network in ("", "ecapa_small", "ecapa"):
        async with starting(store, speakers={"network": network}) as engine:
            found[network] = await engine.speakers.embed(clip)
    assert found[""] == found["ecapa_small"] != found["ecapa"]


async def test_a_damaged_table_is_told(starting: Starting, folder: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(folder, tmp_path / "damaged"))
    (damaged / TABLE).write_text("licence = 3")
    with capture_logs() as logs:
        async with engine_over(tmp_path / "store") as (engine, _):
            built_in.bring_built_in(tmp_path / "store", engine.catalogue, engine.library._prompts, damaged)
    assert ["voices.toml" in line["problem"] for line in logs if "cannot be imported" in line["event"]] == [True]
