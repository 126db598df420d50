"""`voxswap serve` and `voxswap check-config`."""

import asyncio
from collections.abc import Mapping
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
    http_port: Annotated[
        int | None, typer.Option(help="Port of the HTTP gateway, which is off without; 0 picks one.")
    ] = None,
    batching: Annotated[
        bool | None, typer.Option("--batching/--no-batching", help="Run rows of one voice's requests together.")
    ] = None,
    keys: Annotated[Path | None, typer.Option(help="Keys file of `voxswap keys`; callers must show a key.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM chain of the server: gRPC and metrics speak TLS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM of its private key.")] = None,
    tls_client_ca: Annotated[Path | None, typer.Option(help="PEM: only clients that it signed may connect.")] = None,
    insecure_public: Annotated[
        bool | None, typer.Option("--insecure-public", help="Allow addresses that others can reach without TLS.")
    ] = None,
) -> None:
    """Serve the voices of a store over gRPC, and over HTTP if asked to, until SIGTERM, then drain.

    Example: voxswap serve --store model_store --address 127.0.0.1:50051
    """
    from voxswap_server.app import serve as run
    from voxswap_server.settings import load_settings

    said: dict[tuple[str, ...], object] = {
        ("store",): store,
        ("rpc", "address"): address,
        ("device", "name"): device,
        ("metrics", "port"): metrics_port,
        ("http", "port"): http_port,
        ("scheduling", "batching"): batching,
        ("security", "keys_file"): keys,
        ("security", "tls_certificate"): tls_cert,
        ("security", "tls_private_key"): tls_key,
        ("security", "tls_client_ca"): tls_client_ca,
        ("security", "insecure_public"): insecure_public,
    }
    asyncio.run(run(load_settings(config, **_sections(said))))


@told_plainly
def check_config(config: Config = None) -> None:
    """Check settings, environment and machine, and say what would be served.

    Exits with 2 when a setting is wrong; warnings alone exit with 0.
    """
    from voxswap_server.app import listening, secured
    from voxswap_server.auth import open_to_all
    from voxswap_server.engine.backends import describe as describe_t2s
    from voxswap_server.engine.backends import placed, strangers
    from voxswap_server.engine.conditioning import describe, problems
    from voxswap_server.engine.device import open_device, usable_cores
    from voxswap_server.settings import load_settings, unknown_variables
    from voxswap_store.assets import asset_states
    from voxswap_store.built_in import catalogue_of
    from voxswap_store.entries import BrokenVoice

    settings = load_settings(config)
    device = open_device(settings.device)
    authenticator = secured(settings)
    entries = catalogue_of(settings.store, built_in=settings.voices.built_in).entries()
    present = {entry.voice_id for entry in entries}
    warnings = [
        *unknown_variables(),
        *(f"voice {one.voice_id} cannot be used: {one.problem}" for one in entries if isinstance(one, BrokenVoice)),
        *(
            f"voice {voice_id} is to be loaded at the start, but is not in the store"
            for voice_id in sorted({*settings.voices.prewarm, *settings.voices.pin} - present)
        ),
        *strangers(settings.engine, present),
        *problems(settings.cache),
    ]
    warnings += [
        f"{what} is {address!r}: whoever reaches it may do everything; set security.keys_file or tls_client_ca"
        for what, address in listening(settings).items()
        if open_to_all(address, settings.security)
    ]
    if device.threads > usable_cores():
        warnings.append(f"device.threads is {device.threads} on {usable_cores()} cores: they would wait for each other")
    assets = (f"{state.spec.name}{'' if state.manifest else ' (missing)'}" for state in asset_states(settings.store))
    metrics = f"{settings.metrics.host}:{settings.metrics.port}" if settings.metrics.enabled else "off"
    typer.echo(f"device   {device.device}, {settings.device.precision}, {device.threads} threads")
    typer.echo(f"T2S      {describe_t2s(settings.engine, placed(device))}")
    typer.echo(f"store    {len(entries)} voices")
    typer.echo(f"networks {', '.join(assets)}")
    typer.echo(f"cache    {describe(settings.cache)}")
    typer.echo(f"grpc     {settings.rpc.address}")
    typer.echo(f"http     {'off' if settings.http.port is None else f'{settings.http.host}:{settings.http.port}'}")
    typer.echo(f"metrics  {metrics}")
    typer.echo(f"security {'TLS' if settings.security.tls else 'plain text'}, {authenticator.describe()}")
    for warning in warnings:
        typer.secho(f"warning: {warning}", fg="yellow", err=True)
    typer.echo("the settings are good" if not warnings else f"the settings are good, with {len(warnings)} warnings")


def _sections(said: Mapping[tuple[str, ...], object]) -> dict[str, Any]:
    """What was said on the command line, as sections of the settings."""
    sections: dict[str, Any] = {}
    for (name, *key), value in said.items():
        if value is not None and key:
            sections.setdefault(name, {})[key[0]] = value
        elif value is not None:
            sections[name] = value
    return sections
