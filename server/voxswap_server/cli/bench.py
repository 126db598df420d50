"""`voxswap bench`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voxswap_server.cli.errors import told_plainly

if TYPE_CHECKING:
    from voxswap_server.bench.report import Report

_ROUNDS, _QUICK_ROUNDS = 7, 2
_MEASURES = "text, t2s, bandwidth, decoder, lora, swap, requests"


@told_plainly
def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Under a minute: tiny voices, few rounds.")] = False,
    only: Annotated[str, typer.Option(help=f"Measures, separated by commas: {_MEASURES}.")] = "",
    size: Annotated[str, typer.Option(help="Of the seeded voices: small or full. Default: full; quick: small.")] = "",
    rounds: Annotated[int, typer.Option(min=0, help=f"0: {_ROUNDS}, or {_QUICK_ROUNDS} if quick.")] = 0,
    threads: Annotated[int, typer.Option(min=0, help="Of one network call. 0: one for each core.")] = 0,
    cpu_time: Annotated[
        bool, typer.Option("--cpu-time", help="Processor seconds of t2s, decoder, lora and swap: for busy machines.")
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the report as Markdown and JSON.")] = False,
    to: Annotated[Path, typer.Option(help="Where --write puts it.")] = Path("docs/benchmarks"),
) -> None:
    """Measure speed on this machine: front-end, T2S, decoder, swapping, whole requests.

    Voices are made from a seed, so nothing has to be there. Each number that is compared has its reference measured in
    the same rounds; see docs/BENCHMARKS.md for what the rows mean.

    Example: voxswap bench --quick --size full --only t2s,decoder
    """
    from voxswap_server.bench.options import Options
    from voxswap_server.bench.runner import run
    from voxswap_server.bench.voices import require_size
    from voxswap_server.engine.device import usable_cores
    from voxswap_server.logs import LogConfig, configure

    configure(LogConfig(level="WARNING"))
    options = Options(
        size=require_size(size or ("small" if quick else "full")),
        quick=quick,
        rounds=rounds or (_QUICK_ROUNDS if quick else _ROUNDS),
        threads=threads or usable_cores(),
        cpu_time=cpu_time,
    )
    names = [name.strip() for name in only.split(",") if name.strip()]
    report = run(options, names, begins=lambda name: typer.echo(f"measuring {name} …", err=True))
    _print(report)
    if write:
        for path in _written(report, to, f"{options.size}{'-quick' if quick else ''}"):
            typer.echo(f"wrote {path}")


def _print(report: "Report") -> None:
    from rich.console import Console
    from rich.table import Table

    from voxswap_server.bench.report import HEADINGS, LEGEND
    from voxswap_server.bench.runner import TITLES

    console = Console()
    for name, value in report.conditions.items():
        console.print(f"{name}: {value}", highlight=False)
    for measure in report.measures:
        table = Table(*HEADINGS, title=TITLES[measure], title_justify="left")
        for row in report.of(measure):
            table.add_row(*row.cells())
        console.print(table)
    console.print(LEGEND, highlight=False)


def _written(report: "Report", folder: Path, name: str) -> tuple[Path, Path]:
    from voxswap_server.bench.report import as_json, markdown
    from voxswap_server.bench.runner import TITLES

    folder.mkdir(parents=True, exist_ok=True)
    page, data = folder / f"{name}.md", folder / f"{name}.json"
    page.write_text(markdown(report, TITLES), encoding="utf-8")
    data.write_text(as_json(report), encoding="utf-8")
    return page, data
