"""A peer in a process and an environment of its own, asked by lines of JSON.

Knows nothing of what is asked. What the peer prints for people goes to its log.
"""

import json
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class PeerFailed(RuntimeError):
    """The peer could not do what it was asked; the message says what it said."""


class Peer:
    """A worker script, run by the Python of the peer's environment.

    Args:
        python: of the environment.
        script: speaks the protocol: one JSON object a line in, one out.
        folder: its working directory and the place of its log.
        threads: for its networks.
    """

    def __init__(self, python: Path, script: Path, folder: Path, threads: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "peer.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(python), str(script.resolve())],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={"OMP_NUM_THREADS": str(threads), "PATH": str(python.parent), "HF_HUB_OFFLINE": "1"},
            )

    def ask(self, work: str, **given: Any) -> dict[str, Any]:
        """Waits for the answer.

        Raises:
            PeerFailed: it ended or answered with an error.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise PeerFailed("the peer has no pipes")
        try:
            self._process.stdin.write(json.dumps({"work": work, **given}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PeerFailed(self._last_words()) from None
        line = self._process.stdout.readline()
        if not line:
            raise PeerFailed(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerFailed(f"{work}: {answer['error']}")
        return answer

    def close(self) -> None:
        """Lets it end by itself."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait(timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._process.kill()
        self.close()

    def _last_words(self) -> str:
        said = self._log.read_text("utf-8", "replace").strip().splitlines()
        return f"the peer ended: {said[-1] if said else 'it said nothing'}"
