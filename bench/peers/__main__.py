"""Measures ours beside other servers of the same models, on the same checkpoints, phones and lengths, in one run.

    make peers                                                      # sets the peers up, measures, writes the report
    python -m bench.peers cpufast=.peers/cpufast genie=.peers/genie --to docs/benchmarks
    python -m bench.peers .peers/cpufast --rounds 2                 # one of them, printed only
    python -m bench.peers .peers/cpufast --rounds 1 --size small    # shows in a minute that all of it runs

Each peer is a package of PyPI in an environment of its own: see `rivals.py`. One that cannot do the work is reported
with what it said, and the others are measured; so is one that is interrupted (Ctrl-C).
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import torch

from bench.peers import compare
from bench.peers.material import TOKENS, VOICE, Material, front_end_s, prepare
from bench.peers.ours import Ours, ours
from bench.peers.process import Peer, PeerFailed
from bench.peers.rivals import RIVALS, Rival
from bench.peers.written import write
from voxswap_server.bench import machine
from voxswap_server.bench.voices import SIZES
from voxswap_server.errors import VoxswapError

_SIDES: Final[Mapping[str, Mapping[str, Any]]] = {"exact": {}, "int8": {"engine": {"int8_voices": [VOICE]}}}
"""Ours -> sections of the server's settings."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "peers", nargs="+", metavar="NAME=ENVIRONMENT", help=f"virtual environments; names: {', '.join(RIVALS)}"
    )
    parser.add_argument("--rounds", type=int, default=5, help="that count, behind one that does not")
    parser.add_argument(
        "--size", choices=SIZES, default="full", help="of the seeded voice: small only shows that all runs"
    )
    parser.add_argument("--threads", type=int, default=1, help="of the networks, on either side")
    parser.add_argument("--to", type=Path, help="also write peers.md, peers.json and peers.png into this folder")
    arguments = parser.parse_args()
    environments = dict(named(one) for one in arguments.peers)
    torch.set_num_threads(arguments.threads)
    words, before = machine.description(arguments.threads), machine.load()
    found: list[compare.Found] = []
    told: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="voxswap-peers-") as folder, ExitStack() as stack:
        material = prepare(Path(folder), arguments.size)
        sides = {
            kind: stack.enter_context(ours(material, arguments.threads, **settings))
            for kind, settings in _SIDES.items()
        }
        for name, environment in environments.items():
            found += _beside(name, environment, sides, material, arguments, told)
    conditions = words | {
        **{f"peer {name}": said for name, said in told.items()},
        "run": f"{arguments.rounds} interleaved rounds, seeded {arguments.size} v2 voice, CPU seconds of the process",
        "text": f"{len(material.phones)} phones behind {len(material.prompt_phones)} of the clip's transcript; a peer "
        f"is given them, ours reads the text itself, and what that takes is counted: {1e3 * front_end_s():.1f} ms",
        "load average": f"{before} before, {machine.load()} after",
    }
    if arguments.to:
        for path in write(arguments.to, conditions, found):
            print(f"wrote {path}")
    return 1 if any("stopped" in said for said in told.values()) else 0


def _beside(
    name: str,
    environment: Path,
    sides: Mapping[str, Ours],
    material: Material,
    arguments: argparse.Namespace,
    told: dict[str, str],
) -> list[compare.Found]:
    """What came of one peer until it was done or something stopped; what it is, and what stopped it, goes to `told`."""
    rival, found = RIVALS[name], []
    told[name] = f"{rival.package}, not measured"
    try:
        python, folder = environment.absolute() / "bin" / "python", material.clip.parent / name
        with Peer(python, rival.worker, folder, arguments.threads) as peer:
            opened = peer.ask("open", **_given(material))
            told[name] = _told(rival, opened)
            prompt_tokens = int(opened["prompt_tokens"])
            for one in compare.measure(sides, peer, rival, prompt_tokens, arguments.rounds, material.switched):
                found.append(one)
                print(" | ".join(one.row.cells()), flush=True)
    except (OSError, PeerFailed, ValueError, VoxswapError, KeyboardInterrupt) as error:
        told[name] += f"; stopped: {str(error) or 'interrupted'}"
        print(told[name], file=sys.stderr)
    return found


def named(said: str) -> tuple[str, Path]:
    """NAME=ENVIRONMENT; without a name it is that of the first peer.

    Raises:
        SystemExit: there is no such peer; the message has the choices.
    """
    name, separator, path = said.partition("=")
    if not separator:
        return next(iter(RIVALS)), Path(said)
    if name not in RIVALS:
        raise SystemExit(f"there is no peer {name!r}; choices: {', '.join(RIVALS)}")
    return name, Path(path)


def _told(rival: Rival, opened: dict[str, object]) -> str:
    runtime = f"{rival.runtime} {opened[rival.runtime]}"
    prompt = f"prompt of {opened['prompt_tokens']} tokens, in T2S on either side"
    return f"{rival.package} {opened['version']}, {runtime}; {prompt}"


def _given(material: Material) -> dict[str, object]:
    places = {name: str(getattr(material, name)) for name in ("t2s", "sovits", "pretrained", "clip")}
    return places | {"phones": material.phones, "prompt_phones": material.prompt_phones, "tokens": TOKENS}


if __name__ == "__main__":
    sys.exit(main())
