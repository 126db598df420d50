"""g2pW's folder is found as it is published, copied, listed, and then read by the front-end."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.fixtures.g2pw import write_g2pw
from voxswap_server.cli.main import app
from voxswap_server.engine.polyphones import frontend_options
from voxswap_server.errors import AssetMissing
from voxswap_server.text.frontend import TextFrontend


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "240"}).invoke(app, [str(one) for one in arguments])
    return result.exit_code, result.output


def test_a_published_folder_becomes_the_readings_of_a_store(tmp_path: Path) -> None:
    store, theirs = tmp_path / "store", tmp_path / "GPT_SoVITS" / "text"
    assert frontend_options(store) == {}
    write_g2pw(theirs / "G2PWModel", tmp_path / "bert", {"走": "行 ㄒㄧㄥ2", "銀": "行 ㄏㄤ2"})
    (theirs / "G2PWModel" / "config.py").write_text("raise SystemExit  # a program, which nobody reads")
    code, told = run("assets", "import", theirs.parent, "--store", store)
    assert (code, "imported g2pw: g2pW" in told) == (0, True), told
    assert not (store / "assets" / "g2pw" / "config.py").exists()
    listed = next(line for line in run("assets", "list", "--store", store)[1].splitlines() if " g2pw " in line)
    assert "assets/g2pw" in listed
    (store / "assets" / "bert").mkdir()
    (tmp_path / "bert" / "vocab.txt").rename(store / "assets" / "bert" / "vocab.txt")
    frontend = TextFrontend(frontend_options(store))
    assert frontend.read("走行", "zh", "v2")[0].phones[-2:] == ("x", "ing2")


def test_what_is_not_there_or_cannot_be_read_is_told(tmp_path: Path) -> None:
    store, folder = tmp_path / "store", tmp_path / "G2PWModel"
    (tmp_path / "empty").mkdir()
    code, told = run("assets", "import", tmp_path / "empty", "--only", "g2pw", "--store", store)
    assert code != 0
    assert "does not hold g2pw" in told
    assert "missing (text/G2PWModel/)" in run("assets", "list", "--store", store)[1]
    write_g2pw(folder, tmp_path / "elsewhere", {})
    assert run("assets", "import", folder, "--only", "g2pw", "--store", store)[0] == 0
    with pytest.raises(AssetMissing, match=r"g2pW.*bert") as missing:
        TextFrontend(frontend_options(store)).read("好", "zh", "v2")
    assert str(tmp_path) not in missing.value.message
