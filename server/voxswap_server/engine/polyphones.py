"""What the front-end settles Chinese readings with: g2pW, one of the shared networks, if the store has it.

It may be installed or taken away while the server runs. Knows nothing of what is in it, nor of who holds it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from voxswap_server.engine.networks import Networks
from voxswap_server.engine.stored_networks import POLYPHONES, installed


def frontend_options(root: Path, networks: Networks) -> Mapping[str, Mapping[str, Any]]:
    """What `TextFrontend` is made with over a store: Mandarin is read with its g2pW."""
    return {"zh": {"polyphones": StoredPolyphones(root, networks)}}


class StoredPolyphones:
    """g2pW for as long as one text is read. Any thread may call it; it waits while the network is loaded.

    Args:
        root: of the store.
        networks: where it is leased.
    """

    def __init__(self, root: Path, networks: Networks) -> None:
        self._root = root
        self._networks = networks

    @contextmanager
    def __call__(self) -> Iterator[Any]:
        """Gives what tells readings; None where it is not installed.

        Raises:
            AssetMissing: it is installed, but it or the tokenizer of BERT cannot be used.
            CapacityError: there is no room for it.
        """
        if not installed(self._root, POLYPHONES):
            yield None
            return
        with self._networks.lease(POLYPHONES) as pending:
            yield pending.result()
