"""Measures ours beside another server of the same models, on the same checkpoints, phones and lengths, in one run.

    make peers                                  # sets the peer up in an environment of its own, and measures
    python -m bench.peers .peers/cpufast        # measures only

The peer is gpt-sovits-cpufast, a fork of GPT-SoVITS for CPUs that installs from PyPI.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import torch

from bench.peers import compare
from bench.peers.material import Material, prepare
from bench.peers.ours import ours
from bench.peers.process import Peer
from voxswap_server.bench import machine
from voxswap_server.bench.report import Report, as_json, markdown

WORKER = Path(__file__).with_name("cpufast_worker.py")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("environment", type=Path, help="the peer's virtual environment")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of the networks, on either side")
    parser.add_argument("--to", type=Path, help="also write peers.md and peers.json into this folder")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    before, rows = machine.load(), []
    with tempfile.TemporaryDirectory(prefix="voxswap-peers-") as folder:
        material = prepare(Path(folder))
        python = arguments.environment.absolute() / "bin" / "python"
        with (
            Peer(python, WORKER, Path(folder) / "peer", arguments.threads) as peer,
            ours(material, arguments.threads) as exact,
            ours(material, arguments.threads, engine={"int8_voices": ["peer"]}) as int8,
        ):
            versions = peer.ask("open", **_given(material))
            for found in compare.measure(exact, int8, peer, arguments.rounds):
                rows.append(found)
                print(" | ".join(found[0].cells()), flush=True)
    conditions = machine.description(arguments.threads) | {
        "peer": f"gpt-sovits-cpufast 0.1.0, torch {versions['torch']}",
        "run": f"{arguments.rounds} interleaved rounds, seeded full-size v2 voice, CPU seconds of the whole process",
        "load average": f"{before} before, {machine.load()} after",
    }
    report = Report(conditions, tuple(row for row, _ in rows))
    if arguments.to:
        arguments.to.mkdir(parents=True, exist_ok=True)
        (arguments.to / "peers.md").write_text(markdown(report, compare.TITLES), "utf-8")
        content = json.loads(as_json(report)) | {"wall_clock": compare.walls(rows)}
        (arguments.to / "peers.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    return 0


def _given(material: Material) -> dict[str, object]:
    places = {name: str(getattr(material, name)) for name in ("t2s", "sovits", "pretrained", "clip")}
    return places | {"phones": material.phones, "prompt_phones": material.prompt_phones}


if __name__ == "__main__":
    sys.exit(main())
