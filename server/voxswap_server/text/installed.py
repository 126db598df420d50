"""Finds a data file inside an installed package without importing the package.

Knows nothing of what is in it. For packages of which only the data is wanted: their code would download something when
it is imported, or has terms that the data has not.
"""

from importlib.util import find_spec
from pathlib import Path


def installed_file(package: str, *parts: str) -> Path:
    """Path of a file below a package's folder.

    Raises:
        FileNotFoundError: the package or the file is not installed.
    """
    spec = find_spec(package)
    folder = Path(spec.origin).parent if spec is not None and spec.origin is not None else None
    if folder is None or not folder.joinpath(*parts).is_file():
        raise FileNotFoundError(f"the package {package} with its file {'/'.join(parts)} is not installed")
    return folder.joinpath(*parts)
