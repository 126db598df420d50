"""How a command fails: one plain line and exit code 2, never a stack."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import typer

from voxswap_server.errors import VoxswapError

P = ParamSpec("P")
R = TypeVar("R")


def told_plainly(command: Callable[P, R]) -> Callable[P, R]:
    """Turns the errors that we raise on purpose, and those of files and addresses, into a line on stderr."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (VoxswapError, OSError) as error:
            typer.secho(f"voxswap: {error}", fg="red", err=True)
            raise typer.Exit(2) from None

    return wrapped
