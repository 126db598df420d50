"""`voxswap serve` and `voxswap check-config`."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from voxswap_server.cli.errors import told_plainly

Config = Annotated[
    Path | None, typer.Option("--config", help="Settings file. Default: voxswap.toml in this folder, if it is there.")
]


@told_plainly
def serve(
    config: Config = None,
    store: Annotated[Path | None, typer.Option(help="Root of the voices and of the shared networks.")] = None,
    address: Annotated[str | None, typer.Option(help="host:port or unix:path of gRPC; port 0 picks one.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    metrics_port: Annotated[int | None, typer.Option(help="HTTP port of /metrics; 0 picks one.")] = None,
    batching: Annotated[
        bool | None, typer.Option("--batching/--no-batching", help="Run rows of one voice's requests together.")
    ] = None,
) -> None:
    """Serve the voices of a store over gRPC until SIGTERM, then drain.

    Example: voxswap serve --store model_store --address 127.0.0.1:50051
    """
    from voxswap_server.app import serve as run
    from voxswap_server.settings import load_settings

    asyncio.run(run(load_settings(config, **_changes(store, address, device, metrics_port, batching))))


@told_plainly
def check_config(config: Config = None) -> None:
    """Check settings, environment and machine, and say what would be served.

    Exits with 2 when a setting is wrong; warnings alone exit with 0.
    """
    from voxswap_server.engine.device import open_device, usable_cores
    from voxswap_server.settings import load_settings, unknown_variables
    from voxswap_store.assets import asset_states
    from voxswap_store.catalogue import BrokenVoice, Catalogue

    settings = load_settings(config)
    device = open_device(settings.device)
    entries = Catalogue(settings.store).entries()
    present = {entry.voice_id for entry in entries}
    warnings = [
        *unknown_variables(),
        *(f"voice {one.voice_id} cannot be used: {one.problem}" for one in entries if isinstance(one, BrokenVoice)),
        *(
            f"voice {voice_id} is to be loaded at the start, but is not in the store"
            for voice_id in sorted({*settings.voices.prewarm, *settings.voices.pin} - present)
        ),
    ]
    if device.threads > usable_cores():
        warnings.append(f"device.threads is {device.threads} on {usable_cores()} cores: they would wait for each other")
    assets = (f"{state.spec.name}{'' if state.manifest else ' (missing)'}" for state in asset_states(settings.store))
    metrics = f"{settings.metrics.host}:{settings.metrics.port}" if settings.metrics.enabled else "off"
    typer.echo(f"device   {device.device}, {settings.device.precision}, {device.threads} threads")
    typer.echo(f"store    {len(entries)} voices")
    typer.echo(f"networks {', '.join(assets)}")
    typer.echo(f"grpc     {settings.rpc.address}")
    typer.echo(f"metrics  {metrics}")
    for warning in warnings:
        typer.secho(f"warning: {warning}", fg="yellow", err=True)
    typer.echo("the settings are good" if not warnings else f"the settings are good, with {len(warnings)} warnings")


def _changes(
    store: Path | None, address: str | None, device: str | None, metrics_port: int | None, batching: bool | None
) -> dict[str, Any]:
    """What was said on the command line, as sections of the settings."""
    said: dict[str, Any] = {
        "store": store,
        "rpc": _section("address", address),
        "device": _section("name", device),
        "metrics": _section("port", metrics_port),
        "scheduling": _section("batching", batching),
    }
    return {name: value for name, value in said.items() if value is not None}


def _section(key: str, value: object) -> dict[str, object] | None:
    return None if value is None else {key: value}
