"""Where spoken audio goes: a file, standard output, a player.

Knows nothing of how it is made.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, Protocol, cast

from voxswap_client.headers import complete_header
from voxswap_client.speech import AudioEncoding

SUFFIXES: Mapping[str, AudioEncoding] = {
    ".wav": AudioEncoding.WAV,
    ".flac": AudioEncoding.FLAC,
    ".ogg": AudioEncoding.OGG_OPUS,
    ".opus": AudioEncoding.OGG_OPUS,
    ".mp3": AudioEncoding.MP3,
    ".pcm": AudioEncoding.PCM_S16,
    ".raw": AudioEncoding.PCM_S16,
    ".f32": AudioEncoding.PCM_F32,
    ".ulaw": AudioEncoding.MULAW,
    ".alaw": AudioEncoding.ALAW,
    ".aac": AudioEncoding.AAC,
}

PLAYERS: Sequence[tuple[str, ...]] = (
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error", "-i", "-"),
    ("mpv", "--no-terminal", "--no-video", "-"),
    ("aplay", "--quiet", "-"),
    ("play", "-q", "-t", "wav", "-"),
)
"""Commands that play a WAV stream from their input; the first that is installed is used."""


class Output(Protocol):
    """Takes the audio as it comes."""

    def write(self, data: bytes) -> None: ...

    def finish(self, samples: int) -> None:
        """All audio has come; it stands for this many samples. Without this call it was not all."""
        ...


class Nowhere(OSError):
    """There is no device to play on."""


def encoding_of(path: Path) -> AudioEncoding:
    """By the suffix.

    Raises:
        OSError: it is none that we know.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OSError(f"cannot tell the encoding from {path.name!r}; give --encoding, or one of {', '.join(SUFFIXES)}")
    return SUFFIXES[path.suffix.lower()]


def find_player(which: Callable[[str], str | None] = shutil.which) -> tuple[str, ...]:
    """The first player that is installed.

    Raises:
        Nowhere: none is.
    """
    for player in PLAYERS:
        if found := which(player[0]):
            return (found, *player[1:])
    names = ", ".join(player[0] for player in PLAYERS)
    raise Nowhere(f"no player is installed ({names}); write a file with -o out.wav, or to a pipe with -o -")


@contextmanager
def to_file(path: Path, encoding: AudioEncoding) -> Iterator[Output]:
    """A file that appears under its name only when it is complete, with exact lengths in its header."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("x+b") as file:
            output = _File(file, encoding)
            yield output
        if output.complete:
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def to_stdout() -> Iterator[Output]:
    """Standard output, each piece at once."""
    yield _Pipe(sys.stdout.buffer)


@contextmanager
def to_player(command: Sequence[str]) -> Iterator[Output]:
    """A player. Waits until it has played.

    Raises:
        Nowhere: it gave up.
    """
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=complaints) as player,  # noqa: S603 - our table
    ):
        pipe = cast("IO[bytes]", player.stdin)
        try:
            yield _Pipe(pipe)
        except BrokenPipeError:
            closed = True
        except BaseException:
            player.kill()
            raise
        else:
            closed = False
        finally:
            with suppress(BrokenPipeError):
                pipe.close()
        player.wait()
        complaints.seek(0)
        said = complaints.read().decode(errors="replace").strip()
    if player.returncode or closed:
        raise Nowhere(f"{Path(command[0]).name} could not play to the end: {said or f'exit code {player.returncode}'}")


class _Pipe:
    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe

    def write(self, data: bytes) -> None:
        self._pipe.write(data)
        self._pipe.flush()

    def finish(self, samples: int) -> None:
        """A pipe has no header to go back to."""


class _File:
    def __init__(self, file: BinaryIO, encoding: AudioEncoding) -> None:
        self._file = file
        self._encoding = encoding
        self.complete = False

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def finish(self, samples: int) -> None:
        complete_header(self._file, self._encoding, samples)
        self.complete = True
