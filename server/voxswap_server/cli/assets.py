"""`voxswap assets`: the networks that all voices share."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from voxswap_server.cli.errors import told_plainly
from voxswap_server.cli.storing import Store, bars, root_of

assets = typer.Typer(no_args_is_help=True, help="The networks that all voices share: list, import, fetch, verify.")


@assets.command("list")
@told_plainly
def list_(store: Store = None) -> None:
    """List the shared networks: what each is needed for, and whether it is installed.

    Example: voxswap assets list
    """
    from voxswap_store.assets import asset_states

    table = Table("name", "network", "needed for", "state")
    for state in asset_states(root_of(store)):
        installed = f"{state.bytes_total / 1e6:.1f} MB"
        told = installed if state.manifest else state.problem or f"missing ({state.spec.usual_place})"
        table.add_row(state.spec.name, state.spec.title, state.spec.needed_for, told)
    Console().print(table)


@assets.command("import")
@told_plainly
def import_(
    directory: Annotated[Path, typer.Argument(help="Folder that holds them, such as GPT_SoVITS/pretrained_models.")],
    only: Annotated[list[str] | None, typer.Option(help="Name of one to import; may be given several times.")] = None,
    store: Store = None,
) -> None:
    """Convert the shared networks of a GPT-SoVITS installation, or SpeechBrain's speaker encoder.

    They are recognised by what their files say of themselves; pickles are taken apart in a walled-off process. What is
    installed already is replaced.

    Example: voxswap assets import ~/GPT-SoVITS/GPT_SoVITS/pretrained_models
    """
    from voxswap_store.asset_importer import import_assets

    with bars("assets") as progress:
        installed = import_assets(directory, root_of(store), only=tuple(only or ()), progress=progress)
    for state in installed:
        typer.echo(f"imported {state.spec.name}: {state.spec.title}, {state.bytes_total / 1e6:.1f} MB")


@assets.command("fetch")
@told_plainly
def fetch(
    name: Annotated[str, typer.Argument(help="Name of the network; only ecapa is published in a form that we import.")],
    hub: Annotated[
        str | None, typer.Option(help="Its name on the Hugging Face Hub. Default: as the server's settings have it.")
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="URL of a mirror of the Hub.")] = None,
    store: Store = None,
) -> None:
    """Download a shared network and convert it; what is installed already is replaced.

    Example: voxswap assets fetch ecapa
    """
    from voxswap_server.settings import load_settings
    from voxswap_store.hub import fetch_asset

    wanted = hub or load_settings().speakers.hub
    with bars("assets") as progress:
        state = fetch_asset(name, wanted, root_of(store), endpoint=endpoint, progress=progress)
    typer.echo(f"imported {state.spec.name} of {wanted}: {state.spec.title}, {state.bytes_total / 1e6:.1f} MB")


@assets.command("verify")
@told_plainly
def verify(store: Store = None) -> None:
    """Compare every byte of the installed networks with what was written when they were imported.

    Example: voxswap assets verify
    """
    from voxswap_server.errors import AssetMissing
    from voxswap_store.assets import asset_states, verify_asset

    root, damaged = root_of(store), False
    for state in asset_states(root):
        if state.manifest is None and not state.problem:
            continue
        try:
            verify_asset(root, state.spec.name)
            typer.echo(f"{state.spec.name}: good")
        except AssetMissing as error:
            damaged = True
            typer.secho(f"{state.spec.name}: {error}", fg="red", err=True)
    if damaged:
        raise typer.Exit(2)
