"""The examples of the pages, as they stand there, against a real gateway."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from tests.fixtures.curl import curl_lines, moved, parse
from voxswap_server.audio.decode import decode
from voxswap_server.http.api_v2.config import ApiV2Config
from voxswap_server.http.panel.actions import ACTIONS
from voxswap_server.http.problems import ROWS
from voxswap_server.settings import load_settings

ROOT = Path(__file__).parents[3]
DOCS = {name: (ROOT / path).read_text(encoding="utf-8") for name, path in (
    ("README", "README.md"), ("HTTP", "docs/HTTP.md"), ("MIGRATING", "docs/MIGRATING.md"), ("PANEL", "docs/PANEL.md")
)}  # fmt: skip
COMMANDS = [(name, words) for name, page in DOCS.items() for words in curl_lines(page)]


def fenced(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", DOCS[page], re.DOTALL | re.MULTILINE)


@pytest.fixture
def settings(tmp_path):
    """Those of the migration page."""
    (example,) = fenced("MIGRATING", "toml")
    (tmp_path / "voxswap.toml").write_text(example, encoding="utf-8")
    return load_settings(tmp_path / "voxswap.toml")


async def test_every_curl_line_is_answered(start, settings, tmp_path):
    (tmp_path / "clip.wav").write_bytes(b"RIFF some audio")
    synthesizer_rates = {"narrator": 24000}
    async with start(api_v2=settings.http.api_v2) as rig:
        rig.synthesizer.rates_hz = synthesizer_rates
        assert len(COMMANDS) > 8
        for _, words in COMMANDS:
            asked = parse(words, tmp_path)
            answer = await rig.client.request(
                asked.method, moved(asked.url, rig.server.url), headers=asked.headers, content=asked.content
            )
            assert answer.status_code in {200, 201}, (words, answer.text)
            if asked.output is not None:
                assert decode(answer.content, max_s=60, max_bytes=1 << 24).samples.size, words


async def test_the_python_examples_run(start, tmp_path):
    examples = fenced("HTTP", "python")
    assert len(examples) == 2
    async with start() as rig:
        for code in examples:
            moved_code = code.replace("127.0.0.1:8000", f"127.0.0.1:{rig.server.port}")
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-W", "error", "-c", moved_code, cwd=tmp_path, stdout=-1, stderr=-1
            )
            out, err = await process.communicate()
            assert (process.returncode, err.decode()) == (0, "")
    assert (tmp_path / "hello.wav").read_bytes().startswith(b"RIFF")
    assert out.decode().split()[0] == "started"
    assert out.decode().split()[-1] == "done"


def test_the_settings_are_settings(settings, tmp_path):
    assert settings.http.port == 9880
    assert isinstance(settings.http.api_v2, ApiV2Config)
    (example,) = fenced("HTTP", "toml")
    (tmp_path / "http.toml").write_text(example, encoding="utf-8")
    assert load_settings(tmp_path / "http.toml").http.panel.default_voice == "narrator"


def test_every_action_is_on_the_panels_page():
    rows = re.findall(r"^\| (`.*?) \|", DOCS["PANEL"], re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert set(ACTIONS) <= named


def test_every_status_is_on_the_page():
    listed = set(re.findall(r"\b[45]\d\d\b", DOCS["HTTP"].split("## Errors")[1].split("## Browsers")[0]))
    assert {str(row.status) for row in ROWS.values()} - {"499"} <= listed
