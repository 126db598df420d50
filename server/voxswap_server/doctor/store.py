"""The store: voices and shared networks. Knows nothing of the machine and of ports.

That the bytes of shared networks are those that were imported is told by `voxswap assets verify`.
"""

import os
import shutil
from collections.abc import Iterator

from rich.filesize import decimal

from voxswap_server.doctor.findings import Finding, good, note, problem, warning
from voxswap_server.errors import VoxswapError
from voxswap_server.settings import Settings
from voxswap_store.assets import asset_states
from voxswap_store.built_in import catalogue_of, packaged_voices
from voxswap_store.entries import BrokenVoice, VoiceEntry

LITTLE_SPACE_BYTES = 2 * 10**9


def store(settings: Settings) -> Iterator[Finding]:
    root = settings.store
    if not root.is_dir():
        yield note(f"there is no store at {str(root)!r} yet", "voxswap import makes it")
        return
    if not os.access(root, os.W_OK):
        yield note(f"the store at {str(root)!r} is read only: voices cannot be imported or changed")
    free = shutil.disk_usage(root).free
    if free < LITTLE_SPACE_BYTES:
        yield warning(f"{decimal(free)} left where the store is", "make room: a voice is some hundred megabytes")
    else:
        yield good(f"{decimal(free)} left where the store is")


def voices(settings: Settings) -> Iterator[Finding]:
    entries = catalogue_of(settings.store, built_in=settings.voices.built_in).entries()
    broken = [entry for entry in entries if isinstance(entry, BrokenVoice)]
    for entry in broken:
        yield warning(f"voice {entry.voice_id} cannot be used: {entry.problem}", "import it again, or delete it")
    wanted = {*settings.voices.prewarm, *settings.voices.pin}
    for voice_id in sorted(wanted - {entry.voice_id for entry in entries}):
        yield warning(f"voice {voice_id} is to be loaded at the start, but is not in the store", "import it")
    if len(entries) > len(broken):
        yield good(f"{len(entries) - len(broken)} voices")
    elif settings.voices.built_in and packaged_voices() is not None:
        yield note("no voice yet", "the first start imports the built-in ones; voxswap import --help for your own")
    else:
        yield note("no voice that can speak", "voxswap import --help; voxswap demo makes tiny ones")


def contents(settings: Settings) -> Iterator[Finding]:
    """Reads every byte of every voice that is not broken at first sight."""
    catalogue, whole, read_bytes = catalogue_of(settings.store, built_in=settings.voices.built_in), 0, 0
    for entry in catalogue.entries():
        if not isinstance(entry, VoiceEntry):
            continue
        try:
            catalogue.validate(entry.voice_id)
        except VoxswapError as error:
            yield problem(error.message, "import it again, or delete it")
        except OSError as error:
            yield problem(f"voice {entry.voice_id} cannot be read: {error.strerror}", "import it again, or delete it")
        else:
            whole, read_bytes = whole + 1, read_bytes + sum(file.bytes for file in entry.manifest.files.all())
    yield good(f"{whole} voices are what was imported, every byte of {decimal(read_bytes)}")


def networks(settings: Settings) -> Iterator[Finding]:
    for state in asset_states(settings.store):
        name = state.spec.name
        if state.problem:
            yield problem(f"{name}: {state.problem}", state.spec.remedy)
        elif state.manifest is None:
            yield note(f"{name} is missing, which is for {state.spec.needed_for}", state.spec.remedy)
        else:
            yield good(f"{name}: {state.spec.title}")
