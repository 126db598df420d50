"""The client's part of the command `voxswap`: everything that talks to a running server."""

from voxswap_client.cli.commands import register

__all__ = ["register"]
