"""Draws a moment of a server as text. Knows nothing of where it comes from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from voxswap_client.residency import CacheStats, Resident, ResidentEvent
from voxswap_client.top.numbers import Numbers

STATES = {"loading": "yellow", "resident": "green", "draining": "red"}
KINDS = {"loaded": "green", "evicted": "yellow", "load_failed": "bold red"}


@dataclass(frozen=True, slots=True)
class Moment:
    """Everything that is shown at once."""

    address: str
    serving: bool
    residents: Sequence[Resident]
    stats: CacheStats
    numbers: Numbers | None
    """None where the metrics cannot be read."""
    problem: str = ""
    """Why they cannot."""
    events: Sequence[ResidentEvent] = field(default=())
    """Oldest first."""


def drawn(moment: Moment) -> RenderableType:
    """The whole screen."""
    return Group(
        _head(moment), _figures(moment), _tiers(moment.stats), _residents(moment.residents), _events(moment.events)
    )


def _head(moment: Moment) -> Text:
    state = ("serving", "bold green") if moment.serving else ("not serving", "bold red")
    return Text.assemble(("voxswap ", "bold"), moment.address, "  ", state)


def _figures(moment: Moment) -> RenderableType:
    numbers = moment.numbers
    if numbers is None:
        return Text(moment.problem or "waiting for the second reading of the metrics", style="yellow")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row(
        f"running {numbers.running}",
        f"queue {numbers.waiting}",
        f"live {numbers.live_streams}",
        f"requests {numbers.requests_per_s:.1f}/s",
        f"faults {numbers.faults_per_s:.1f}/s",
        f"refused {numbers.refused_per_s:.1f}/s",
    )
    table.add_row(
        f"TTFA p50 {_time(numbers.first_audio_p50_s)}",
        f"p95 {_time(numbers.first_audio_p95_s)}",
        f"RTF p95 {_plain(numbers.real_time_factor_p95)}",
        f"speech {numbers.audio_per_s:.1f} s/s",
        f"swaps {numbers.swaps_per_s:.1f}/s",
        f"since start {numbers.swaps}",
    )
    return table


def _tiers(stats: CacheStats) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for tier in stats.tiers:
        used = f"{decimal(tier.bytes_used)} of {decimal(tier.bytes_budget)}"
        bar = ProgressBar(total=max(tier.bytes_budget, 1), completed=tier.bytes_used, width=30)
        table.add_row(tier.tier, bar, used, f"{tier.residents} voices")
    return table


def _residents(found: Sequence[Resident]) -> RenderableType:
    if not found:
        return Panel("no voices in memory", title="residents", title_align="left")
    table = Table("voice", "tier", "state", "bytes", "leases", "idle", "loads", box=None, expand=True)
    for one in sorted(found, key=lambda resident: (-resident.leases, resident.idle_ms)):
        pin = " (pinned)" if one.pinned else ""
        table.add_row(
            Text(one.voice_id + pin),
            one.tier,
            Text(one.state, STATES.get(one.state, "")),
            decimal(one.bytes_own + one.bytes_shared),
            str(one.leases) if one.leases else "",
            f"{one.idle_ms / 1000:.0f} s" if not one.leases else "",
            str(one.loads),
        )
    return Panel(table, title="residents", title_align="left")


def _events(events: Sequence[ResidentEvent]) -> RenderableType:
    lines = [
        Text.assemble(
            f"{event.at.astimezone():%H:%M:%S} ",
            (event.kind, KINDS.get(event.kind, "")),
            f" {event.voice_id}",
            f" ({event.reason})" if event.reason else "",
            f" {event.duration_ms:.0f} ms" if event.duration_ms else "",
        )
        for event in reversed(events)
    ]
    return Panel(Group(*lines) if lines else "nothing yet", title="changes", title_align="left")


def _time(seconds: float) -> str:
    if math.isnan(seconds):
        return "–"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _plain(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"
