"""Fetches shared networks from the Hugging Face Hub and imports them.

The only code of the store that opens a connection, and only when somebody asks for it by command. What comes is treated
as any stranger's file: `asset_importer` reads it. No credentials are sent. A download that breaks goes on where it
stopped, in this run or the next; what is installed changes only once everything is there and read.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from re import compile as pattern
from typing import Any, Final, Self, cast

import httpx2
from huggingface_hub import HfFileMetadata, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.file_download import http_get

from voxswap_server.errors import RequestError
from voxswap_store.asset_importer import import_assets
from voxswap_store.assets import AssetState
from voxswap_store.files import exclusive, hash_file
from voxswap_store.hub_sources import HubFile, HubSource, source_of
from voxswap_store.progress import Progress, StepProgress, of_step, silent

_ASIDE: Final = ".downloads"
_LONGEST_REASON: Final = 200
_SHA256: Final = pattern(r"[0-9a-f]{64}")


class FetchFailed(RequestError):
    """A file could not be downloaded; the message says how to do it by hand."""

    reason = "FETCH_FAILED"

    def __init__(self, name: str, source: HubSource, file: str, why: str) -> None:
        files = " and ".join(one.path for one in source.files)
        super().__init__(
            f"{file} could not be fetched from {source.repository!r}: {why}. By hand: download its {files} where there "
            f"is a network, put them into one folder here, and run `voxswap assets import DIR --only {name}`",
            field="hub",
        )


def fetch_asset(
    name: str, hub: str, root: Path, *, endpoint: str | None = None, progress: StepProgress = silent
) -> AssetState:
    """Downloads an asset and installs it; what is installed already is replaced.

    Args:
        name: of the asset.
        hub: name of the repository; `source_of(name).repository` is where it is published.
        root: of the store.
        endpoint: URL of a mirror; None is the Hub itself.
        progress: told how far the downloads and the import are.

    Raises:
        RequestError: there is no such asset.
        FetchFailed: a file did not come, or is not the one that it should be; what came is kept for the next time.
        CheckpointError: what came is damaged or forbidden.
    """
    source = source_of(name).elsewhere(hub)
    aside = root / _ASIDE / name
    with exclusive(aside):
        commits = set()
        for file in source.files:
            with _told(name, source, file):
                commits.add(_fetch(source.repository, file, aside, endpoint, progress))
        if len(commits) > 1:
            raise FetchFailed(name, source, source.files[-1].path, "the repository changed meanwhile; try again")
        [state] = import_assets(aside / "whole", root, only=(name,), progress=progress)
        shutil.rmtree(aside / "whole")
        shutil.rmtree(aside / "parts")
    return state


def _fetch(repository: str, file: HubFile, aside: Path, endpoint: str | None, progress: StepProgress) -> str | None:
    """Brings one file into `aside/whole`; returns the commit that it is of."""
    url = hf_hub_url(repository, file.path, endpoint=endpoint)
    told = get_hf_file_metadata(url, token=False, endpoint=endpoint)
    whole, part = aside / "whole" / file.path, aside / "parts" / file.path
    seen = part.with_name(f"{part.name}.etag")
    for folder in (whole.parent, part.parent):
        folder.mkdir(parents=True, exist_ok=True)
    identity = f"{repository} {told.etag}"
    if not seen.is_file() or seen.read_text(encoding="utf-8") != identity:  # what is there is of another file
        whole.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
        seen.write_text(identity, encoding="utf-8")
    if not whole.exists():
        _download(url, told, part, of_step(progress, f"fetching {file.path}"))
        _check(part, file, told)
        part.rename(whole)
    return told.commit_hash


def _download(url: str, told: HfFileMetadata, part: Path, tell: Progress) -> None:
    with part.open("ab") as sink:
        http_get(
            url,
            sink,
            resume_size=sink.tell(),
            headers={
                "Accept-Encoding": "identity"
            },  # else small texts come packed, and sizes are not those of the file
            expected_size=told.size,
            displayed_filename=part.name,
            tqdm_class=cast("Any", partial(_Bar, tell)),
        )


def _check(part: Path, file: HubFile, told: HfFileMetadata) -> None:
    """Compares what came with the hash that we know, and with the one that the Hub tells of large files."""
    published = told.etag if told.etag and _SHA256.fullmatch(told.etag) else None
    if (known := file.sha256 or published) is None or (got := hash_file(part)[0]) == known:
        return
    part.unlink()  # there is nothing in it to go on from
    if got == published:
        raise ValueError(f"the repository holds another file (sha256 {got}) than the known one ({known})")
    raise ValueError("what came is damaged: its sha256 is not that of the published file")


class _Bar:
    """What the library takes for a bar of tqdm: passes on how much there is."""

    def __init__(self, tell: Progress, *, total: int | None = None, initial: int = 0, **_: object) -> None:
        self._tell, self._done, self._total = tell, initial, total

    def update(self, count: int) -> None:
        self._done += count
        self._tell(self._done, self._total or self._done)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to close."""


@contextmanager
def _told(name: str, source: HubSource, file: HubFile) -> Iterator[None]:
    """Whatever goes wrong on the way is told in our words."""
    failed = partial(FetchFailed, name, source, file.path)
    try:
        yield
    except RepositoryNotFoundError:
        raise failed("there is no public repository of this name") from None
    except EntryNotFoundError as error:
        missing = not isinstance(error, LocalEntryNotFoundError)
        raise failed("the repository does not hold it" if missing else "it cannot be reached") from None
    except HfHubHTTPError as error:
        raise failed(f"the Hub answered {error.response.status_code}") from error
    except (OfflineModeIsEnabled, httpx2.TransportError) as error:
        raise failed("it cannot be reached") from error
    except Exception as error:  # what the library raises has no base of its own
        raise failed(str(error).strip()[:_LONGEST_REASON] or type(error).__name__) from error
