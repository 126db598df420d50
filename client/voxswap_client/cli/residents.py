"""`voxswap residents …`: which voices are in the server's memory."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.table import Table

from voxswap_client.cli.connecting import HERE, Server
from voxswap_client.cli.session import Json, VoiceId, plain_console, refuse_early_options, show, to_json, told_plainly
from voxswap_client.residency import CacheStats, Resident, ResidentEvent

residents = typer.Typer(help="Voices in the server's memory: list, watch, load, unload, pin, unpin, stats.")


@residents.callback(invoke_without_command=True)
@told_plainly
def _default(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Then tell every change, until Ctrl-C.")] = False,
    as_json: Json = False,
    server: Server = HERE,
) -> None:
    """List the voices in memory, or do something with one."""
    if context.invoked_subcommand is not None:
        refuse_early_options(context)
    else:
        _list(watch=watch, as_json=as_json, server=server)


@told_plainly
def _list(*, watch: bool, as_json: bool, server: Server) -> None:
    with server.client() as client:
        if not watch:
            show(client.list_residents(), as_json=as_json, otherwise=_table)
            return
        try:
            # Watched before listed, so that no change falls between the two.
            with client.watch_residents() as events:
                show(client.list_residents(), as_json=as_json, otherwise=_table)
                for event in events:
                    typer.echo(to_json(event, indent=None) if as_json else _line(event))
        except KeyboardInterrupt:
            return  # the only way to end, so not a failure


@residents.command("load")
@told_plainly
def load(voice: VoiceId, as_json: Json = False, server: Server = HERE) -> None:
    """Make a voice resident, and wait until it is."""
    with server.client() as client, plain_console(stderr=True).status(f"loading {voice}"):
        loaded = client.load_voice(voice)
    show((loaded,), as_json=as_json, otherwise=_table)


@residents.command("unload")
@told_plainly
def unload(
    voice: VoiceId,
    wait: Annotated[bool, typer.Option("--wait", help="Until its memory is free.")] = False,
    server: Server = HERE,
) -> None:
    """Free a voice; what it is saying now it still says."""
    with server.client() as client:
        client.unload_voice(voice, wait=wait)
    typer.echo(f"unloaded {voice}" if wait else f"unloading {voice}")


@residents.command("pin")
@told_plainly
def pin(voice: VoiceId, as_json: Json = False, server: Server = HERE) -> None:
    """Make a voice resident and keep it from eviction."""
    with server.client() as client:
        pinned = client.pin_voice(voice)
    show((pinned,), as_json=as_json, otherwise=_table)


@residents.command("unpin")
@told_plainly
def unpin(voice: VoiceId, as_json: Json = False, server: Server = HERE) -> None:
    """Let a pinned voice be evicted again."""
    with server.client() as client:
        unpinned = client.unpin_voice(voice)
    show((unpinned,), as_json=as_json, otherwise=_table)


@residents.command("stats")
@told_plainly
def stats(as_json: Json = False, server: Server = HERE) -> None:
    """Show levels and counters of the server's caches."""
    with server.client() as client:
        found = client.cache_stats()
    show(found, as_json=as_json, otherwise=_levels)


def _table(found: Sequence[Resident]) -> Table | str:
    if not found:
        return "no voices in memory"
    table = Table("voice", "tier", "state", "own", "shared", "leases", "idle", "loads", "load", box=None)
    table.columns[0].overflow = "fold"
    for resident in found:
        table.add_row(
            resident.voice_id,
            resident.tier,
            "pinned" if resident.pinned and resident.state == "resident" else resident.state,
            decimal(resident.bytes_own),
            decimal(resident.bytes_shared),
            str(resident.leases),
            f"{resident.idle_ms / 1000:.1f} s",
            str(resident.loads),
            f"{resident.load_ms:.0f} ms",
        )
    return table


def _line(event: ResidentEvent) -> str:
    reason = f" ({event.reason})" if event.reason else ""
    return (
        f"{event.at.astimezone():%H:%M:%S} {event.kind} {event.voice_id}{reason}: "
        f"{event.tier}, {decimal(event.bytes)}, {event.duration_ms:.0f} ms"
    )


def _levels(found: CacheStats) -> Table:
    table = Table("", "", box=None, show_header=False)
    for tier in found.tiers:
        used = f"{decimal(tier.bytes_used)} of {decimal(tier.bytes_budget)}"
        table.add_row(tier.tier, f"{used}, {tier.residents} voices")
    for lookups in found.lookups:
        table.add_row(f"cache of {lookups.cache}", f"{lookups.hits} hits, {lookups.misses} misses")
    table.add_row("loads", f"{found.loads}, {found.load_failures} failed")
    evictions = ", ".join(f"{count} {reason}" for reason, count in sorted(found.evictions.items()))
    table.add_row("evictions", evictions or "none")
    return table
