"""The catalogue: what is there, what is broken, what changes, and that nothing leads out of the store."""

import asyncio
import shutil
import subprocess
import sys
import threading

import pytest

import voxswap_store
from tests.fixtures.voice_folders import SOUND, contents, manifest, stage, stored, write_voice
from voxswap_server.domain import Language, Prompt, SamplingParams, VoiceChanges
from voxswap_server.errors import RequestError, VoiceExists, VoiceNotFound, VoiceUnusable
from voxswap_store import BrokenVoice, Catalogue, VoiceEntry
from voxswap_store.files import Staging
from voxswap_store.manifest import format_manifest


@pytest.fixture
def catalogue(tmp_path):
    return Catalogue(tmp_path)


def test_an_empty_store_has_no_voices(catalogue):
    assert catalogue.ids() == ()
    assert catalogue.entries() == ()
    with pytest.raises(VoiceNotFound, match="none yet"):
        catalogue.get("amber")


def test_voices_are_listed_in_order_and_found(catalogue):
    for seed, voice_id in enumerate(("coral", "amber", "basil")):
        write_voice(catalogue.root, voice_id, seed)
    assert catalogue.ids() == ("amber", "basil", "coral")
    entry = catalogue.get("basil")
    assert entry.manifest == manifest("basil", 2)
    assert entry.path(entry.manifest.files.t2s).read_bytes() == contents(2)["t2s.safetensors"]
    assert catalogue.validate("basil") == entry


@pytest.mark.parametrize("voice_id", ["", "..", "../amber", "amber/../amber", "/etc", "Amber", "amber\x00", ".staging"])
def test_only_ids_find_anything(catalogue, voice_id):
    write_voice(catalogue.root)
    for ask in (catalogue.get, catalogue.validate, catalogue.delete):
        with pytest.raises(VoiceNotFound):
            ask(voice_id)
    assert catalogue.ids() == ("amber",)


def test_folders_that_are_no_ids_and_files_are_no_voices(catalogue):
    write_voice(catalogue.root)
    (catalogue.root / "voices" / "Not An Id").mkdir()
    (catalogue.root / "voices" / ".hidden").mkdir()
    (catalogue.root / "voices" / "file").touch()
    assert catalogue.ids() == ("amber",)


def _remove_manifest(directory):
    (directory / "voice.toml").unlink()


def _no_toml(directory):
    (directory / "voice.toml").write_text("format = ")


def _no_text(directory):
    (directory / "voice.toml").write_bytes(b"\xff\xfe\xff")


def _other_id(directory):
    (directory / "voice.toml").write_text(format_manifest(manifest("other")))


def _remove_weights(directory):
    (directory / "decoder.safetensors").unlink()


def _cut_weights(directory):
    (directory / "t2s.safetensors").write_bytes(b"short")


def _link_out(directory):
    outside = directory.parent.parent.parent / "outside.safetensors"
    shutil.move(directory / "t2s.safetensors", outside)
    (directory / "t2s.safetensors").symlink_to(outside)


def _link_manifest_out(directory):
    outside = directory.parent.parent.parent / "outside.toml"
    shutil.move(directory / "voice.toml", outside)
    (directory / "voice.toml").symlink_to(outside)


def _link_to_nowhere(directory):
    (directory / "t2s.safetensors").unlink()
    (directory / "t2s.safetensors").symlink_to("nowhere")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_remove_manifest, "has no voice.toml"),
        (_no_toml, "not TOML"),
        (_no_text, "not UTF-8"),
        (_other_id, "that of 'other'"),
        (_remove_weights, "decoder.safetensors is missing"),
        (_cut_weights, "has 5 bytes instead of"),
        (_link_out, "outside the store"),
        (_link_manifest_out, "outside the store"),
        (_link_to_nowhere, "t2s.safetensors is missing"),
    ],
)
def test_a_broken_voice_is_told_and_hides_no_other(tmp_path, damage, told):
    catalogue = Catalogue(tmp_path / "store")
    damage(write_voice(catalogue.root, "amber", 1))
    write_voice(catalogue.root, "basil", 2)
    broken, good = catalogue.entries()
    assert isinstance(broken, BrokenVoice)
    assert told in broken.problem
    assert str(tmp_path) not in broken.problem
    assert isinstance(good, VoiceEntry)
    with pytest.raises(VoiceUnusable, match=told.replace(".", r"\.")):
        catalogue.get("amber")
    catalogue.delete("amber")
    assert catalogue.ids() == ("basil",)


def test_a_linked_folder_outside_is_refused_and_its_deletion_spares_it(tmp_path):
    catalogue = Catalogue(tmp_path / "store")
    elsewhere = write_voice(tmp_path / "elsewhere")
    (catalogue.root / "voices").mkdir(parents=True)
    (catalogue.root / "voices" / "amber").symlink_to(elsewhere)
    with pytest.raises(VoiceUnusable, match="outside the store"):
        catalogue.get("amber")
    catalogue.delete("amber")
    assert catalogue.ids() == ()
    assert (elsewhere / "voice.toml").exists()


def test_a_repaired_voice_is_whole_at_once(catalogue):
    directory = write_voice(catalogue.root)
    data = (directory / "t2s.safetensors").read_bytes()
    (directory / "t2s.safetensors").unlink()
    assert isinstance(catalogue.entries()[0], BrokenVoice)
    (directory / "t2s.safetensors").write_bytes(data)
    assert catalogue.get("amber").revision == manifest().revision


def test_the_disk_is_read_again_only_when_it_changed(catalogue, monkeypatch):
    directory = write_voice(catalogue.root)
    first = catalogue.get("amber")
    monkeypatch.setattr("voxswap_store.entries.parse_manifest", lambda text: pytest.fail("it was read again"))
    assert catalogue.get("amber") is first
    monkeypatch.undo()
    (directory / "voice.toml").write_text(format_manifest(manifest(licence="MIT")))
    assert catalogue.get("amber").manifest.licence == "MIT"
    assert catalogue.get("amber").revision != first.revision


def test_validation_reads_every_byte(catalogue):
    directory = write_voice(catalogue.root)
    data = bytearray((directory / "decoder.safetensors").read_bytes())
    data[-1] ^= 1
    (directory / "decoder.safetensors").write_bytes(data)
    assert catalogue.get("amber")
    with pytest.raises(VoiceUnusable, match=r"decoder\.safetensors is not the file"):
        catalogue.validate("amber")


def test_validation_looks_at_the_headers(catalogue):
    directory = write_voice(catalogue.root)
    files = manifest().files
    (directory / "t2s.safetensors").write_bytes(b"no header at all")
    changed = files.model_copy(update={"t2s": stored("t2s.safetensors", b"no header at all")})
    (directory / "voice.toml").write_text(format_manifest(manifest(files=changed)))
    with pytest.raises(VoiceUnusable, match=r"t2s\.safetensors: the header"):
        catalogue.validate("amber")


def installed(catalogue, voice_id="amber", seed=0, *, replace=False, **fields):
    with Staging(catalogue.root) as staging:
        stage(staging, seed)
        return catalogue.install(staging, manifest(voice_id, seed, **fields), replace=replace)


def test_an_installed_voice_is_there(catalogue):
    entry = installed(catalogue)
    assert catalogue.validate("amber") == entry
    assert list((catalogue.root / ".staging").iterdir()) == []


def test_a_second_voice_of_an_id_is_refused_and_leaves_the_first(catalogue):
    first = installed(catalogue)
    with pytest.raises(VoiceExists):
        installed(catalogue, seed=1)
    assert catalogue.get("amber") == first


def test_an_update_changes_what_was_asked_for_and_nothing_else(catalogue):
    before = installed(catalogue, licence="MIT")
    changes = VoiceChanges(
        display_name="Amber", tags=("warm",), sampling=SamplingParams(top_k=3, temperature=0.5, seed=9)
    )
    after = catalogue.update("amber", changes)
    assert after.manifest.display_name == "Amber"
    assert after.manifest.tags == ("warm",)
    assert after.manifest.licence == "MIT"
    assert (after.manifest.defaults.top_k, after.manifest.defaults.temperature) == (3, 0.5)
    assert after.manifest.defaults.top_p is None
    assert after.manifest.files == before.manifest.files
    assert after.revision != before.revision
    again = catalogue.update("amber", VoiceChanges(sampling=SamplingParams(top_p=0.5)))
    assert (again.manifest.defaults.top_k, again.manifest.defaults.top_p) == (3, 0.5)


def test_a_new_prompt_replaces_the_old_one_and_its_cache(catalogue):
    with Staging(catalogue.root) as staging:
        stage(staging)
        cached = staging.write("prompt.safetensors", lambda sink: sink.write(contents()["t2s.safetensors"]))
        files = manifest().files.model_copy(update={"prompt": cached})
        before = catalogue.install(staging, manifest(files=files))
    assert before.path(cached).is_file()
    new = SOUND + b"another speaker"
    prompt = Prompt(new, "  what\nis said ", Language("ja"), (b"OggS of the same", b"fLaC too"))
    after = catalogue.update("amber", VoiceChanges(prompt=prompt))
    files = after.manifest.files
    assert files.prompt is None
    assert after.path(files.reference).read_bytes() == new
    assert [file.name.rpartition(".")[2] for file in files.auxiliary] == ["ogg", "flac"]
    assert after.manifest.prompt.transcript == "what is said"
    assert after.manifest.prompt.language == "ja"
    assert {p.name for p in after.directory.iterdir()} == {"voice.toml", *(file.name for file in files.all())}
    assert catalogue.validate("amber") == after


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (VoiceChanges(display_name="two\nlines"), "display_name"),
        (VoiceChanges(description="x" * 4001), "description"),
        (VoiceChanges(sampling=SamplingParams(temperature=-1.0)), "sampling.temperature"),
        (VoiceChanges(prompt=Prompt(b"")), "prompt.audio"),
        (VoiceChanges(prompt=Prompt(SOUND, "x" * 5000)), "prompt.transcript"),
        (VoiceChanges(prompt=Prompt(SOUND, "x", Language("English"))), "prompt.language"),
    ],
)
def test_a_refused_update_changes_nothing(catalogue, changes, field):
    before = installed(catalogue)
    with pytest.raises(RequestError) as caught:
        catalogue.update("amber", changes)
    assert caught.value.field == field
    assert catalogue.validate("amber") == before
    assert len(list(before.directory.iterdir())) == 4


def test_a_deleted_voice_is_gone_but_open_files_stay_readable(catalogue):
    entry = installed(catalogue)
    with entry.path(entry.manifest.files.t2s).open("rb") as held:
        catalogue.delete("amber")
        assert held.read() == contents()["t2s.safetensors"]
    assert catalogue.ids() == ()
    assert list((catalogue.root / ".staging").iterdir()) == []
    with pytest.raises(VoiceNotFound):
        catalogue.delete("amber")


def test_readers_never_see_half_a_voice(catalogue):
    """Writers replace, update and delete while readers ask; every answer is a whole voice, or that there is none."""
    installed(catalogue)
    stop, wrong = threading.Event(), []

    def read():
        while not stop.is_set():
            try:
                entry = catalogue.get("amber")
                if entry.manifest.voice_id != "amber":
                    wrong.append(entry)
            except VoiceNotFound:
                pass
            except VoiceUnusable as error:
                wrong.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for round_ in range(15):
        catalogue.update("amber", VoiceChanges(prompt=Prompt(SOUND + bytes([round_]), "x", Language("en"))))
        catalogue.delete("amber")
        installed(catalogue, seed=round_)
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []


async def _next(changes):
    return await asyncio.wait_for(anext(changes), 20)


async def test_the_watch_tells_of_what_anyone_changes(catalogue):
    write_voice(catalogue.root, "basil", 2)
    changes = catalogue.watch()
    await asyncio.to_thread(installed, catalogue, "amber", 1)
    added = await _next(changes)
    assert (added.kind, added.voice_id, added.entry.manifest) == ("added", "amber", manifest("amber", 1))
    await asyncio.to_thread(catalogue.update, "amber", VoiceChanges(licence="MIT"))
    changed = await _next(changes)
    assert (changed.kind, changed.entry.manifest.licence) == ("changed", "MIT")
    await asyncio.to_thread((catalogue.root / "voices" / "basil" / "t2s.safetensors").unlink)
    broken = await _next(changes)
    assert (broken.kind, broken.voice_id, type(broken.entry)) == ("changed", "basil", BrokenVoice)
    await asyncio.to_thread(Catalogue(catalogue.root).delete, "amber")
    removed = await _next(changes)
    assert (removed.kind, removed.voice_id, removed.entry) == ("removed", "amber", None)
    await changes.aclose()


async def test_the_watch_ends_when_it_is_told(catalogue):
    stop = asyncio.Event()
    stop.set()
    assert [change async for change in catalogue.watch(stop)] == []


def test_neither_listing_nor_changing_needs_torch():
    code = "import sys, voxswap_store.catalogue, voxswap_store.assets, voxswap_store.pairing; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_package_itself_needs_the_standard_library_only():
    code = (
        "import sys, voxswap_store.sandbox.child;"
        "foreign = {m.partition('.')[0] for m in sys.modules} & {'torch', 'numpy', 'pydantic', 'voxswap_server'};"
        "assert not foreign, foreign"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = voxswap_store.Nothing
