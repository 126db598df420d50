"""The options that say which server a command speaks to, and as whom.

Knows nothing of commands: one that has a parameter annotated `Server` gets all of them in its place.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from voxswap_client.client import Client
from voxswap_client.connection import DEFAULT_ADDRESS, Tls

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is, how it is trusted, and what it is shown. Each field is an option."""

    address: Annotated[str, typer.Option(envvar="VOXSWAP_ADDRESS", help="host:port of the server.")] = DEFAULT_ADDRESS
    api_key: Annotated[
        str, typer.Option(envvar="VOXSWAP_API_KEY", help="For servers that ask for one; others see options in `ps`.")
    ] = ""
    tls_ca: Annotated[
        Path | None, typer.Option(envvar="VOXSWAP_TLS_CA", help="Speak TLS, and trust the certificates in this file.")
    ] = None
    tls: Annotated[bool, typer.Option("--tls", help="Speak TLS, and trust whom gRPC trusts by default.")] = False
    tls_cert: Annotated[
        Path | None, typer.Option(envvar="VOXSWAP_TLS_CERT", help="Certificate to show the server; with --tls-key.")
    ] = None
    tls_key: Annotated[Path | None, typer.Option(envvar="VOXSWAP_TLS_KEY", help="Its private key.")] = None
    tls_name: Annotated[
        str, typer.Option(envvar="VOXSWAP_TLS_NAME", help="Name in the server's certificate, if not its address.")
    ] = ""

    def client(self) -> Client:
        """A client of this server.

        Raises:
            OSError: a file cannot be read.
            typer.BadParameter: a certificate without its key, or the other way round.
        """
        return Client(self.address, tls=self.secured(), api_key=self.api_key)

    def secured(self) -> Tls | None:
        """None: plain text."""
        if (self.tls_cert is None) != (self.tls_key is None):
            raise typer.BadParameter("--tls-cert and --tls-key go together")
        if not (self.tls or self.tls_ca or self.tls_cert or self.tls_name):
            return None
        return Tls(_bytes(self.tls_ca), _bytes(self.tls_key), _bytes(self.tls_cert), self.tls_name)


HERE = Server()


def expanded(command: Callable[..., R]) -> Callable[..., R]:
    """The command, with an option for each field of its `Server` parameter; whole ones may still be passed in."""
    signature = inspect.signature(command)
    names = [name for name, parameter in signature.parameters.items() if parameter.annotation is Server]
    if not names:
        return command
    (name,) = names
    options = [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=one.type)
        for one in fields(Server)
    ]

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> R:
        given = {one.name: kwargs.pop(one.name) for one in fields(Server) if one.name in kwargs}
        if given:
            kwargs[name] = Server(**given)
        return command(*args, **kwargs)

    own = [parameter for key, parameter in signature.parameters.items() if key != name]
    hints = {parameter.name: parameter.annotation for parameter in (*own, *options)}
    wrapped.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    wrapped.__annotations__ = hints | {"return": signature.return_annotation}
    return wrapped


def _bytes(path: Path | None) -> bytes | None:
    return path.read_bytes() if path else None
