"""The store: voices and shared networks. Knows nothing of the machine and of ports."""

import os
import shutil
from collections.abc import Iterator

from rich.filesize import decimal

from voxswap_server.doctor.findings import Finding, good, note, problem, warning
from voxswap_server.settings import Settings
from voxswap_store.assets import asset_states
from voxswap_store.built_in import catalogue_of
from voxswap_store.catalogue import BrokenVoice

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
    else:
        yield note("no voice that can speak", "voxswap import --help; voxswap demo makes tiny ones")


def networks(settings: Settings) -> Iterator[Finding]:
    for state in asset_states(settings.store):
        name = state.spec.name
        if state.problem:
            yield problem(f"{name}: {state.problem}", state.spec.remedy)
        elif state.manifest is None:
            yield note(f"{name} is missing, which is for {state.spec.needed_for}", state.spec.remedy)
        else:
            yield good(f"{name}: {state.spec.title}")
