"""What all commands share: which server, how answers look, how failures end.

Knows nothing of any one command.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from rich.console import Console

from voxswap_client.cli.connecting import HERE, Server, expanded
from voxswap_client.errors import (
    AssetMissing,
    CapacityError,
    DeadlineExceeded,
    InvalidRequest,
    NotBuilt,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    VoiceExists,
    VoiceUnusable,
    VoxswapError,
)

P = ParamSpec("P")
R = TypeVar("R")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
VoiceId = Annotated[str, typer.Argument(metavar="VOICE", help="Id of a voice.", show_default=False)]

FAILED = 1
WRONG_REQUEST = 2
NOT_NOW = 3
CANNOT = 4
EXIT_CODES: Mapping[type[VoxswapError], int] = {
    InvalidRequest: WRONG_REQUEST,
    NotFound: WRONG_REQUEST,
    VoiceExists: WRONG_REQUEST,
    Unauthenticated: WRONG_REQUEST,
    PermissionDenied: WRONG_REQUEST,
    CapacityError: NOT_NOW,
    Unavailable: NOT_NOW,
    DeadlineExceeded: NOT_NOW,
    VoiceUnusable: CANNOT,
    AssetMissing: CANNOT,
    NotBuilt: CANNOT,
}
EXIT_HELP = (
    "Exits with 2 when the request is wrong, 3 when the server cannot now, 4 when it lacks something, 1 otherwise."
)


def told_plainly(command: Callable[P, R]) -> Callable[P, R]:
    """Turns failures into one line on stderr and an exit code, and a parameter `server` into its options."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except Unavailable as error:
            server = kwargs.get("server", HERE)
            address = server.address if isinstance(server, Server) else HERE.address
            raise _ended(f"no voxswap server answers at {address}: {error.message}", error) from None
        except VoxswapError as error:
            raise _ended(_with_id(error), error) from None
        except OSError as error:
            typer.secho(f"voxswap: {error}", fg="red", err=True)
            raise typer.Exit(WRONG_REQUEST) from None

    return expanded(wrapped)


def refuse_early_options(context: typer.Context) -> None:
    """A group's options are those of its default command; before a sub-command they would be forgotten in silence."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = "json" if name == "as_json" else name.replace("_", "-")
            raise typer.BadParameter(f"--{option} goes after {context.invoked_subcommand!r}")


def show(value: Any, *, as_json: bool, otherwise: Callable[[Any], Any]) -> None:
    """Prints a value: as JSON, or what `otherwise` makes of it (text or something that rich can draw)."""
    if as_json:
        typer.echo(to_json(value))
    else:
        plain_console().print(otherwise(value))


def plain_console(*, stderr: bool = False) -> Console:
    """Draws tables, but reads nothing into the text: a voice's description may hold brackets."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def to_json(value: Any, *, indent: int | None = 2) -> str:
    return json.dumps(_plain(value), indent=indent, ensure_ascii=False)


def exit_code(error: VoxswapError) -> int:
    """That of the nearest ancestor in the table."""
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), FAILED)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _with_id(error: VoxswapError) -> str:
    """Where the fault is not the caller's, the id under which the server's log has it."""
    return error.message if type(error) in EXIT_CODES else f"{error.message} (request {error.request_id})"


def _ended(line: str, error: VoxswapError) -> typer.Exit:
    typer.secho(f"voxswap: {line}", fg="red", err=True)
    return typer.Exit(exit_code(error))
