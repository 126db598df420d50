"""What the commands about the store share: where it is, bars of progress, and the networks that encode prompts."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from voxswap_server.engine.importing import PromptImport
    from voxswap_store.progress import StepProgress

Store = Annotated[
    Path | None, typer.Option("--store", help="Root of the store. Default: as the server's settings have it.")
]


def root_of(store: Path | None) -> Path:
    """The store that is meant."""
    if store is not None:
        return store
    from voxswap_server.settings import load_settings

    return load_settings().store


@contextmanager
def bars(title: str) -> "Iterator[StepProgress]":
    """A bar a step, on stderr; nothing where that is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def tell(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(f"{title}: {step}", total=total)
            progress.update(tasks[step], completed=done, total=total)

        yield tell


@contextmanager
def prompt_import(root: Path) -> "Iterator[PromptImport]":
    """What checks and encodes the prompts of imported voices, with the shared networks of a store."""
    from voxswap_server.engine.importing import PromptImport
    from voxswap_server.engine.networks import OwnNetworks
    from voxswap_server.engine.polyphones import frontend_options
    from voxswap_server.engine.prompts import PromptConfig
    from voxswap_server.engine.stored_networks import network_loaders
    from voxswap_server.text.frontend import TextFrontend

    with ThreadPoolExecutor(1) as pool:
        networks = OwnNetworks(network_loaders(root), pool)
        yield PromptImport(networks, TextFrontend(frontend_options(root, networks)), PromptConfig())
