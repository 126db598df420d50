"""`voxswap doctor`: what it finds in surroundings that are good, and in those that are not."""

import json
import os
import shutil
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.fixtures.certificates import Authority
from voxswap_server.cli.main import app
from voxswap_server.doctor import CHECKS, DEEP, Severity
from voxswap_server.doctor import machine as machine_checks
from voxswap_server.doctor import store as store_checks
from voxswap_server.settings import Settings

QUIET = {"rpc": {"address": "127.0.0.1:0"}, "metrics": {"port": 0}}


def found(check, settings):
    """Severities, and all that was said, of one check."""
    findings = list({**CHECKS, **DEEP}[check](settings))
    assert findings, "a check always says something"
    return {one.severity for one in findings}, " / ".join(f"{one.what} -> {one.remedy}" for one in findings)


def test_good_surroundings_are_good(tiny_store):
    settings = Settings(store=tiny_store, device={"name": "cpu", "threads": 1}, **QUIET)
    for check in ("device", "voices", "environment", "security", "addresses", "cache", "tracing"):
        severities, said = found(check, settings)
        assert severities == {Severity.GOOD}, said


def test_a_device_that_is_not_there_is_a_problem(tiny_store):
    import torch

    name = f"cuda:{torch.cuda.device_count()}"
    severities, said = found("device", Settings(store=tiny_store, device={"name": name}))
    assert severities == {Severity.PROBLEM}
    assert "device.name" in said


def test_more_threads_than_cores_and_a_quota_are_warned_of(tmp_path):
    cores = len(os.sched_getaffinity(0))
    severities, said = found("threads", Settings(device={"threads": cores + 1}))
    assert Severity.WARNING in severities
    assert f"set device.threads to {cores} or less" in said
    quota = tmp_path / "cpu.max"
    for content, told in (("50000 100000", True), ("max 100000", False), ("", False)):
        quota.write_text(content)
        said = [one.what for one in machine_checks.threads(Settings(device={"threads": 1}), quota)]
        assert any("this container may use 0.5 of its" in line for line in said) is told


def test_a_budget_beyond_the_memory_is_warned_of(tiny_store):
    severities, said = found("memory", Settings(residency={"device_budget_bytes": 10**18}, device={"name": "cpu"}))
    assert severities == {Severity.WARNING}, said


def test_voices_and_networks_that_are_missing_or_broken_are_named(tiny_store, tmp_path):
    root = Path(shutil.copytree(tiny_store, tmp_path / "store", ignore=shutil.ignore_patterns("tiny")))
    (root / "voices" / "amber" / "voice.toml").write_text("nonsense")
    settings = Settings(store=root, voices={"pin": ["ghost"]})
    severities, said = found("voices", settings)
    assert severities == {Severity.GOOD, Severity.WARNING}
    assert "voice amber cannot be used" in said
    assert "voice ghost is to be loaded at the start" in said
    assert "3 voices" in said
    severities, said = found("networks", settings)
    assert "voxswap assets fetch ecapa" in said


def test_a_voice_that_is_not_what_was_imported_is_found_only_by_the_deep_look(tiny_store, tmp_path):
    root = Path(shutil.copytree(tiny_store, tmp_path / "store", ignore=shutil.ignore_patterns("tiny")))
    settings = Settings(store=root)
    assert found("contents", settings)[0] == {Severity.GOOD}
    weights = max((root / "voices" / "slate").iterdir(), key=lambda path: path.stat().st_size)
    with weights.open("r+b") as file:  # one bit, far from the header; size and name stay
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    (root / "voices" / "onyx" / "voice.toml").write_text("nonsense")
    assert "slate" not in found("voices", settings)[1]
    severities, said = found("contents", settings)
    assert severities == {Severity.GOOD, Severity.PROBLEM}
    assert f"'slate' cannot be used: {weights.name} is not the file that the manifest describes" in said
    assert "2 voices are what was imported" in said
    words = ["doctor", "--store", str(root), "--json"]
    told = [json.loads(CliRunner().invoke(app, [*words, *deep]).stdout) for deep in ([], ["--deep"])]
    assert ["contents" in {one["check"] for one in checks} for checks in told] == [False, True]


def test_before_the_first_start_the_built_in_voices_are_still_to_come(tmp_path, monkeypatch):
    monkeypatch.setattr(store_checks, "packaged_voices", lambda: tmp_path)
    settings = Settings(store=tmp_path / "none", voices={"built_in": True})
    assert "the first start imports" in found("voices", settings)[1]


def test_a_store_that_is_not_there_yet_is_no_problem(tmp_path):
    settings = Settings(store=tmp_path / "none")
    assert found("store", settings)[0] == {Severity.NOTE}
    assert "voxswap demo" in found("voices", settings)[1]


def test_an_address_that_is_taken_is_a_problem(tiny_store):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = {"rpc": {"address": f"127.0.0.1:{port}"}, "metrics": {"enabled": False}, "http": {"port": 0}}
        severities, said = found("addresses", Settings(store=tiny_store, **taken))
    assert severities == {Severity.PROBLEM, Severity.GOOD}
    assert f"gRPC: 127.0.0.1:{port} cannot be bound" in said
    with socket.create_server(("127.0.0.1", 0)) as other:
        wyoming = {"wyoming": {"port": other.getsockname()[1]}}
        assert "Wyoming: 127.0.0.1" in found("addresses", Settings(store=tiny_store, http=wyoming, **QUIET))[1]
    unix = Settings(store=tiny_store, rpc={"address": "unix:/run/voxswap"}, metrics={"port": 0})
    assert found("addresses", unix)[0] == {Severity.GOOD}


def test_security_is_looked_over(tmp_path):
    pair = Authority(tmp_path).sign("server", "localhost")
    pair.private_key.chmod(0o644)
    public = {"rpc": {"address": "0.0.0.0:0"}, "metrics": {"enabled": False}}
    assert found("security", Settings(**public))[0] == {Severity.PROBLEM}
    tls = {"tls_certificate": pair.certificate, "tls_private_key": pair.private_key}
    severities, said = found("security", Settings(security=tls, **public))
    assert severities == {Severity.GOOD, Severity.WARNING}
    assert "whoever reaches it may do everything" in said
    assert "server.key can be read by others" in said
    wrong = tls | {"tls_private_key": pair.certificate}
    assert found("security", Settings(security=wrong, **public))[0] == {Severity.PROBLEM}


def test_a_mistyped_variable_is_found(monkeypatch):
    monkeypatch.setenv("VOXSWAP_RCP__ADDRESS", "x")
    assert "did you mean VOXSWAP_RPC__ADDRESS?" in found("environment", Settings())[1]


def test_the_command_tells_and_exits(tiny_store, tmp_path):
    settings = tmp_path / "voxswap.toml"
    settings.write_text('[rpc]\naddress = "127.0.0.1:0"\n[metrics]\nport = 0\n[device]\nname = "cpu"\n')
    words = ["doctor", "--config", str(settings), "--store", str(tiny_store)]
    fine = CliRunner().invoke(app, words)
    assert fine.exit_code == 0, fine.stdout
    assert "4 voices" in fine.stdout
    settings.write_text(settings.read_text().replace('name = "cpu"', 'name = "cuda:99"'))
    ill = CliRunner().invoke(app, [*words, "--json"])
    assert ill.exit_code == 1
    checks = {one["check"]: one for one in json.loads(ill.stdout)}
    assert checks["device"]["severity"] == "problem"
    assert checks["device"]["remedy"]


@pytest.mark.parametrize("check", [*CHECKS, *DEEP])
def test_what_is_no_good_has_a_remedy(check, tmp_path):
    for one in {**CHECKS, **DEEP}[check](Settings(store=tmp_path / "none", device={"name": "cuda:99", "threads": 999})):
        assert one.remedy or one.severity in {Severity.GOOD, Severity.NOTE}
