"""Settings: precedence, and every way to mistype."""

from pathlib import Path

import pytest

from voxswap_server.settings import BadSettings, Settings, load_settings, unknown_variables


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "voxswap.toml"
    path.write_text('store = "voices"\n[admission]\nmax_running = 5\nmax_waiting = 6\n[rpc.uploads]\n', "utf-8")
    return path


def test_defaults_need_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings().admission == Settings().admission


def test_command_line_over_environment_over_file_over_defaults(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXSWAP_ADMISSION__MAX_WAITING", "7")
    settings = load_settings(file, scheduling={"batching": False})
    assert settings.store == Path("voices")
    assert (settings.admission.max_running, settings.admission.max_waiting) == (5, 7)
    assert settings.scheduling.batching is False
    assert settings.scheduling.max_step_rows == Settings().scheduling.max_step_rows


def test_a_part_of_a_section_may_come_from_each_source(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXSWAP_ADMISSION__MAX_RUNNING", "9")
    settings = load_settings(file, admission={"max_waiting": 1})
    assert (settings.admission.max_running, settings.admission.max_waiting) == (9, 1)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[admission]\nmax_runing = 5\n", "admission.max_runing"),
        ("[admision]\nmax_running = 5\n", "admision"),
        ('[device]\nprecision = "fp8"\n', "device.precision"),
        ('[admission]\nmax_running = "many"\n', "admission.max_running"),
        ("[admission\n", "not TOML"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "voxswap.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(BadSettings, match=named):
        load_settings(path)


def test_a_file_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"nowhere\.toml"):
        load_settings(tmp_path / "nowhere.toml")


def test_variables_that_nobody_reads_are_found() -> None:
    environment = {
        "VOXSWAP_ADMISSION__MAX_RUNING": "5",
        "VOXSWAP_ADMISSION__MAX_RUNNING": "5",
        "VOXSWAP_RPC__UPLOADS__NOTHING": "1",
        "VOXSWAP_ADDRESS": "localhost:1",
        "VOXSWAP_STORE": "x",
        "PATH": "/bin",
    }
    assert next(unknown_variables(environment)) == (
        "VOXSWAP_ADMISSION__MAX_RUNING is no setting; did you mean VOXSWAP_ADMISSION__MAX_RUNNING?"
    )
    assert len(list(unknown_variables(environment))) == 2


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(Exception, match="frozen"):
        Settings().store = Path("elsewhere")  # type: ignore[misc]
