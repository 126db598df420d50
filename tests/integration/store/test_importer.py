"""Checkpoints in, a voice out: whole, or not at all."""

import hashlib
import io
from dataclasses import replace

import pytest
import torch

from tests.fixtures import pickle_assembly as asm
from tests.fixtures.tiny_voice import prompt as tiny_prompt
from tests.fixtures.tiny_voice import request, small_sovits, small_t2s, sovits_bytes, t2s_bytes
from voxswap_server.demo.tiny import LORA, build_tiny_store, lora_checkpoint, sovits_file
from voxswap_server.demo.tiny_sovits import sovits_weights
from voxswap_server.domain import Language, Prompt, VoiceUpload
from voxswap_server.errors import AssetMissing, BadReferenceAudio, RequestError, VoiceExists
from voxswap_store import Catalogue, errors
from voxswap_store.importer import ImportRequest, import_voice, is_imported
from voxswap_store.sandbox.limits import Limits
from voxswap_store.weights import load_weights


def everything(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.name != ".lock")


def test_a_voice_is_imported_whole(tmp_path):
    told = []
    entry = import_voice(
        request("amber", licence="CC0-1.0", consent="given", tags=("warm",), display_name="Amber"),
        tmp_path,
        progress=lambda step, done, total: told.append((step, done, total)),
    )
    manifest = entry.manifest
    assert (manifest.version, manifest.symbols) == ("v2", "v2")
    assert manifest.languages == ("zh", "en", "ja", "ko", "yue")
    assert (manifest.licence, manifest.consent, manifest.tags) == ("CC0-1.0", "given", ("warm",))
    assert manifest.prompt.language == "en"
    assert manifest.origin.t2s.info == "GPT-e15"
    assert manifest.origin.sovits.sha256 == hashlib.sha256(small_sovits("v2", 1)).hexdigest()
    assert everything(tmp_path) == [
        ".staging",
        "voices",
        "voices/amber",
        *(f"voices/amber/{name}" for name in ("decoder.safetensors", "reference.wav", "t2s.safetensors", "voice.toml")),
    ]
    assert entry.path(manifest.files.reference).read_bytes() == tiny_prompt(1).audio
    assert Catalogue(tmp_path).validate("amber") == entry
    assert {step for step, _, _ in told} == {"reading the T2S checkpoint", "reading the SoVITS checkpoint", "writing"}
    assert all(0 <= done <= total for _, done, total in told)


def test_what_is_stored_is_what_the_networks_adopt(tmp_path):
    entry = import_voice(request("amber"), tmp_path)
    t2s = load_weights(entry.path(entry.manifest.files.t2s))
    decoder = load_weights(entry.path(entry.manifest.files.decoder))
    assert t2s.config["phoneme_vocab_size"] == 732
    assert decoder.config["version"] == "v2"
    assert not any("weight_g" in name or "enc_q" in name or "embed_avg" in name for name in decoder.tensors)
    assert all(torch.isfinite(tensor).all() for tensor in decoder.tensors.values() if tensor.is_floating_point())
    assert t2s.digests.keys() == t2s.tensors.keys()


def test_two_voices_of_one_base_tell_what_they_share(tmp_path):
    """Content addresses of frozen tensors are equal, those of trained ones are not."""
    first, second = (torch.load(io.BytesIO(small_t2s("v2", 1)), weights_only=True) for _ in range(2))
    second["weight"]["model.h.layers.0.linear1.weight"] += 1
    out = io.BytesIO()
    torch.save(second, out)
    digests = [
        load_weights(entry.path(entry.manifest.files.t2s)).digests
        for entry in (
            import_voice(request("a"), tmp_path),
            import_voice(request("b", t2s=out.getvalue()), tmp_path),
        )
    ]
    assert first.keys() == second.keys()
    assert [name for name in digests[0] if digests[0][name] != digests[1][name]] == ["layers.0.ffn_in.weight"]


@pytest.mark.parametrize("version", ["v1", "v2", "v2Pro", "v2ProPlus", "v3", "v4"])
def test_every_version_is_known_by_its_file(tmp_path, version):
    entry = import_voice(ImportRequest("amber", t2s_bytes(version, 1), sovits_bytes(version, 1)), tmp_path)
    assert entry.manifest.version == version
    assert entry.manifest.symbols == ("v1" if version == "v1" else "v2")
    assert entry.manifest.origin.sovits.head == {"v2Pro": "05", "v2ProPlus": "06"}.get(version, "PK")


def test_a_lora_needs_its_base_and_then_is_imported(tmp_path):
    lora = request("amber", sovits=lora_checkpoint("v4", 1))
    with pytest.raises(AssetMissing, match=r"v4 base model is not installed.*voxswap assets import"):
        import_voice(lora, tmp_path)
    assert Catalogue(tmp_path).ids() == ()
    store = build_tiny_store(tmp_path, {"birch": (f"v4{LORA}", 1)}, assets=("sovits_v4",))
    manifest = store.voices[0].manifest
    assert manifest.version == "v4"
    assert manifest.origin.sovits.head == "04"
    assert manifest.origin.base_sha256 is not None


def test_a_file_that_fits_two_versions_is_asked_about(tmp_path):
    weight, config = sovits_weights("v4", 1)
    del config["model"]["version"]
    unclear = request("amber", sovits=sovits_file(weight, config), prompt=None)
    with pytest.raises(errors.VersionUnclear, match="v3, v4") as caught:
        import_voice(unclear, tmp_path)
    assert caught.value.field == "version"
    assert Catalogue(tmp_path).ids() == ()
    entry = import_voice(replace(unclear, version="v4"), tmp_path)
    assert entry.manifest.version == "v4"


@pytest.mark.parametrize(("t2s", "sovits"), [("v1", "v2"), ("v2", "v1"), ("v1", "v2Pro")])
def test_halves_of_two_families_are_refused(tmp_path, t2s, sovits):
    with pytest.raises(errors.MismatchedCheckpoints, match=f"{t2s} phones.*is {sovits}") as caught:
        import_voice(request("amber", t2s=small_t2s(t2s, 1), sovits=small_sovits(sovits, 1)), tmp_path)
    assert caught.value.field == "t2s_checkpoint"


def test_swapped_halves_are_told_as_such(tmp_path):
    with pytest.raises(errors.NotACheckpoint, match=r"this is a SoVITS checkpoint.*where a T2S checkpoint") as caught:
        import_voice(request("amber", t2s=small_sovits("v2", 1), sovits=small_t2s("v2", 1)), tmp_path)
    assert caught.value.field == "t2s_checkpoint"


def damaged(data):
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("changes", "cls", "field"),
    [
        ({"t2s": damaged(small_t2s("v2", 1))}, errors.TruncatedCheckpoint, "t2s_checkpoint"),
        ({"sovits": damaged(small_sovits("v2", 1))}, errors.TruncatedCheckpoint, "sovits_checkpoint"),
        (
            {"sovits": asm.torch_zip(asm.program(asm.named("os", "system")))},
            errors.ForbiddenContent,
            "sovits_checkpoint",
        ),
        ({"sovits": b""}, errors.NotACheckpoint, "sovits_checkpoint"),
        ({"version": "v4"}, RequestError, "version"),
        ({"version": "v9"}, RequestError, "version"),
        ({"languages": ("de",)}, RequestError, ""),
        ({"display_name": "two\nlines"}, RequestError, "display_name"),
        ({"prompt": Prompt(b"")}, RequestError, "prompt.audio"),
        ({"prompt": Prompt(b"RIFF", "x", Language("English"))}, RequestError, "prompt.language"),
        ({"voice_id": "../amber"}, RequestError, "voice_id"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_failed_import_leaves_nothing(tmp_path, changes, cls, field):
    with pytest.raises(cls) as caught:
        import_voice(request(**{"voice_id": "amber", **changes}), tmp_path)
    assert caught.value.field == field
    assert str(tmp_path) not in caught.value.message
    assert everything(tmp_path) in ([], [".staging"])


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(sink, converted, extra=None):
        sink.write(b"x" * 100)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("voxswap_store.importer.write_weights", full)
    with pytest.raises(OSError, match="No space"):
        import_voice(request("amber"), tmp_path)
    assert everything(tmp_path) == [".staging"]


def test_limits_reach_the_reader(tmp_path):
    with pytest.raises(errors.OverLimit) as caught:
        import_voice(request("amber"), tmp_path, limits=Limits(file_bytes=len(small_t2s("v2", 1)) + 1))
    assert caught.value.field == "sovits_checkpoint"


def test_an_id_is_taken_once_unless_it_is_replaced(tmp_path):
    first = import_voice(request("amber"), tmp_path)
    with pytest.raises(VoiceExists):
        import_voice(request("amber", seed=2), tmp_path)
    assert Catalogue(tmp_path).get("amber").revision == first.revision
    with first.path(first.manifest.files.decoder).open("rb") as held:
        second = import_voice(request("amber", seed=2, replace=True), tmp_path)
        assert hashlib.file_digest(held, "sha256").hexdigest() == first.manifest.files.decoder.sha256
    assert second.revision != first.revision
    assert Catalogue(tmp_path).validate("amber") == second
    files = {file.name for file in second.manifest.files.all()}
    assert {path.name for path in second.directory.iterdir()} == files | {"voice.toml"}
    again = import_voice(request("amber", seed=2, replace=True), tmp_path)
    assert again.manifest.files == second.manifest.files


def test_the_same_checkpoints_are_known_again(tmp_path):
    import_voice(request("amber"), tmp_path)
    catalogue = Catalogue(tmp_path)
    assert is_imported(request("amber"), catalogue)
    assert not is_imported(request("amber", seed=2), catalogue)
    assert not is_imported(request("basil"), catalogue)


def test_the_clip_is_checked_before_anything_is_read(tmp_path):
    def too_short(audio):
        assert audio == tiny_prompt(1).audio
        raise BadReferenceAudio("it has 1.0 s", field="prompt.audio")

    with pytest.raises(BadReferenceAudio):
        import_voice(request("amber", t2s=b"never read"), tmp_path, check_audio=too_short)


def test_an_encoded_prompt_is_stored_with_the_voice(tmp_path):
    asked = []

    def encode(prompt, version, decoder):
        asked.append((prompt.transcript, version, decoder.config["version"]))
        return {"tokens": torch.arange(5), "speaker": torch.ones(1, 4, 1)}

    entry = import_voice(request("amber"), tmp_path, encode_prompt=encode)
    assert asked == [(tiny_prompt(1).transcript, "v2", "v2")]
    tensors = load_weights(entry.path(entry.manifest.files.prompt)).tensors
    assert tensors["tokens"].tolist() == [0, 1, 2, 3, 4]
    assert Catalogue(tmp_path).validate("amber") == entry


def test_a_prompt_that_nobody_can_encode_now_is_left_for_later(tmp_path):
    def encode(prompt, version, decoder):
        raise AssetMissing("CN-HuBERT", "import it")

    entry = import_voice(request("amber"), tmp_path, encode_prompt=encode)
    assert entry.manifest.files.prompt is None
    again = replace(request("amber"), replace=True)
    later = import_voice(again, tmp_path, encode_prompt=lambda *_: {"tokens": torch.arange(3)})
    assert load_weights(later.path(later.manifest.files.prompt)).tensors["tokens"].tolist() == [0, 1, 2]


def test_an_upload_is_a_request(tmp_path):
    upload = VoiceUpload(
        "amber",
        t2s_bytes("v2", 1),
        sovits_bytes("v2", 1),
        tiny_prompt(1),
        languages=("en",),
        licence="MIT",
        tags=("a",),
    )
    manifest = import_voice(ImportRequest.from_upload(upload), tmp_path).manifest
    assert (manifest.languages, manifest.licence, manifest.tags) == (("en",), "MIT", ("a",))


def test_a_voice_may_have_no_prompt_and_may_come_from_files(tmp_path):
    (tmp_path / "a.ckpt").write_bytes(small_t2s("v2", 1))
    (tmp_path / "a.pth").write_bytes(small_sovits("v2", 1))
    entry = import_voice(ImportRequest("amber", tmp_path / "a.ckpt", tmp_path / "a.pth"), tmp_path / "store")
    assert entry.manifest.files.reference is None
    assert entry.manifest.prompt.transcript == ""
