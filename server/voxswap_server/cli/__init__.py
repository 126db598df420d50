"""The one command `voxswap`: every sub-command, imported only when it is called."""

from voxswap_server.cli.main import main

__all__ = ["main"]
