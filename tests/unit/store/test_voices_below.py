"""Built-in voices lie below those of the store: read by everyone, changed by nobody, hidden by a voice of their id."""

import asyncio
import shutil

import pytest

from tests.fixtures.voice_folders import manifest, stage, write_voice
from voxswap_server.domain import VoiceChanges
from voxswap_server.errors import RequestError, VoiceNotFound, VoiceUnusable
from voxswap_store import BrokenVoice, Catalogue
from voxswap_store.built_in import built_in_root, catalogue_of
from voxswap_store.files import Staging


@pytest.fixture
def catalogue(tmp_path):
    """The store has amber, the built-in ones are amber and onyx."""
    write_voice(tmp_path, "amber", 1)
    for seed, voice_id in enumerate(("amber", "onyx"), 10):
        write_voice(built_in_root(tmp_path), voice_id, seed)
    return catalogue_of(tmp_path, built_in=True)


def test_both_are_listed_and_the_store_wins(catalogue):
    assert catalogue.ids() == ("amber", "onyx")
    assert [entry.built_in for entry in catalogue.entries()] == [False, True]
    assert catalogue.hidden() == ("amber",)
    assert catalogue.get("amber").revision == manifest("amber", 1).revision
    assert catalogue.get("onyx").path(catalogue.get("onyx").manifest.files.t2s).is_file()
    assert catalogue.validate("onyx").built_in


def test_they_can_be_switched_off(catalogue):
    without = catalogue_of(catalogue.root, built_in=False)
    assert (without.ids(), without.hidden()) == (("amber",), ())
    with pytest.raises(VoiceNotFound, match="voices: amber"):
        without.get("onyx")


def test_nobody_changes_them(catalogue):
    with pytest.raises(RequestError, match=r"'onyx' is built in.*import under this id"):
        catalogue.update("onyx", VoiceChanges(description="Mine."))
    with pytest.raises(RequestError, match=r"voices\.built_in = false"):
        catalogue.delete("onyx")
    assert catalogue.get("onyx").manifest.description == ""


def test_a_voice_of_ones_own_takes_the_place_and_gives_it_back(catalogue):
    with Staging(catalogue.root) as staging:
        stage(staging, 2)
        entry = catalogue.install(staging, manifest("onyx", 2))
    assert (entry.built_in, catalogue.hidden()) == (False, ("amber", "onyx"))
    catalogue.update("onyx", VoiceChanges(description="Mine."))
    catalogue.delete("onyx")
    assert catalogue.get("onyx").built_in
    with pytest.raises(VoiceNotFound):
        catalogue.delete("nobody")


def test_one_that_is_broken_hides_no_other(catalogue):
    (built_in_root(catalogue.root) / "voices" / "onyx" / "voice.toml").write_text("broken")
    assert isinstance(catalogue.entries()[1], BrokenVoice)
    for ask in (catalogue.get, catalogue.delete):
        with pytest.raises(VoiceUnusable, match=r"voice\.toml is not TOML"):
            ask("onyx")


def test_a_watcher_sees_the_voice_change_as_it_is_hidden_and_shown(catalogue):
    async def changes():
        stop, seen = asyncio.Event(), []
        watch = catalogue.watch(stop)
        tick = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        write_voice(catalogue.root, "onyx", 3)
        seen.append(await tick)
        tick = asyncio.ensure_future(anext(watch))
        shutil.rmtree(catalogue.root / "voices" / "onyx")
        while (change := await tick).entry is None or not getattr(change.entry, "built_in", False):
            tick = asyncio.ensure_future(anext(watch))  # half of the folder is gone: told as broken
        seen.append(change)
        stop.set()
        await watch.aclose()
        return seen

    hidden, shown = asyncio.run(changes())
    assert (hidden.voice_id, hidden.kind) == ("onyx", "changed")
    assert (shown.voice_id, shown.kind) == ("onyx", "changed")


def test_built_in_voices_have_a_root_of_their_own(tmp_path):
    assert Catalogue(tmp_path).root == tmp_path
    assert built_in_root(tmp_path).parent == tmp_path
