"""`voxswap doctor`: will it work here, and what to do if not."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from voxswap_server.cli.errors import told_plainly

COLOURS = {"good": "green", "note": "cyan", "warning": "yellow", "problem": "bold red"}


@told_plainly
def doctor(
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file. Default: voxswap.toml, if it is there.")
    ] = None,
    store: Annotated[Path | None, typer.Option(help="Root of the voices and of the shared networks.")] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Compare every byte of every voice with its manifest too; reads all of them.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Look device, threads, memory, store, networks, ports and security over, and say what to do.

    Exits with 1 when something will not work; with 0 when there are but warnings.
    """
    from voxswap_server.doctor import Severity, examine
    from voxswap_server.settings import load_settings

    settings = load_settings(config, **({"store": store} if store else {}))
    found = list(examine(settings, deep=deep))
    if as_json:
        fields = [
            {"check": check, "severity": one.severity, "what": one.what, "remedy": one.remedy} for check, one in found
        ]
        typer.echo(json.dumps(fields, indent=2))
    else:
        table = Table(box=None, show_header=False)
        for check, one in found:
            told = f"{one.what}\n→ {one.remedy}" if one.remedy else one.what
            table.add_row(check, Text(one.severity, COLOURS[one.severity]), Text(told))
        Console().print(table)
    if any(one.severity is Severity.PROBLEM for _, one in found):
        raise typer.Exit(1)
