"""`voxswap keys`: who may use a server."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from voxswap_server.cli.errors import told_plainly
from voxswap_server.errors import ConfigError

keys = typer.Typer(no_args_is_help=True, help="API keys: create, list, revoke. A running server follows the file.")

Name = Annotated[str, typer.Argument(help="Of whoever uses it, such as stream-deck.", show_default=False)]
File = Annotated[Path | None, typer.Option("--file", help="Keys file. Default: security.keys_file of the settings.")]
Config = Annotated[Path | None, typer.Option("--config", help="Settings file. Default: voxswap.toml, if it is there.")]


@keys.command("create")
@told_plainly
def create(
    name: Name,
    scope: Annotated[
        list[str], typer.Option(help="speak, voices, admin or metrics; may be given several times.", show_default=False)
    ],
    file: File = None,
    config: Config = None,
) -> None:
    """Make a key and print it: it is seen this once, the file has its hash only.

    Example: voxswap keys create stream-deck --scope speak --file keys.toml
    """
    from voxswap_server.auth import Scope
    from voxswap_server.auth.keys import create_key

    if unknown := [one for one in scope if one not in set(Scope)]:
        raise ConfigError(f"there is no scope {unknown[0]!r}; scopes: {', '.join(Scope)}")
    path = _file(file, config)
    typer.echo(create_key(path, name, [Scope(one) for one in scope]))
    typer.secho(f"{name} is in {path}; keep the key, nobody can show it again", fg="green", err=True)


@keys.command("list")
@told_plainly
def list_(file: File = None, config: Config = None) -> None:
    """List the keys and the client certificates: names, scopes, when they were made."""
    from voxswap_server.auth.keys import read_keys

    found = read_keys(_file(file, config))
    table = Table("name", "kind", "scopes", "created", box=None)
    for key in found.keys:
        table.add_row(key.name, "key", ", ".join(sorted(key.scopes)), f"{key.created:%Y-%m-%d %H:%M}")
    for certificate in found.certificates:
        table.add_row(certificate.name, "certificate", ", ".join(sorted(certificate.scopes)), "")
    Console().print(table if table.rows else "no keys: nobody may do anything")


@keys.command("revoke")
@told_plainly
def revoke(name: Name, file: File = None, config: Config = None) -> None:
    """Take a key away. To rotate one: create another, move its users to it, revoke the old one."""
    from voxswap_server.auth.keys import revoke_key

    revoke_key(_file(file, config), name)
    typer.echo(f"revoked {name}")


def _file(file: Path | None, config: Path | None) -> Path:
    from voxswap_server.settings import load_settings

    path = file or load_settings(config).security.keys_file
    if path is None:
        raise ConfigError("there is no keys file: say --file, or set security.keys_file")
    return path
