"""`voxswap assets`: the networks that all voices share."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from voxswap_server.cli.errors import told_plainly
from voxswap_server.cli.storing import Store, bars, root_of
from voxswap_server.errors import RequestError

_UNKNOWN = "–"

assets = typer.Typer(no_args_is_help=True, help="The networks that all voices share: list, import, fetch, verify.")


@assets.command("list")
@told_plainly
def list_(store: Store = None) -> None:
    """List the shared networks: what each is needed for, where it is or could come from, its size and its sha256.

    Of what is not installed, size and sha256 are those of the published file, where they are known.

    Example: voxswap assets list
    """
    from voxswap_store.assets import asset_states
    from voxswap_store.hub_sources import SOURCES

    root = root_of(store)
    table = Table("name", "network", "needed for", "state", "size", "sha256 of its source", "hub")
    for state in asset_states(root):
        spec, manifest, source = state.spec, state.manifest, SOURCES.get(state.spec.name)
        published = source.weights if source else None
        told = f"assets/{spec.name}" if manifest else state.problem or f"missing ({spec.usual_place})"
        size_bytes = state.bytes_total or (published.size_bytes if published else None)
        size = f"{size_bytes / 1e6:.1f} MB" if size_bytes else _UNKNOWN
        sha256 = manifest.source_sha256 if manifest else published.sha256 if published else None
        known = sha256[:12] if sha256 else _UNKNOWN
        hub = source.repository if source else _UNKNOWN
        table.add_row(spec.name, spec.title, spec.needed_for, told, size, known, hub)
    Console().print(table)


@assets.command("import")
@told_plainly
def import_(
    directory: Annotated[Path, typer.Argument(help="Folder that holds them, such as GPT_SoVITS/pretrained_models.")],
    only: Annotated[list[str] | None, typer.Option(help="Name of one to import; may be given several times.")] = None,
    store: Store = None,
) -> None:
    """Convert the shared networks of a GPT-SoVITS installation, or SpeechBrain's speaker encoder.

    They are recognised by what their files say of themselves; pickles are taken apart in a walled-off process. g2pW is
    a folder (text/G2PWModel) or the zip that it is published as. What is installed already is replaced.

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
    names: Annotated[
        list[str] | None, typer.Argument(help="Names of networks, as `voxswap assets list` tells.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every network that is not installed yet.")] = False,
    hub: Annotated[
        str | None, typer.Option(help="Repository of the Hugging Face Hub, for one network that you have elsewhere.")
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="URL of a mirror of the Hub.")] = None,
    store: Store = None,
) -> None:
    """Download shared networks from the Hugging Face Hub and convert them.

    What breaks off goes on where it stopped when the command is given again. A network that is named is replaced where
    it is installed already.

    Examples: voxswap assets fetch hubert bert

      voxswap assets fetch --all
    """
    from voxswap_server.settings import load_settings
    from voxswap_store.assets import asset_states
    from voxswap_store.hub import fetch_asset
    from voxswap_store.hub_sources import source_of

    if all_ == bool(names):
        raise RequestError("give names of networks, or --all")
    if hub is not None and len(names or ()) != 1:
        raise RequestError("--hub goes with the name of one network")
    root = root_of(store)
    lacking = [state.spec.name for state in asset_states(root) if not (state.manifest or state.spec.built_in)]
    repositories = {name: source_of(name).repository for name in names or lacking}
    if "ecapa" in repositories and hub is None:
        repositories["ecapa"] = load_settings().speakers.hub
    for name, repository in repositories.items():
        wanted = hub or repository
        with bars(name) as progress:
            state = fetch_asset(name, wanted, root, endpoint=endpoint, progress=progress)
        typer.echo(f"imported {name} of {wanted}: {state.spec.title}, {state.bytes_total / 1e6:.1f} MB")
    if not repositories:
        typer.echo("every shared network is installed already")


@assets.command("verify")
@told_plainly
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Names of networks; none: all that are installed.")] = None,
    store: Store = None,
) -> None:
    """Compare every byte of the installed networks with what was written when they were imported.

    A network that is named and not installed is an error.

    Example: voxswap assets verify
    """
    from voxswap_server.errors import AssetMissing
    from voxswap_store.assets import asset_states, verify_asset

    root, damaged = root_of(store), False
    found = names or [state.spec.name for state in asset_states(root) if state.manifest or state.problem]
    for name in found:
        try:
            verify_asset(root, name)
            typer.echo(f"{name}: good")
        except AssetMissing as error:
            damaged = True
            typer.secho(f"{name}: {error}", fg="red", err=True)
    if not found:
        typer.echo("no shared network is installed")
    if damaged:
        raise typer.Exit(2)
