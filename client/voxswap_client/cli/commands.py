"""Mounts the client's commands on an application.

Knows nothing of the server's own commands, which stand beside these.
"""

import typer

from voxswap_client.cli.health import health
from voxswap_client.cli.live import live
from voxswap_client.cli.residents import residents
from voxswap_client.cli.session import EXIT_HELP
from voxswap_client.cli.speak import speak
from voxswap_client.cli.speakers import compare, embed, find
from voxswap_client.cli.top import top
from voxswap_client.cli.voices import voices


def register(app: typer.Typer) -> None:
    """Adds every command of the client to `app`."""
    for command in (speak, live, embed, compare, find, health, top):
        app.command(epilog=EXIT_HELP)(command)
    for name, group in (("voices", voices), ("residents", residents)):
        app.add_typer(group, name=name, epilog=EXIT_HELP)
