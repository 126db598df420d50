"""The table of residents in a terminal of the usual width."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from voxswap_client.cli.residents import _table
from voxswap_client.residency import Resident

BUSY = Resident(
    voice_id="narrator",
    tier="device",
    state="resident",
    bytes_own=1_700,
    bytes_shared=132_300_000,
    leases=12,
    pinned=False,
    model_generation=3,
    idle_ms=14_500,
    loads=11,
    load_ms=32_822,
)


@pytest.mark.parametrize("state", ["resident", "draining", "loading"])
def test_nothing_of_it_is_cut_off(state):
    shown = Console(file=StringIO(), width=80)
    shown.print(_table([replace(BUSY, state=state)]))
    heads, row = shown.file.getvalue().splitlines()
    assert heads.split() == ["voice", "tier", "state", "own", "shared", "leases", "idle", "loads", "load"]
    assert row.split() == [
        "narrator",
        "device",
        state,
        "1.7",
        "kB",
        "132.3",
        "MB",
        "12",
        "14.5",
        "s",
        "11",
        "32822",
        "ms",
    ]
