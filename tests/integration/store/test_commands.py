"""`voxswap import` and `voxswap assets`, as a user types them."""

import re

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from tests.fixtures import pickle_assembly as asm
from tests.fixtures.tiny_voice import prompt, small_sovits, small_t2s
from tests.fixtures.voice_sound import RATE_HZ, babble
from voxswap_server.cli.main import app
from voxswap_server.demo.tiny import write_pretrained_models
from voxswap_store import Catalogue


@pytest.fixture
def run(tmp_path):
    def call(*words, code=0):
        done = CliRunner().invoke(app, [*map(str, words), "--store", str(tmp_path / "store")])
        assert done.exit_code == code, done.output
        return " ".join(done.output.split())

    return call


@pytest.fixture
def folder(tmp_path):
    """An installation of GPT-SoVITS with two voices and what does not belong together."""
    files = {
        "GPT_weights_v2/ann-e15.ckpt": small_t2s("v2", 1),
        "SoVITS_weights_v2/ann_e8_s216.pth": small_sovits("v2", 1),
        "GPT_weights_v2Pro/bob-e15.ckpt": small_t2s("v2Pro", 2),
        "SoVITS_weights_v2Pro/bob_e8_s216.pth": small_sovits("v2Pro", 2),
        "clips/ann.wav": prompt(1).audio,
    }
    for name, data in files.items():
        (tmp_path / "gs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "gs" / name).write_bytes(data)
    return tmp_path / "gs"


def halves(folder):
    return "--gpt", folder / "GPT_weights_v2/ann-e15.ckpt", "--sovits", folder / "SoVITS_weights_v2/ann_e8_s216.pth"


def test_one_voice(run, folder, tmp_path):
    clip = folder / "clips/ann.wav"
    told = ("--reference", clip, "--transcript", "What it says.", "--language", "en", "--auxiliary", clip)
    said = run(
        "import",
        *halves(folder),
        "--id",
        "ann",
        *told,
        "--licence",
        "MIT",
        "--consent",
        "yes",
        "--tag",
        "a",
        "--tag",
        "b",
    )
    assert re.fullmatch(
        r"imported ann: v2, [\d.]+ MB, revision [0-9a-f]{16}; its prompt is encoded when it speaks first", said
    )
    manifest = Catalogue(tmp_path / "store").validate("ann").manifest
    assert (manifest.licence, manifest.consent, manifest.tags) == ("MIT", "yes", ("a", "b"))
    assert (manifest.prompt.transcript, manifest.prompt.language) == ("What it says.", "en")
    assert len(manifest.files.auxiliary) == 1


def test_a_second_time_needs_replace(run, folder):
    run("import", *halves(folder), "--id", "ann")
    assert "already exists" in run("import", *halves(folder), "--id", "ann", code=2)
    assert "no reference audio" in run("import", *halves(folder), "--id", "ann", "--replace")


def test_a_whole_installation(run, folder, tmp_path):
    (folder / "SoVITS_weights_v2/lost_e1_s1.pth").write_bytes(b"never read")
    mapping = tmp_path / "voices.toml"
    mapping.write_text(
        '[voices.narrator]\nname = "ann"\nreference = "clips/ann.wav"\ntranscript = "x"\nlanguage = "en"\n'
    )
    said = run("import", "--from-gpt-sovits", folder, "--mapping", mapping, code=2)
    assert "imported narrator: v2" in said
    assert "imported bob: v2Pro" in said
    assert "left out: lost_e1_s1.pth (v2) has no T2S checkpoint" in said
    assert Catalogue(tmp_path / "store").ids() == ("bob", "narrator")
    again = run("import", "--from-gpt-sovits", folder, "--mapping", mapping, code=2)
    assert "narrator is imported already" in again
    assert "bob is imported already" in again


def test_a_voice_that_fails_hinders_no_other(run, folder, tmp_path):
    (folder / "SoVITS_weights_v2/ann_e8_s216.pth").write_bytes(asm.torch_zip(asm.program(asm.named("os", "system"))))
    said = run("import", "--from-gpt-sovits", folder, code=2)
    assert "left out: ann: ann_e8_s216.pth: byte 2 of the pickle names 'os.system'" in said
    assert Catalogue(tmp_path / "store").ids() == ("bob",)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--id", "ann"], "give --gpt, --sovits and --id, or --from-gpt-sovits"),
        (["--gpt", "nowhere.ckpt", "--sovits", "nowhere.pth", "--id", "ann"], "No such file"),
        (["--from-gpt-sovits", "nowhere"], "no such folder"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(run, words, told):
    said = run("import", *words, code=2)
    assert said.startswith("voxswap: ")
    assert told in said
    assert "Traceback" not in said


def test_more_that_is_wrong(run, folder):
    swapped = ("--gpt", halves(folder)[3], "--sovits", halves(folder)[1], "--id", "ann")
    assert "ann_e8_s216.pth: this is a SoVITS checkpoint" in run("import", *swapped, code=2)
    assert "is not made of 1 to 64" in run("import", *halves(folder), "--id", "Not An Id", code=2)
    assert "belong to a --reference" in run("import", *halves(folder), "--id", "ann", "--language", "en", code=2)
    assert "not of v4" in run("import", *halves(folder), "--id", "ann", "--version", "v4", code=2)
    text = folder / "clips/ann.wav"
    text.write_bytes(b"no audio at all")
    assert "voxswap: " in run("import", *halves(folder), "--id", "ann", "--reference", text, code=2)


def test_the_shared_networks(run, tmp_path):
    assert "missing" in run("assets", "list")
    assert run("assets", "verify") == "no shared network is installed"
    pretrained = write_pretrained_models(tmp_path / "pretrained_models", ("hubert", "eres2net"))
    said = run("assets", "import", pretrained)
    assert "imported hubert: CN-HuBERT base" in said
    assert "imported eres2net" in said
    assert "hubert: good eres2net: good" in run("assets", "verify")
    assert run("assets", "verify", "eres2net") == "eres2net: good"
    assert "g2pw: g2pW is not installed" in run("assets", "verify", "eres2net", "g2pw", code=2)
    assert "unknown asset 'g2p'" in run("assets", "verify", "g2p", code=2)
    path = tmp_path / "store" / "assets" / "hubert" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"ABCD")
    assert "damaged" in run("assets", "verify", code=2)
    assert "does not hold bert" in run("assets", "import", pretrained, "--only", "bert", code=2)


@pytest.mark.parametrize("command", [["import"], ["assets", "list"], ["assets", "import"], ["assets", "verify"]])
def test_every_command_explains_itself(command):
    said = CliRunner().invoke(app, [*command, "--help"]).output
    assert "voxswap " + " ".join(command) in " ".join(said.split())


def test_a_recording_is_trimmed_to_its_best_part_and_which_it_is_told(run, folder, tmp_path):
    silence = np.zeros(8 * RATE_HZ)
    soundfile.write(tmp_path / "talk.wav", np.concatenate((silence, babble(5), silence)), RATE_HZ)
    told = (*halves(folder), "--id", "ann", "--reference", tmp_path / "talk.wav")
    assert "21.0" in run("import", *told, code=2)
    said = run("import", *told, "--trim")
    start, end = map(float, re.search(r"the reference is ([\d.]+) s to ([\d.]+) s of talk\.wav", said).groups())
    assert (start, end) == (pytest.approx(8, abs=0.3), pytest.approx(13, abs=0.5))
    entry = Catalogue(tmp_path / "store").get("ann")
    assert soundfile.info(entry.path(entry.manifest.files.reference)).duration == pytest.approx(end - start, abs=0.01)
    assert "belong to a --reference" in run("import", *halves(folder), "--id", "x", "--trim", code=2)
