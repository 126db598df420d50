"""`voxswap parity`."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from voxswap_server.cli.errors import told_plainly


@told_plainly
def parity(
    goldens: Annotated[Path, typer.Argument(help="Directory of golden cases: VERSION/cases, shared, …")],
    versions: Annotated[str, typer.Option(help="Versions, separated by commas. Default: all that have cases.")] = "",
    cases: Annotated[str, typer.Option(help="Patterns of case names (en_*, v2/zh_*), separated by commas.")] = "",
    backend: Annotated[
        str, typer.Option(help="Computes the semantic tokens: auto (what a server on this CPU takes), native or torch.")
    ] = "auto",
    work: Annotated[
        Path | None, typer.Option(help="Keep rebuilt checkpoints here for the next run. Default: a folder that goes.")
    ] = None,
) -> None:
    """Replay golden cases on our networks and compare every stage with what upstream computed.

    Checkpoints are rebuilt from the manifests in upstream's formats and go through the importer. Exits with 1 when a
    stage is out of bounds: phones and tokens equal, tensors within 1e-4 of the stage's peak, int16 samples within 2.
    What is excused, and why, stands in docs/FIDELITY.md.

    Example: voxswap parity path/to/goldens --versions v2,v2Pro --cases "en_*"
    """
    from voxswap_server.nn.t2s_backends import require_backend
    from voxswap_server.parity import report, run

    rows = []
    typer.echo(report.header())
    with _directory(work) as directory:
        for row in run(
            goldens, directory, versions=_list(versions), cases=_list(cases), t2s_backend=require_backend(backend)
        ):
            rows.append(row)
            typer.echo(report.line(row))
    typer.echo("")
    for line in report.summary(rows):
        typer.echo(line)
    if not report.passed(rows):
        raise typer.Exit(1)


@contextmanager
def _directory(work: Path | None) -> Iterator[Path]:
    if work is not None:
        yield work
        return
    with tempfile.TemporaryDirectory(prefix="voxswap-parity-") as directory:
        yield Path(directory)


def _list(words: str) -> list[str] | None:
    return [word.strip() for word in words.split(",") if word.strip()] or None
