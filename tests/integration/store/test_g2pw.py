"""g2pW is found as it is published, folder or zip, copied, verified, and then read by the front-end."""

import struct
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.fixtures.g2pw import install_g2pw, write_g2pw, write_g2pw_zip
from voxswap_server.cli.main import app
from voxswap_server.engine.networks import OwnNetworks
from voxswap_server.engine.polyphones import frontend_options
from voxswap_server.engine.stored_networks import network_loaders
from voxswap_server.errors import AssetMissing, RequestError
from voxswap_server.text.frontend import TextFrontend
from voxswap_store import g2pw
from voxswap_store.asset_importer import find_assets, import_assets
from voxswap_store.assets import asset_state, verify_asset
from voxswap_store.errors import CheckpointError, ForbiddenContent, NotACheckpoint, OverLimit, TruncatedCheckpoint

FAVOURS = {"走": "行 ㄒㄧㄥ2", "銀": "行 ㄏㄤ2"}
STORED = {"asset.toml", "g2pw.onnx", *(table.lower() for table in g2pw.TABLES)}


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "240"}).invoke(app, [str(one) for one in arguments])
    return result.exit_code, result.output


def installed(store: Path) -> set[str]:
    folder = store / "assets" / "g2pw"
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def test_a_published_folder_becomes_the_readings_of_a_store(tmp_path: Path) -> None:
    store, theirs = tmp_path / "store", tmp_path / "GPT_SoVITS" / "text" / "G2PWModel"
    write_g2pw(theirs, tmp_path / "bert", FAVOURS)
    (theirs / "config.py").write_text("raise SystemExit  # a program, which nobody reads")
    code, told = run("assets", "import", tmp_path / "GPT_SoVITS", "--store", store)
    assert (code, "imported g2pw: g2pW" in told) == (0, True), told
    assert installed(store) == STORED
    listed = next(line for line in run("assets", "list", "--store", store)[1].splitlines() if " g2pw " in line)
    assert "assets/g2pw" in listed
    assert run("assets", "verify", "--store", store) == (0, "g2pw: good\n")


def test_every_byte_is_verified(tmp_path: Path) -> None:
    install_g2pw(tmp_path, FAVOURS, tokenizer=False)
    with (tmp_path / "assets" / "g2pw" / "g2pw.onnx").open("r+b") as file:
        file.write(b"x")
    with pytest.raises(AssetMissing, match=r"g2pW is not installed; its g2pw\.onnx is damaged.*assets fetch g2pw"):
        verify_asset(tmp_path, "g2pw")


def test_the_published_zip_is_taken_as_it_is(tmp_path: Path) -> None:
    write_g2pw_zip(tmp_path / "G2PWModel.zip")
    [state] = import_assets(tmp_path, tmp_path / "store", only=("g2pw",))
    assert installed(tmp_path / "store") == STORED
    verify_asset(tmp_path / "store", "g2pw")
    assert state.bytes_total == sum(
        (tmp_path / "store/assets/g2pw" / name).stat().st_size for name in STORED - {"asset.toml"}
    )


def test_a_folder_comes_before_a_zip_beside_it(tmp_path: Path) -> None:
    write_g2pw(tmp_path / "both", tmp_path / "pieces", FAVOURS)
    write_g2pw_zip(tmp_path / "both" / "g2pwmodel_1.1.zip")
    (tmp_path / "both" / "AP_BWE.zip").write_bytes(b"no g2pW")
    assert find_assets(tmp_path)["g2pw"].weights.name == "g2pW.onnx"


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


WHOLE = dict.fromkeys(("g2pW.onnx", *g2pw.TABLES), b"content")


@pytest.mark.parametrize("folder", ["../../elsewhere", "/etc", "..", "C:", "a/../../b", ""])
def test_a_member_goes_nowhere_else(tmp_path: Path, folder: str) -> None:
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    members = {f"{folder}/{name}": content for name, content in WHOLE.items()}
    zip_of(place / "G2PWModel.zip", {**members, "../../evil.txt": b"evil"})
    before = {path for path in tmp_path.rglob("*") if "store" not in path.parts}
    import_assets(place, tmp_path / "store", only=("g2pw",))
    assert installed(tmp_path / "store") == STORED
    assert {path for path in tmp_path.rglob("*") if "store" not in path.relative_to(tmp_path).parts} == before


def refused(tmp_path: Path, error: type[CheckpointError], told: str) -> None:
    with pytest.raises(error, match=told):
        import_assets(tmp_path, tmp_path / "store", only=("g2pw",))
    assert not installed(tmp_path / "store")
    assert not list((tmp_path / "store" / ".staging").iterdir())


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    zip_of(tmp_path / "G2PWModel.zip", WHOLE | {g2pw.TABLES[0]: bytes(g2pw.LARGEST_TABLE_BYTES + 1)})
    assert (tmp_path / "G2PWModel.zip").stat().st_size < 100_000
    refused(tmp_path, OverLimit, r"POLYPHONIC_CHARS\.txt has 16777217 bytes; at most 16777216")


def test_a_member_that_lies_about_its_size_is_not_unpacked_further(tmp_path: Path) -> None:
    data = bytearray(zip_of(tmp_path / "G2PWModel.zip", WHOLE | {g2pw.TABLES[0]: bytes(5_000_000)}).read_bytes())
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(g2pw.TABLES[0].encode()))
    data[at + 24 : at + 28] = struct.pack("<L", 10)
    (tmp_path / "G2PWModel.zip").write_bytes(data)
    refused(tmp_path, TruncatedCheckpoint, "damaged")


@pytest.mark.parametrize(
    ("members", "error", "told"),
    [
        ({}, NotACheckpoint, "does not hold g2pW"),
        ({"a/g2pW.onnx": b"x", **{f"b/{table}": b"x" for table in g2pw.TABLES}}, NotACheckpoint, "does not hold g2pW"),
        (WHOLE | {g2pw.TABLES[1]: b""}, NotACheckpoint, "is empty"),
    ],
)
def test_a_zip_without_it_is_refused(
    tmp_path: Path, members: dict[str, bytes], error: type[CheckpointError], told: str
) -> None:
    zip_of(tmp_path / "G2PWModel.zip", members)
    refused(tmp_path, error, told)


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    zip_of(tmp_path / "G2PWModel.zip", WHOLE)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "G2PWModel.zip", "a") as archive:
        archive.writestr("g2pW.onnx", b"another")
    refused(tmp_path, NotACheckpoint, "two members 'g2pW.onnx'")


def test_what_is_packed_in_another_way_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "G2PWModel.zip", "w", zipfile.ZIP_BZIP2) as archive:
        for name, content in WHOLE.items():
            archive.writestr(name, content)
    refused(tmp_path, ForbiddenContent, "packed in a way that is not read")


@given(st.data())
def test_damage_is_a_typed_error_or_harmless(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    place = tmp_path_factory.mktemp("damaged")
    content = bytearray(zip_of(place / "G2PWModel.zip", WHOLE).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    (place / "G2PWModel.zip").write_bytes(content if data.draw(st.booleans()) else content[:cut])
    try:
        import_assets(place, place / "store", only=("g2pw",))
    except CheckpointError:
        assert not installed(place / "store")
    else:
        assert {(place / "store/assets/g2pw" / name.lower()).read_bytes() for name in WHOLE} == {b"content"}


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match="does not hold g2pw; looked for text/G2PWModel/"):
        import_assets(tmp_path / "empty", tmp_path / "store", only=("g2pw",))
    assert "missing (text/G2PWModel/)" in run("assets", "list", "--store", tmp_path / "store")[1]


def read(frontend: TextFrontend, text: str = "走行") -> tuple[tuple[str, ...], list[str]]:
    """Phones of a Chinese text, and what was told beside them."""
    run, _ = frontend.read(text, "zh", "v2")
    return run.phones, [f"{notice.code}: {notice.message}" for notice in run.notices]


@pytest.fixture
def frontend(tmp_path: Path) -> Iterator[TextFrontend]:
    """That of a command over the store."""
    with ThreadPoolExecutor(1) as pool:
        yield TextFrontend(frontend_options(tmp_path, OwnNetworks(network_loaders(tmp_path), pool)))


def test_it_may_come_and_go(tmp_path: Path, frontend: TextFrontend) -> None:
    assert read(frontend) == (("z", "ou3", "x", "ing2"), [])
    install_g2pw(tmp_path, {"走": "行 ㄏㄤ2"})
    assert read(frontend) == (("z", "ou3", "h", "ang2"), [])
    (tmp_path / "assets" / "g2pw").rename(tmp_path / "away")
    assert read(frontend) == (("z", "ou3", "x", "ing2"), [])


def test_without_the_tokenizer_of_bert_the_words_decide_and_it_is_told(tmp_path: Path, frontend: TextFrontend) -> None:
    install_g2pw(tmp_path, {"走": "行 ㄏㄤ2"}, tokenizer=False)
    for _ in range(2):
        phones, [told] = read(frontend)
        assert phones == ("z", "ou3", "x", "ing2")
        assert told.startswith("ASSET_MISSING: Chinese characters of several readings follow the words they are in: ")
        assert "Chinese RoBERTa large is not installed" in told
        assert "run `voxswap assets fetch bert`" in told


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("g2pW.onnx", b"no model", "its model is damaged"),
        ("MONOPHONIC_CHARS.txt", b"x", "monophonic_chars.txt is no table of two columns"),
    ],
)
def test_what_cannot_be_used_is_told(
    tmp_path: Path, frontend: TextFrontend, name: str, content: bytes, problem: str
) -> None:
    install_g2pw(tmp_path, FAVOURS)
    made = tmp_path / "other"
    write_g2pw(made, tmp_path / "pieces", FAVOURS)
    (made / name).write_bytes(content)
    import_assets(made, tmp_path, only=("g2pw",))
    utterance = frontend.analyse("走行走行。", "zh", "v2")
    [notice] = utterance.notices
    assert notice.code == "ASSET_MISSING"
    assert problem in notice.message
    assert "run `voxswap assets fetch g2pw`" in notice.message
    assert str(tmp_path) not in notice.message


def test_what_was_cut_short_is_told(tmp_path: Path, frontend: TextFrontend) -> None:
    install_g2pw(tmp_path, FAVOURS)
    (tmp_path / "assets" / "g2pw" / "g2pw.onnx").write_bytes(b"")
    assert asset_state(tmp_path, "g2pw").problem == "its g2pw.onnx is missing or cut short"
    phones, [told] = read(frontend)
    assert phones == ("z", "ou3", "x", "ing2")
    assert "its g2pw.onnx is missing or cut short" in told
