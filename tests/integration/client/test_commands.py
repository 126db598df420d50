"""The commands of the client on a real server, through the `voxswap` application."""

import io
import json
import re
import signal
import stat
import subprocess
import sys
import threading
import wave
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
from typer.testing import CliRunner

from tests.fixtures.fake_engine import voice_info
from voxswap_client import Client
from voxswap_server import domain, errors
from voxswap_server.cli.main import app


@pytest.fixture
def run(server, monkeypatch):
    """Runs a command on the server; tells exit code, stdout, stderr."""
    monkeypatch.setenv("VOXSWAP_ADDRESS", server.address)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object, stdin: str | None = None):
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)

    return run


def a_player(folder: Path, script: str) -> Path:
    """Something that is called ffplay."""
    player = folder / "ffplay"
    player.write_text(f"#!{sys.executable}\nimport sys\n{script}\n")
    player.chmod(player.stat().st_mode | stat.S_IXUSR)
    return player


def test_speak_writes_a_file_and_tells_how_it_went(server, run, tmp_path):
    server.synthesizer.cold.add("narrator")
    out = tmp_path / "out.wav"
    done = run("speak", "Hello there", "--voice", "narrator", "-o", out, "--seed", "3")
    assert done.exit_code == 0
    with wave.open(str(out)) as file:
        assert (file.getnframes(), file.getframerate()) == (32000, 32000)
    first, second = done.stdout.splitlines()
    assert first == f"narrator: 1.00 s, wav at 32000 Hz → {out}"
    pattern = r"TTFA \d+ ms \(server 1 ms\) · RTF \d\.\d+ · voice was on disk, loaded in 12 ms · seed 3"
    assert re.fullmatch(pattern, second)
    assert [path.name for path in tmp_path.iterdir()] == ["out.wav"]


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.FLAC"])
def test_every_file_that_speak_writes_is_readable(run, tmp_path, name):
    done = run("speak", "Hello there", "-v", "slate", "-o", tmp_path / name)
    assert done.exit_code == 0, done.stderr
    samples, rate_hz = soundfile.read(tmp_path / name)
    assert rate_hz == 24000
    assert len(samples) == pytest.approx(24000, abs=1152)


def test_the_header_of_a_file_is_exact(run, tmp_path):
    for name in ("a.wav", "a.flac"):
        assert run("speak", "Hello there", "-v", "slate", "-o", tmp_path / name).exit_code == 0
        assert soundfile.info(tmp_path / name).frames == 24000
    data = (tmp_path / "a.wav").read_bytes()
    assert int.from_bytes(data[4:8], "little") == len(data) - 8


def test_options_of_speak_reach_the_engine(server, run, tmp_path):
    clip = tmp_path / "clip.wav"
    clip.write_bytes(b"a clip")
    options = [
        "--encoding",
        "pcm_f32",
        "--rate",
        "16000",
        "--language",
        "en",
        "--mode",
        "all",
        "--speed",
        "1.5",
        "--gain",
        "-3",
        "--seed",
        "5",
        "--top-k",
        "4",
        "--top-p",
        "0.9",
        "--temperature",
        "0.8",
        "--repetition-penalty",
        "1.2",
        "--cut",
        "punctuation",
        "--pause-ms",
        "100",
        "--super-sampling",
        "--steps",
        "8",
        "--transcript",
        "Hi.",
        "--transcript-language",
        "en",
        "--timeout",
        "60",
    ]
    done = run("speak", "Hello", "-v", "narrator", "-o", tmp_path / "x.bin", "--reference", clip, *options)
    assert done.exit_code == 0, done.stderr
    [asked] = server.synthesizer.requests
    assert asked.audio == domain.AudioFormat(domain.AudioEncoding.PCM_F32, 16000, -3.0)
    assert asked.sampling == domain.SamplingParams(4, 0.9, 0.8, 1.2, 5)
    assert asked.language == domain.Language("en", domain.LanguageMode.ALL)
    assert (asked.speaking_rate, asked.pause_s, asked.sample_steps, asked.super_sampling) == (1.5, 0.1, 8, True)
    assert asked.cut_method is domain.CutMethod.PUNCTUATION
    assert asked.prompt == domain.Prompt(b"a clip", "Hi.", domain.Language("en"))
    assert asked.deadline_s is not None


@pytest.mark.parametrize("way", ["argument", "stdin", "file"])
def test_where_the_text_comes_from(server, run, tmp_path, way):
    (tmp_path / "text.txt").write_text("Grüße 你好", encoding="utf-8")
    given = {
        "argument": (["Grüße 你好"], None),
        "stdin": ([], "Grüße 你好"),
        "file": (["--file", tmp_path / "text.txt"], None),
    }[way]
    assert run("speak", *given[0], "-v", "narrator", "-o", tmp_path / "a.wav", stdin=given[1]).exit_code == 0
    assert server.synthesizer.requests[0].text == "Grüße 你好"


def test_standard_output_carries_audio_alone(server, run, tmp_path):
    done = run("speak", "Hello", "-v", "narrator", "-o", "-", "--encoding", "pcm_s16")
    assert done.exit_code == 0
    with Client(server.address) as client:
        assert done.stdout_bytes == client.synthesize("Hello", "narrator").audio
    assert "TTFA" in done.stderr
    wav = run("speak", "Hello", "-v", "narrator", "-o", "-", "--json")
    with wave.open(io.BytesIO(wav.stdout_bytes)) as file:
        assert file.getframerate() == 32000
    assert json.loads(wav.stderr)["voice_id"] == "narrator"


def test_json_figures(run, tmp_path):
    done = run("speak", "Hello there", "-v", "slate", "-o", tmp_path / "a.mp3", "--json")
    figures = json.loads(done.stdout)
    assert (figures["voice_id"], figures["encoding"], figures["samples"], figures["audio_s"]) == (
        "slate",
        "mp3",
        24000,
        1.0,
    )
    assert (figures["cache_state"], figures["ttfa_ms"], figures["bytes"]) == (
        "device",
        1.0,
        (tmp_path / "a.mp3").stat().st_size,
    )
    assert 0 < figures["first_audio_ms"] <= figures["total_ms"]


def test_notices_are_told(server, run, tmp_path):
    server.synthesizer.notices = (domain.Notice("ASSET_MISSING", "no BERT"),)
    done = run("speak", "Hello", "-v", "narrator", "-o", tmp_path / "a.wav")
    assert "note: no BERT (ASSET_MISSING)" in done.stderr


def test_without_an_output_it_plays(run, tmp_path, monkeypatch):
    played = tmp_path / "played.wav"
    a_player(tmp_path, f"open({str(played)!r}, 'wb').write(sys.stdin.buffer.read())")
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run("speak", "Hello there", "-v", "narrator")
    assert done.exit_code == 0
    assert "wav at 32000 Hz → played" in done.stdout
    with wave.open(str(played)) as file:
        assert len(file.readframes(10**6)) == 64000


@pytest.mark.parametrize(
    "script",
    ["sys.exit('no such device')", "sys.stdin.buffer.read(); sys.exit('no such device')"],
    ids=["at once", "at the end"],
)
def test_a_player_without_a_device_is_told(run, tmp_path, monkeypatch, script):
    a_player(tmp_path, script)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run("speak", "Hello there " * 40, "-v", "narrator")
    assert done.exit_code == 2
    assert "ffplay could not play to the end: no such device" in done.stderr


def test_without_a_player_nothing_is_asked(server, run, monkeypatch):
    monkeypatch.setenv("PATH", "")
    done = run("speak", "Hello", "-v", "narrator")
    assert done.exit_code == 2
    assert "no player is installed (ffplay, mpv, aplay, play); write a file with -o out.wav" in done.stderr
    assert server.synthesizer.requests == []


def test_what_fails_leaves_the_file_that_was_there(server, run, tmp_path):
    out = tmp_path / "out.wav"
    out.write_bytes(b"precious")
    server.synthesizer.failures[1] = errors.OutOfMemory("no room", retry_after_s=60)
    done = run("speak", "Hello there", "-v", "narrator", "-o", out)
    assert done.exit_code == 3
    assert out.read_bytes() == b"precious"
    assert [path.name for path in tmp_path.iterdir()] == ["out.wav"]


@pytest.mark.parametrize(
    ("failure", "exit_code", "line"),
    [
        (errors.RequestError("top_k is 0", field="x"), 2, "voxswap: top_k is 0"),
        (
            errors.VoiceUnusable("narrator", "a tensor is missing"),
            4,
            "voxswap: voice 'narrator' cannot be used: a tensor is missing",
        ),
        (errors.Overloaded("queue full", retry_after_s=60), 3, "voxswap: queue full"),
        (errors.DegenerateAudio("silence"), 1, "voxswap: silence (request "),
        (RuntimeError("secret"), 1, "voxswap: internal error"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_failure_is_one_line_and_a_code(server, run, tmp_path, failure, exit_code, line):
    server.synthesizer.failures[0] = failure
    done = run("speak", "Hello", "-v", "narrator", "-o", tmp_path / "a.wav")
    assert done.exit_code == exit_code
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


def test_nobody_there(run, tmp_path):
    done = run("voices", "--address", "127.0.0.1:1")
    assert done.exit_code == 3
    assert done.stderr.startswith("voxswap: no voxswap server answers at 127.0.0.1:1: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["speak", "Hi", "-v", "narrator", "-o", "a.xyz"],
            "cannot tell the encoding from 'a.xyz'; give --encoding, or one of .wav",
        ),
        (["speak", "--file", "none.txt", "-v", "narrator", "-o", "a.wav"], "No such file or directory: 'none.txt'"),
        (["speak", "Hi", "-o", "a.wav"], "Missing option '--voice'"),
        (["voices", "show", "nobody"], "voice 'nobody' is not in the store"),
        (["voices", "--json", "show", "narrator"], "--json goes after 'show'"),
        (["residents", "--address", "x", "load", "narrator"], "--address goes after 'load'"),
    ],
)
def test_wrong_requests_exit_with_2(run, arguments, said):
    done = run(*arguments)
    assert done.exit_code == 2
    assert said in done.stderr


def test_voices_are_listed_and_shown(server, run):
    server.library.voices["slate"] = voice_info(
        "slate", state="broken", problem="[red]x[/nothing]", display_name="Slate :smile:", tags=("built-in",)
    )
    listed = run("voices")
    assert listed.exit_code == 0
    assert re.search(r"narrator +v2 +zh en ja +32000 Hz", listed.stdout)
    assert re.search(r"slate .* broken: \[red\]x\[/nothing\] +Slate :smile: +built-in", listed.stdout)
    assert [voice["voice_id"] for voice in json.loads(run("voices", "--json").stdout)] == ["narrator", "slate"]
    assert run("voices", "list").stdout == listed.stdout
    assert "no voices" in run("voices", "--language", "ko").stdout
    shown = run("voices", "show", "narrator").stdout
    assert re.search(r"rate +32000 Hz", shown)
    assert json.loads(run("voices", "show", "narrator", "--json").stdout)["has_prompt"] is True


def test_a_voice_is_created_updated_and_deleted(server, run, tmp_path):
    for name in ("a.ckpt", "b.pth", "clip.wav"):
        (tmp_path / name).write_bytes(name.encode())
    files = ["--gpt", tmp_path / "a.ckpt", "--sovits", tmp_path / "b.pth", "--reference", tmp_path / "clip.wav"]
    made = run(
        "voices", "create", "nova", *files, "--transcript", "Hi.", "--language", "en", "--language", "ja", "--tag", "calm",
        "--name", "Nova", "--aux", tmp_path / "clip.wav", "--json",
    )  # fmt: skip
    assert made.exit_code == 0, made.stderr
    assert json.loads(made.stdout)["language_codes"] == ["en", "ja"]
    [upload] = server.library.uploads
    assert (upload.t2s_checkpoint, upload.sovits_checkpoint, upload.tags) == (b"a.ckpt", b"b.pth", ("calm",))
    assert (upload.prompt.audio, upload.prompt.auxiliary) == (b"clip.wav", (b"clip.wav",))
    updated = run("voices", "update", "nova", "--name", "Supernova", "--tag", "loud")
    assert updated.exit_code == 0
    assert "Supernova" in updated.stdout
    told = run("voices", "update", "nova", "--pronounce", "Xu=pinyin:xu2", "--temperature", "0.8", "--top-k", "5")
    assert told.exit_code == 0, told.stderr
    assert server.library.changes == [
        domain.VoiceChanges(display_name="Supernova", tags=("loud",)),
        domain.VoiceChanges(
            sampling=domain.SamplingParams(temperature=pytest.approx(0.8), top_k=5),
            pronunciations=(domain.Pronunciation("Xu", "xu2", domain.PhoneticEncoding.PINYIN),),
        ),
    ]
    kept = run("voices", "delete", "nova", stdin="n\n")
    assert kept.exit_code == 1
    assert "nova" in server.library.voices
    assert run("voices", "delete", "nova", stdin="y\n").exit_code == 0
    assert run("voices", "delete", "nova", "--yes").exit_code == 2


def test_residents_are_moved_by_hand(server, run):
    assert "no voices in memory" in run("residents").stdout
    assert re.search(r"narrator +device +resident +240 bytes", run("residents", "load", "narrator").stdout)
    assert json.loads(run("residents", "pin", "narrator", "--json").stdout)[0]["pinned"] is True
    assert re.search(r"narrator +device +pinned +240 bytes", run("residents").stdout)
    assert run("residents", "unpin", "narrator").exit_code == 0
    assert [resident["voice_id"] for resident in json.loads(run("residents", "--json").stdout)] == ["narrator"]
    assert run("residents", "unload", "narrator", "--wait").stdout == "unloaded narrator\n"
    assert server.admin.waited == ["narrator"]
    stats = run("residents", "stats").stdout
    assert re.search(r"device +0 bytes of 1.0 kB, 0 voices", stats)
    assert re.search(r"cache of voices +5 hits, 2 misses", stats)
    assert json.loads(run("residents", "stats", "--json").stdout)["evictions"] == {"lru": 1}


def test_watching_tells_each_change_until_the_server_goes(server, run):
    listed_once = threading.Event()
    list_residents = server.admin.list_residents

    async def list_and_tell():
        found = await list_residents()
        assert server.admin.watchers, "watched before listed"
        listed_once.set()
        return found

    server.admin.list_residents = list_and_tell

    def change():
        assert listed_once.wait(30)
        with Client(server.address) as client:
            client.load_voice("narrator")
            client.unload_voice("narrator")
        server.on_loop(server.server.drain())

    changer = threading.Thread(target=change)
    changer.start()
    done = run("residents", "--watch", "--json")
    changer.join()
    listed, _, rest = done.stdout.partition("\n")
    assert listed == "[]"
    assert [json.loads(line)["kind"] for line in rest.splitlines()] == ["loaded", "evicted"]
    assert done.exit_code == 3
    assert "shutting down" in done.stderr


def test_interrupting_a_watch_is_no_failure(server):
    # Where the tests run in the background, the shell has them ignore the key, and what they start as well.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heeding}; from voxswap_server.cli import main; main()"
    command = [sys.executable, "-c", code, "residents", "--watch", "--address", server.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout.readline() == "no voices in memory\n"
        watcher.send_signal(signal.SIGINT)
        _, complaint = watcher.communicate(timeout=30)
    assert (watcher.returncode, complaint) == (0, "")


def test_speakers(server, run, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(f"clip {name}".encode())
    server.embedder.voices = {"narrator": b"clip one", "slate": b"clip two"}
    lines = run("embed", tmp_path / "one").stdout.split()
    assert len(lines) == 192
    assert sum(float(line) ** 2 for line in lines) == pytest.approx(1.0, abs=1e-5)
    assert json.loads(run("embed", tmp_path / "one", "--json").stdout) == pytest.approx([float(line) for line in lines])
    assert run("compare", tmp_path / "one", tmp_path / "one").stdout == "1.0000\n"
    assert json.loads(run("compare", tmp_path / "one", tmp_path / "two", "--json").stdout)["similarity"] < 1
    found = run("find", tmp_path / "two", "--limit", "1").stdout
    assert re.search(r"slate +1\.0000", found)
    assert "narrator" not in found
    server.embedder.installed = False
    missing = run("embed", tmp_path / "one")
    assert (missing.exit_code, "fetch it" in missing.stderr) == (4, True)


def test_health(server, run):
    healthy = run("health", "--voice", "narrator")
    assert healthy.exit_code == 0
    assert re.search(r"server +serving", healthy.stdout)
    unknown = run("health", "--voice", "nobody", "--json")
    assert unknown.exit_code == 3
    assert json.loads(unknown.stdout)[-1]["status"] == "service_unknown"
    server.on_loop(server.server.health.set_ready(False))
    assert run("health").exit_code == 3


def test_every_command_has_help(run):
    for command in (
        "speak",
        "voices",
        "voices create",
        "residents",
        "residents unload",
        "embed",
        "compare",
        "find",
        "health",
    ):
        shown = run(*command.split(), "--help")
        assert shown.exit_code == 0
        assert "--address" in shown.stdout
        assert "VOXSWAP_ADDRESS" in shown.stdout


def test_a_voice_without_a_problem_shows_none(server, run):
    server.library.voices["slate"] = replace(server.library.voices["slate"], has_prompt=False)
    shown = run("voices", "show", "slate").stdout
    assert "problem" not in shown
    assert "each request must bring one" in shown


def test_speak_says_words_as_asked_and_leaves_numbers(server, run, tmp_path):
    words = ("--pronounce", "Nikki=arpabet:N IH1 K IY0", "--pronounce", "A=B=N")
    out = tmp_path / "out.wav"
    done = run("speak", "Hello Nikki", "--voice", "narrator", "-o", out, *words, "--no-normalize")
    assert done.exit_code == 0
    request = server.synthesizer.requests[-1]
    assert [(one.phrase, one.pronunciation, one.encoding) for one in request.pronunciations] == [
        ("Nikki", "N IH1 K IY0", "arpabet"),
        ("A", "B=N", "phones"),
    ]
    assert not request.spell_out


@pytest.mark.parametrize(("written", "told"), [("Nikki", "WORD=PHONES"), ("Nikki=ipa:nik", "arpabet")])
def test_a_pronunciation_of_no_form_is_refused_before_anything_is_said(server, run, written, told):
    done = run("speak", "Hello", "--voice", "narrator", "-o", "-", "--pronounce", written)
    assert done.exit_code != 0
    assert told in done.output
