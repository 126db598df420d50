"""Files of a voice: compared once, told of without their path."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from voxswap_server.engine import voice_files
from voxswap_server.engine.voice_files import VerifiedFiles, told


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were hashed."""
    names: list[str] = []

    def digest(file: Any, kind: str) -> Any:
        names.append(Path(file.name).name)
        return hashlib.file_digest(file, kind)

    class Hashlib:
        file_digest = staticmethod(digest)

    monkeypatch.setattr(voice_files, "hashlib", Hashlib)
    return names


def written(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def test_a_file_is_hashed_once(tmp_path: Path, hashed: list[str]) -> None:
    path, files = tmp_path / "part", VerifiedFiles()
    sha256 = written(path, b"weights")
    files.check(path, sha256)
    files.check(path, sha256)
    assert hashed == ["part"]


def test_a_file_that_changed_is_hashed_again(tmp_path: Path, hashed: list[str]) -> None:
    path, files = tmp_path / "part", VerifiedFiles()
    sha256 = written(path, b"weights")
    files.check(path, sha256)
    written(path, b"damaged")
    os.utime(path, ns=(1, 1))
    with pytest.raises(ValueError, match="not the file that the manifest describes"):
        files.check(path, sha256)
    assert hashed == ["part", "part"]


def test_a_file_that_was_refused_is_refused_again(tmp_path: Path) -> None:
    path, files = tmp_path / "part", VerifiedFiles()
    written(path, b"weights")
    for _ in range(2):
        with pytest.raises(ValueError, match="manifest"):
            files.check(path, "0" * 64)


def test_a_file_that_is_gone_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        VerifiedFiles().check(tmp_path / "gone", "0" * 64)


def test_no_path_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        (tmp_path / "gone").read_bytes()
    assert told(raised.value) == "No such file or directory"
    assert told(OSError()) == "it cannot be read"
    assert told(ValueError("truncated")) == "truncated"
