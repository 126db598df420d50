"""The Dockerfile without a container engine: linted, and its steps done by hand on a copy of what it copies."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.deployment import DEPLOY, DOCKERFILE, ROOT, image_environment, instructions, values
from voxswap_server.app import secured
from voxswap_server.errors import ConfigError
from voxswap_server.settings import load_settings, unknown_variables

BIN = Path(sys.executable).parent


def copied() -> list[str]:
    """What the Dockerfile copies from the repository."""
    return [source for value in values("COPY") if "--from" not in value for source in value.split()[:-1]]


def test_hadolint_is_content():
    done = subprocess.run([BIN / "hadolint", str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_copied_exists_and_is_not_ignored():
    assert set(copied()) >= {"server", "client", "constraints.txt", "pyproject.toml"}
    kept = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    for source in copied():
        assert (ROOT / source).exists(), source
        assert source in kept or any(one.startswith(f"{source}/") for one in kept), source


def test_the_environment_is_settings_and_safe(monkeypatch):
    environment = image_environment()
    ours = {name: value for name, value in environment.items() if name.startswith("VOXSWAP_")}
    assert list(unknown_variables(ours)) == []
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    ports = [str(port) for port in (settings.rpc.address.rpartition(":")[2], settings.http.port, settings.metrics.port)]
    assert values("EXPOSE") == [" ".join(ports)]
    with pytest.raises(ConfigError, match="--insecure-public"):
        secured(settings)  # an image that is only run lets nobody in
    monkeypatch.setenv("VOXSWAP_SECURITY__INSECURE_PUBLIC", "true")
    assert secured(load_settings())


def test_it_does_not_run_as_root_and_keeps_its_store():
    assert values("USER")[-1].isdigit()
    assert values("USER")[-1] != "0"
    assert values("VOLUME") == [image_environment()["VOXSWAP_STORE"]]
    assert values("STOPSIGNAL") == ["SIGTERM"]


def test_the_extras_are_groups_of_the_project():
    import tomllib

    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (extras,) = [re.search(r'EXTRAS="([^"]+)"', value)[1] for value in values("ARG") if "EXTRAS" in value]
    assert set(extras.split(",")) <= groups.keys()


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """What the build's steps install, made of nothing but what the Dockerfile copies."""
    context = tmp_path_factory.mktemp("context")
    keep_out = shutil.ignore_patterns(
        "__pycache__", "voices", "assets", "cache", "demo", "tiny", "built_in", ".staging"
    )
    for source in copied():
        target = context / source
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=keep_out)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, target)
    step = next(one["value"] for one in instructions() if one["instruction"] == "RUN" and '".[' in one["value"])
    assert step.split()[1:4] == ["install", "--constraint", "constraints.txt"]
    target = tmp_path_factory.mktemp("installed")
    # The libraries are those of this environment: the image's come from the same constraints.
    words = [
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--disable-pip-version-check",
        "--target",
        str(target),
        ".",
    ]
    subprocess.run([BIN / "pip", "install", *words], cwd=context, check=True)
    return target


@pytest.mark.slow
async def test_what_is_installed_serves_and_its_health_check_passes(installed, tiny_store, tmp_path):
    image = {name: value for name, value in image_environment().items() if name.startswith("VOXSWAP_")}
    here = {
        "VOXSWAP_STORE": str(tiny_store),
        "VOXSWAP_RPC__ADDRESS": "0.0.0.0:0",
        "VOXSWAP_HTTP__PORT": "0",
        "VOXSWAP_METRICS__PORT": "0",
        "VOXSWAP_DEVICE__THREADS": "1",
        "VOXSWAP_VOICES__BUILT_IN": "false",
    }
    assert (
        here.keys() - {"VOXSWAP_METRICS__PORT", "VOXSWAP_DEVICE__THREADS", "VOXSWAP_VOICES__BUILT_IN"} <= image.keys()
    )
    environment = {**os.environ, **image, **here, "PYTHONPATH": str(installed), "PYTHONUNBUFFERED": "1"}
    entry = [sys.executable, str(installed / "bin" / json.loads(values("ENTRYPOINT")[0])[0])]
    where = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", "import voxswap_server; print(voxswap_server.__file__)"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(where.stdout.strip()).is_relative_to(installed)
    words = json.loads(values("CMD")[0])
    refused = await asyncio.to_thread(
        subprocess.run, [*entry, *words], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (refused.returncode, "--insecure-public" in refused.stderr) == (2, True)

    environment["VOXSWAP_SECURITY__INSECURE_PUBLIC"] = "true"
    server = await asyncio.create_subprocess_exec(
        *entry, *words, env=environment, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    serving = await anext(line async for line in _lines(server) if line["event"] == "serving")
    check = json.loads(re.search(r"CMD (\[.*\])", next(v for v in values("HEALTHCHECK")))[1])
    asked = {**environment, "VOXSWAP_ADDRESS": f"127.0.0.1:{serving['port']}"}
    healthy = await asyncio.create_subprocess_exec(*entry, *check[1:], env=asked, stdout=asyncio.subprocess.DEVNULL)
    assert await healthy.wait() == 0
    server.send_signal(signal.Signals[values("STOPSIGNAL")[0]])
    await server.stdout.read()
    assert await server.wait() == 0


async def _lines(server):
    async for line in server.stdout:
        yield json.loads(line)
