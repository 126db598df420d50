"""Memory over long runs of this server.

    python -m bench.soak swaps --log swaps.jsonl --minutes 20        # again with the same log: counts add up
    python -m bench.soak text --log text.jsonl --minutes 30 --built-in
    python -m bench.soak report swaps.jsonl text.jsonl --to docs/benchmarks/soak.md

`swaps` brings voices into a memory that holds half of them, one after another; `text` feeds one live stream with text
that has no end. Resident memory is written down as the count grows; its slope says whether something leaks.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path

from bench.soak import work
from bench.soak.growth import RULE
from bench.soak.log import GOALS, UNITS, Log, Setting, read
from bench.soak.report import markdown, verdict
from bench.soak.subjects import Conditions, device_bytes, in_process, over_grpc
from voxswap_server.bench import machine
from voxswap_server.bench.voices import IDS, Workbench, require_size
from voxswap_server.logs import LogConfig, configure
from voxswap_store.built_in import packaged_voices, read_table
from voxswap_store.catalogue import Catalogue

_EVERY = {"swaps": 20.0, "text": 0.1}
_HELD = 0.5
"""Share of all voices' memory that the budget of `swaps` holds."""


def main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.kind == "report":
        soaks = [read([path]) for path in arguments.logs]
        page = markdown(soaks)
        print(page)
        if arguments.to:
            arguments.to.parent.mkdir(parents=True, exist_ok=True)
            arguments.to.write_text(page, "utf-8")
        return 0
    configure(LogConfig(level="WARNING"))
    with tempfile.TemporaryDirectory(prefix="voxswap-soak-") as folder:
        asyncio.run(_soak(arguments, Path(folder)))
    print(verdict(read([arguments.log])))
    print(RULE)
    return 0


async def _soak(arguments: argparse.Namespace, folder: Path) -> None:
    store, voices, told = _voices(arguments, folder)
    budget_bytes = 0
    if arguments.kind == "swaps":
        sizes = device_bytes(store, arguments.threads)
        budget_bytes = max(int(_HELD * sum(sizes[one] for one in voices)), *(sizes[one] for one in voices))
        told += f", budget {budget_bytes / 2**20:.0f} MiB, a sentence every {arguments.speak_every} swaps"
    setting = Setting(arguments.kind, arguments.transport, told, arguments.threads)
    where = machine.description(arguments.threads)
    began = datetime.now(UTC).isoformat(timespec="seconds")
    log = Log.begin(arguments.log, setting, began, f"{where['machine']}; {where['software']}")
    try:
        conditions = Conditions(store, arguments.threads, budget_bytes, arguments.built_in)
        async with _subject(arguments.transport, conditions, folder) as subject:
            every = arguments.every or _EVERY[arguments.kind]
            bounds = work.Bounds(arguments.minutes, arguments.count or GOALS[arguments.kind], every)
            if arguments.kind == "swaps":
                await work.swaps(subject, voices, work.Meter(subject, bounds, log.add), arguments.speak_every)
            else:
                await work.text(subject, voices[0], work.Meter(subject, bounds, log.add))
    finally:
        log.close()


def _subject(transport: str, conditions: Conditions, folder: Path) -> AbstractAsyncContextManager[work.Subject]:
    return in_process(conditions) if transport == "engine" else over_grpc(conditions, folder)


def _voices(arguments: argparse.Namespace, folder: Path) -> tuple[Path, Sequence[str], str]:
    """The store, the voices of it, and what they are in words."""
    if arguments.built_in:
        voices = arguments.voices or [voice.id for voice in read_table(_packaged()).voices]
        return folder / "store", voices, f"built-in voice {voices[0]}"
    if arguments.store:
        voices = arguments.voices or Catalogue(arguments.store).ids()
        return arguments.store, voices, f"{len(voices)} voices of a store"
    store = Workbench(folder, require_size(arguments.size)).store(len(IDS))
    return store, arguments.voices or IDS, f"{len(IDS)} seeded {arguments.size} v2 voices"


def _packaged() -> Path:
    folder = packaged_voices()
    if folder is None:
        raise SystemExit("this installation has no built-in voices")
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind, unit in UNITS.items():
        one = kinds.add_parser(kind)
        one.add_argument("--log", type=Path, required=True, help="JSON lines are appended to it")
        one.add_argument("--minutes", type=float, default=10.0, help="of this run, by the clock (default: %(default)s)")
        one.add_argument("--count", type=float, help=f"{unit} of this run at most (default: {GOALS[kind]:,.0f})")
        one.add_argument("--every", type=float, help=f"{unit} between two samples (default: {_EVERY[kind]})")
        one.add_argument("--transport", choices=("engine", "grpc"), default="engine", help="default: %(default)s")
        one.add_argument("--size", default="small", help="of the seeded voices: small or full")
        given = one.add_mutually_exclusive_group()
        given.add_argument("--store", type=Path, help="take the voices of this store instead")
        if kind == "text":  # they share their weights, so that none would push out another
            given.add_argument("--built-in", action="store_true", help="take a voice that comes with voxswap instead")
        one.add_argument("--voices", nargs="+", help="only these of them")
        one.add_argument("--threads", type=int, default=1, help="of the networks")
        if kind == "swaps":
            one.add_argument("--speak-every", type=int, default=10, help="swaps between two sentences")
            one.set_defaults(built_in=False)
    report = kinds.add_parser("report", help="one page from logs, each of one soak")
    report.add_argument("logs", type=Path, nargs="+")
    report.add_argument("--to", type=Path, help="also write it to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
