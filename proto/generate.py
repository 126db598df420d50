"""Generates the Python code below proto/gen from the .proto files, or proves that what is committed is fresh.

Usage: python proto/generate.py [--check]

The path of a .proto file equals its package, so the generated imports need no patching. Knows nothing of linting and of
breaking changes: those are buf's (see proto/README.md).
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from filecmp import cmp
from importlib.resources import files
from pathlib import Path

PROTO_ROOT = Path(__file__).resolve().parent
GENERATED = PROTO_ROOT / "gen"
PACKAGE = Path("voxswap") / "v1"


def generate(target: Path) -> None:
    """Writes messages, and for files that hold a service its stub and servicer, with their types, below `target`.

    Raises:
        subprocess.CalledProcessError: protoc refused a file; it has said why on stderr.
    """
    protoc(target, "*.proto", "python_out", "mypy_out")
    protoc(target, "*_service.proto", "grpc_python_out", "mypy_grpc_out")
    package = target / PACKAGE
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package.parent / "py.typed").touch()


def protoc(target: Path, pattern: str, output: str, typed_output: str) -> None:
    plugins = Path(sys.executable).parent
    command = [
        *(sys.executable, "-m", "grpc_tools.protoc"),
        f"--proto_path={PROTO_ROOT}",
        f"--proto_path={files('grpc_tools') / '_proto'}",
        f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
        f"--{output}={target}",
        f"--{typed_output}=quiet:{target}",
        *sorted(str(path.relative_to(PROTO_ROOT)) for path in (PROTO_ROOT / PACKAGE).glob(pattern)),
    ]
    subprocess.run(command, check=True, cwd=PROTO_ROOT)  # noqa: S603 -- our own interpreter and files


def differences(fresh: Path, committed: Path) -> list[str]:
    """Generated files that are missing, stale or left over, as lines for a person."""
    wanted = {path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file()}
    present = {
        path.relative_to(committed)
        for path in (committed / PACKAGE.parent).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    stale = {path for path in wanted & present if not cmp(fresh / path, committed / path, shallow=False)}
    kinds = {"missing": wanted - present, "left over": present - wanted, "stale": stale}
    return [f"{kind}: {path}" for kind, paths in kinds.items() for path in sorted(paths)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if proto/gen is not fresh")
    check_only: bool = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        found = differences(fresh, GENERATED)
        if check_only:
            sys.stderr.writelines(f"proto/gen is not fresh, run `make proto`: {line}\n" for line in found)
            return 1 if found else 0
        shutil.rmtree(GENERATED / PACKAGE.parent, ignore_errors=True)
        shutil.copytree(fresh / PACKAGE.parent, GENERATED / PACKAGE.parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
