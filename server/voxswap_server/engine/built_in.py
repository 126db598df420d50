"""Brings the built-in voices to a store when a server starts. Knows nothing of how they are made."""

from pathlib import Path

import structlog

from voxswap_server.engine.importing import PromptImport
from voxswap_server.errors import VoxswapError
from voxswap_store.built_in import install_built_in, packaged
from voxswap_store.catalogue import Catalogue

log = structlog.get_logger(__name__)


def bring_built_in(store: Path, catalogue: Catalogue, imports: PromptImport, folder: Path | None = None) -> None:
    """Imports what is not imported yet, and tells which voices are hidden.

    A store that cannot be written still serves what is in it, so a failure is told and no more.

    Args:
        store: of the user.
        catalogue: of it, over the built-in voices.
        imports: encodes their prompts.
        folder: of the built-in voices; None: those of this installation, if it has any.
    """
    folder = folder or packaged()
    if folder is None:
        return
    try:
        install_built_in(
            folder,
            store,
            encode_prompt=imports.encode,
            progress=lambda voice: log.info("importing a built-in voice", voice=voice),
        )
    except (VoxswapError, OSError) as error:
        problem = error.message if isinstance(error, VoxswapError) else error.strerror
        log.error("the built-in voices cannot be imported", problem=problem)  # noqa: TRY400 - no stack
    for voice_id in catalogue.hidden():
        log.warning("a voice of the store takes the place of the built-in one of its id", voice=voice_id)
