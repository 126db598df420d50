"""The README's examples run, and the pages name only what exists."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import json_format
from prometheus_client import CollectorRegistry
from typer.main import get_command

from voxswap.v1 import speech_service_pb2
from voxswap_server.cli.main import app
from voxswap_server.metrics import Metrics
from voxswap_server.settings import Settings, load_settings

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])


def fenced(page: str, language: str = "") -> list[str]:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    return [content for name, content in blocks if name == language]


def commands(page: str) -> Iterator[list[str]]:
    """Every `voxswap ...` line of the plain fenced blocks, continued lines joined, without its comment."""
    for block in fenced(page):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip().startswith("voxswap "):
                yield shlex.split(line, comments=True)[1:]


def test_the_python_example_runs(server, tmp_path):
    (example,) = fenced(README, "python")
    code = example.replace("localhost:50051", server.address)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"(\d+ \d+\n)+", done.stdout)


def test_the_grpcurl_example_names_a_method_and_a_message_that_exist():
    data, method = re.search(r"-d '(.*?)'.*?localhost:50051 (\S+)", README, re.DOTALL).groups()
    service, name = method.split("/")
    found = speech_service_pb2.DESCRIPTOR.services_by_name["SpeechService"]
    assert found.full_name == service
    request = json_format.ParseDict(json.loads(data), speech_service_pb2.SynthesizeStreamRequest())
    assert found.methods_by_name[name].input_type.full_name == request.DESCRIPTOR.full_name
    assert request.config.voice_id == "narrator"


@pytest.mark.parametrize(
    "page",
    [
        ROOT / "README.md",
        *(
            ROOT / "docs" / f"{name}.md"
            for name in ("HTTP", "IMPORT", "MIGRATING", "OBSERVING", "SECURITY", "SPEAKERS")
        ),
    ],
    ids=lambda page: page.name,
)
def test_every_command_line_parses(page):
    root = get_command(app)
    lines = list(commands(page.read_text(encoding="utf-8")))
    assert lines
    for words in lines:
        command, names, rest = root, ["voxswap"], list(words)
        while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
            names.append(rest.pop(0))
            assert names[-1] in command.commands, f"there is no command {' '.join(names)}"
            command = command.commands[names[-1]]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        used = {word for word in rest if re.match(r"--?[a-z]", word)}
        assert used <= known, f"{' '.join(words)}: {used - known}"


def test_the_settings_example_is_a_settings_file(tmp_path):
    (example,) = fenced((ROOT / "docs" / "OPERATING.md").read_text(encoding="utf-8"), "toml")
    (tmp_path / "voxswap.toml").write_text(example, encoding="utf-8")
    assert load_settings(tmp_path / "voxswap.toml").voices.prewarm == ("narrator",)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_a_page_names_exists(page):
    settings = Settings()
    for name in re.findall(r"`([a-z_0-9]+(?:\.[a-z_0-9]+)+)", page.read_text(encoding="utf-8")):
        section, *parts = name.split(".")
        if section in type(settings).model_fields and not name.startswith("speech.audio."):  # OpenAI's events
            found = getattr(settings, section)
            for part in parts:
                assert hasattr(found, part), name
                found = getattr(found, part)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_number_that_a_page_names_exists(page):
    registry = CollectorRegistry()
    Metrics(registry)
    known = {family.name + suffix for family in registry.collect() for suffix in ("", "_total")}
    packages = {
        path.name for folder in ("client", "server", "model_store", "training") for path in (ROOT / folder).iterdir()
    }
    assert set(re.findall(r"\bvoxswap_[a-z_]*[a-z]", page.read_text(encoding="utf-8"))) <= known | packages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_architecture_page_is_short_and_names_what_exists():
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    places = {"rpc", "engine", "text", "nn", "audio"}
    named = {name for name in re.findall(r"`([a-z_]+/[a-z0-9_]+)`", text) if name.split("/")[0] in places}
    assert len(named) > 8
    for name in named:
        path = ROOT / "server" / "voxswap_server" / name
        assert path.is_dir() or path.with_suffix(".py").is_file(), name
    for module in re.findall(r"`(voxswap_[a-z]+(?:\.[a-z]+)*)`", text):
        assert any(
            (ROOT / folder / module.replace(".", "/")).with_suffix(suffix).exists()
            for folder in ("server", "client", "model_store")
            for suffix in ("", ".py")
        ), module


def test_the_two_commands_are_the_makefiles():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
