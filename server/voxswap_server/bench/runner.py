"""Runs measurements one after another, on the same machine and within the same minutes.

Knows nothing of what they measure, of terminals or of files other than its scratch folder.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from voxswap_server.bench import bandwidth, decoder, lora, machine, speech, swap, t2s, text
from voxswap_server.bench.options import Options
from voxswap_server.bench.report import Report, Row
from voxswap_server.bench.threads import torch_threads
from voxswap_server.bench.voices import Workbench
from voxswap_server.errors import RequestError

Measure = Callable[[Options, Workbench], Iterator[Row]]

MEASURES: Final[Mapping[str, Measure]] = {
    "text": text.measure,
    "t2s": t2s.measure,
    "bandwidth": bandwidth.measure,
    "decoder": decoder.measure,
    "lora": lora.measure,
    "swap": swap.measure,
    "requests": speech.measure,
}
"""In the order in which they run: text first, while none of its resources is loaded."""
TITLES: Final[Mapping[str, str]] = {
    "text": text.TITLE,
    "t2s": t2s.TITLE,
    "bandwidth": bandwidth.TITLE,
    "decoder": decoder.TITLE,
    "lora": lora.TITLE,
    "swap": swap.TITLE,
    "requests": speech.TITLE,
}


def run(
    options: Options,
    only: Sequence[str] = (),
    *,
    begins: Callable[[str], None] = lambda _name: None,
) -> Report:
    """Measures.

    Args:
        options: how long and how large.
        only: names of measures; () is all.
        begins: told the name of each measure before it runs.

    Raises:
        RequestError: a name is unknown; the message lists the choices.
    """
    names = chosen(only)
    conditions = machine.description(options.threads)
    pace = "quick" if options.quick else "whole"
    conditions["run"] = f"{pace}, {options.rounds} interleaved rounds, seeded {options.size} v2 voices"
    if options.cpu_time:
        conditions["seconds"] = (
            "of processors, in t2s, decoder, lora and swap; others by the clock on the wall, unless they say otherwise"
        )
    before, rows = machine.load(), []
    with torch_threads(options.threads), tempfile.TemporaryDirectory(prefix="voxswap-bench-") as folder:
        bench = Workbench(Path(folder), options.size)
        for name in names:
            begins(name)
            rows += list(MEASURES[name](options, bench))
    conditions["load average"] = f"{before} before, {machine.load()} after"
    return Report(conditions, tuple(rows))


def chosen(only: Sequence[str]) -> tuple[str, ...]:
    """The measures of these names, in the order in which they run."""
    if unknown := [name for name in only if name not in MEASURES]:
        raise RequestError(f"there is no measure {unknown[0]!r}; choices: {', '.join(MEASURES)}")
    return tuple(name for name in MEASURES if not only or name in only)
