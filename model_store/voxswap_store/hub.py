"""Fetches the speaker encoder from the Hugging Face Hub and imports it.

The only code of the store that opens a connection, and only when somebody asks for it by command. What comes is treated
as any stranger's file: `asset_importer` reads it. No credentials are sent.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

from voxswap_server.errors import RequestError
from voxswap_store.asset_importer import EMBEDDING_MODEL, HYPERPARAMETERS, import_assets
from voxswap_store.assets import AssetState, asset_spec
from voxswap_store.progress import StepProgress, silent

FETCHABLE: Final = ("ecapa",)
"""Assets that are published in the form that we import."""
_FILES: Final = (HYPERPARAMETERS, EMBEDDING_MODEL)
_LONGEST_REASON: Final = 200


class FetchFailed(RequestError):
    """A file could not be downloaded; the message says how to do it by hand."""

    reason = "FETCH_FAILED"

    def __init__(self, hub: str, file: str, why: str) -> None:
        names = " and ".join(_FILES)
        super().__init__(
            f"{file} could not be fetched from {hub!r}: {why}. By hand: download its {names} where there "
            f"is a network, put them into one folder here, and run `voxswap assets import DIR --only {FETCHABLE[0]}`",
            field="hub",
        )


def fetch_asset(
    name: str, hub: str, root: Path, *, endpoint: str | None = None, progress: StepProgress = silent
) -> AssetState:
    """Downloads an asset and installs it.

    Args:
        name: of the asset.
        hub: name of the repository, such as "speechbrain/spkrec-ecapa-voxceleb".
        root: of the store.
        endpoint: URL of a mirror; None is the Hub itself.
        progress: told how far the import is.

    Raises:
        RequestError: this asset cannot be fetched.
        FetchFailed: a file did not come.
        CheckpointError: what came is damaged or forbidden.
    """
    if asset_spec(name).name not in FETCHABLE:
        raise RequestError(
            f"{name} cannot be fetched, only {', '.join(FETCHABLE)}: {asset_spec(name).remedy}", field="asset"
        )
    with TemporaryDirectory(prefix="voxswap-") as folder:
        for file in _FILES:
            _download(hub, file, folder, endpoint)
        return import_assets(Path(folder), root, only=(name,), progress=progress)[0]


def _download(hub: str, file: str, folder: str, endpoint: str | None) -> None:
    try:
        hf_hub_download(hub, file, local_dir=folder, endpoint=endpoint, token=False)
    except RepositoryNotFoundError:
        raise FetchFailed(hub, file, "there is no public repository of this name") from None
    except LocalEntryNotFoundError:
        raise FetchFailed(hub, file, "it cannot be reached") from None
    except EntryNotFoundError:
        raise FetchFailed(hub, file, "the repository does not hold it") from None
    except Exception as error:  # what the library and its HTTP client raise has no base of its own
        raise FetchFailed(hub, file, str(error).strip()[:_LONGEST_REASON] or type(error).__name__) from error
