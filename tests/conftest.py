"""What every test needs before anything else is imported, and what several folders share.

Imports of torch stay inside the fixtures: the unit tests run without it.
"""

import os
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
import structlog

import voxswap_server  # noqa: F401  (mends torchaudio, which transformers and SpeechBrain import)
from tests.fixtures import debian
from voxswap_server._speechbrain import drop_redirects

# Nothing is asserted about time, and machines are noisy: a slow example is no failure.
hypothesis.settings.register_profile("voxswap", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("voxswap")


# Stores of tests hold what the test puts there; those that want the built-in voices say so.
os.environ["VOXSWAP_VOICES__BUILT_IN"] = "false"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-system",
        action="store_true",
        help="fail the tests whose Debian package is not installed, instead of skipping them",
    )


@pytest.fixture(scope="session")
def debian_binary(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Path of a binary that a Debian package has; where it is missing the test is skipped with the package's name."""

    def path_of(binary: str) -> str:
        path = debian.find(binary)
        if path is None:
            remedy = f"{binary} is not installed: {debian.how_to_install([debian.PACKAGES[binary]])}"
            if request.config.getoption("--require-system"):
                pytest.fail(remedy)
            pytest.skip(remedy)
        return path

    return path_of


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """No test inherits what an earlier one left in the process.

    Commands set up logs, with a level; whoever writes a log line outside of a request leaves its values to all that follow. Some tests and the training import SpeechBrain by themselves, and hypothesis
    walks over all modules.
    """
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    drop_redirects()


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a store of four tiny voices of three versions, imported from true checkpoints. Read only."""
    from voxswap_server.demo.tiny import build_tiny_store

    root = tmp_path_factory.mktemp("store")
    voices = {"amber": ("v2", 1), "slate": ("v2", 2), "coral": ("v2Pro", 3), "onyx": ("v2ProPlus", 4)}
    build_tiny_store(root, voices)
    return root
