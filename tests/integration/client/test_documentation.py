"""The examples of docs/CLIENT.md run, on a server with fakes behind it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "CLIENT.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_page_has_examples():
    assert len(EXAMPLES) == 4


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_runs(server, tmp_path, number):
    code = EXAMPLES[number].replace("localhost:50051", server.address)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout or (tmp_path / "hello.wav").read_bytes().startswith(b"RIFF")


def test_every_method_and_suffix_that_is_named_exists():
    from voxswap_client import Client
    from voxswap_client.cli.output import SUFFIXES

    text = PAGE.read_text(encoding="utf-8")
    table = text[text.index("## Methods") : text.index("## Errors")]
    named = set(re.findall(r"`([a-z_]+)`", table)) - {"with"}
    public = {name for name in vars(Client) if not name.startswith("_")} - {"close"}
    assert named == public
    assert re.search(r"\((`\.wav [^)]*`)\)", text)[1].strip("`").split() == list(SUFFIXES)
