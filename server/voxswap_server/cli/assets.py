"""`voxswap assets`: the networks that all voices share."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from voxswap_server.cli.errors import told_plainly
from voxswap_server.cli.storing import Store, bars, root_of
from voxswap_server.errors import RequestError

assets = typer.Typer(no_args_is_help=True, help="The networks that all voices share: list, import, fetch, verify.")


@assets.command("list")
@told_plainly
def list_(store: Store = None) -> None:
    """List the shared networks: what each is needed for, where it is or could come from, its size and its sha256.

    Example: voxswap assets list
    """
    from voxswap_store import g2pw
    from voxswap_store.assets import asset_states
    from voxswap_store.hub_sources import SOURCES

    root = root_of(store)
    table = Table("name", "network", "needed for", "state", "size", "sha256 of its source", "hub")
    for state in asset_states(root):
        spec, manifest = state.spec, state.manifest
        told = f"assets/{spec.name}" if manifest else state.problem or f"missing ({spec.usual_place})"
        size = f"{state.bytes_total / 1e6:.1f} MB" if manifest else ""
        source = SOURCES.get(spec.name)
        known = manifest.source_sha256[:12] if manifest else ""
        table.add_row(spec.name, spec.title, spec.needed_for, told, size, known, source.repository if source else "")
    held = g2pw.installed_bytes(root)
    told, size = ("assets/g2pw", f"{held / 1e6:.1f} MB") if held else (f"missing ({g2pw.USUAL_PLACE})", "")
    table.add_row("g2pw", g2pw.TITLE, g2pw.NEEDED_FOR, told, size, "", "")
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
    from voxswap_store import g2pw
    from voxswap_store.asset_importer import find_assets, import_assets

    root, wanted = root_of(store), tuple(name for name in only or () if name != "g2pw")
    readings = g2pw.find_g2pw(directory) if directory.is_dir() and (not only or "g2pw" in only) else None
    if readings is not None:
        g2pw.install_g2pw(readings, root)
        typer.echo(f"imported g2pw: {g2pw.TITLE}, {(g2pw.installed_bytes(root) or 0) / 1e6:.1f} MB")
    elif only and "g2pw" in only:
        raise RequestError(f"the folder does not hold g2pw; looked for {g2pw.USUAL_PLACE}")
    if readings is not None and not wanted and (only or not find_assets(directory)):
        return
    with bars("assets") as progress:
        installed = import_assets(directory, root, only=wanted, progress=progress)
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
