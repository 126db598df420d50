"""`voxswap health`."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from voxswap_client.cli.connecting import HERE, Server
from voxswap_client.cli.session import NOT_NOW, Json, show, told_plainly
from voxswap_client.residency import Health

_SERVICES = ("", *(f"voxswap.v1.{name}" for name in ("SpeechService", "VoiceService", "ModelAdminService")))


@told_plainly
def health(
    voice: Annotated[list[str] | None, typer.Option("--voice", "-v", help="Ask for this voice too.")] = None,
    as_json: Json = False,
    server: Server = HERE,
) -> None:
    """Ask the server, its services and voices whether they can serve; exits with 3 if one cannot."""
    with server.client() as client:
        answers = [*map(client.health, _SERVICES), *map(client.voice_health, voice or ())]
    show(answers, as_json=as_json, otherwise=_table)
    if not all(answer.serving for answer in answers):
        raise typer.Exit(NOT_NOW)


def _table(answers: Sequence[Health]) -> Table:
    table = Table("", "", box=None, show_header=False)
    for answer in answers:
        table.add_row(answer.service or "server", answer.status)
    return table
