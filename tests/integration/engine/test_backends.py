"""Settings of the ways to compute: told before the first voice is asked for."""

import pytest
from typer.testing import CliRunner

from voxswap_server.cli.main import app
from voxswap_server.engine.backends import EngineConfig, describe, placed, strangers
from voxswap_server.engine.device import DeviceConfig, open_device, usable_cores
from voxswap_server.errors import RequestError


def place(precision="fp32"):
    return placed(open_device(DeviceConfig("cpu", precision=precision, threads=1)))


def test_what_computes_is_told_in_words():
    assert describe(EngineConfig(), place()) == "native"
    assert describe(EngineConfig(t2s_backend="torch"), place()) == "torch"
    assert describe(EngineConfig(), place("bf16")) == "torch"
    assert describe(EngineConfig(int8_voices=("a", "b")), place()) == "native; native in 8 bits for a, b"


@pytest.mark.parametrize(
    ("config", "precision"),
    [
        (EngineConfig(t2s_backend="native"), "bf16"),
        (EngineConfig(int8_voices=("a",)), "bf16"),
        (EngineConfig(t2s_backend="torch", int8_voices=("a",)), "fp32"),
    ],
)
def test_what_cannot_be_is_refused(config, precision):
    with pytest.raises(RequestError, match="does not compute"):
        describe(config, place(precision))


def test_voices_that_are_not_there_are_named():
    config = EngineConfig(int8_voices=("amber", "ambre"), bf16_voices=("slat",))
    assert strangers(config, ["amber", "slate"]) == [
        "engine.int8_voices names ambre, which is not in the store",
        "engine.bf16_voices names slat, which is not in the store",
    ]


def test_check_config_tells_all_of_it(tmp_path):
    settings = tmp_path / "voxswap.toml"
    settings.write_text(f'store = "{tmp_path}"\n[device]\nname = "cpu"\n[engine]\nint8_voices = ["ambre"]\n')
    told = CliRunner().invoke(app, ["check-config", "--config", str(settings)])
    assert told.exit_code == 0, told.output
    assert "T2S      native; native in 8 bits for ambre" in told.stdout
    assert "engine.int8_voices names ambre" in told.stderr
    settings.write_text(
        f'store = "{tmp_path}"\n[device]\nname = "cpu"\nprecision = "bf16"\n[engine]\nt2s_backend = "native"\n'
    )
    refused = CliRunner().invoke(app, ["check-config", "--config", str(settings)])
    assert refused.exit_code == 2
    assert "choose auto or torch" in refused.stderr


@pytest.mark.parametrize(("more", "warned"), [(0, False), (1, True)])
def test_check_config_warns_of_more_threads_than_cores(tmp_path, more, warned):
    cores = usable_cores()
    settings = tmp_path / "voxswap.toml"
    settings.write_text(f'store = "{tmp_path}"\n[device]\nname = "cpu"\nthreads = {cores + more}\n')
    told = CliRunner().invoke(app, ["check-config", "--config", str(settings)])
    assert told.exit_code == 0, told.output
    assert (f"device.threads is {cores + 1} on {cores} cores" in told.stderr) is warned
