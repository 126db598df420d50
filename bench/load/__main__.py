"""An open-loop load test of a running server.

    python -m bench.load --rate 2 --seconds 60                    # one rate
    python -m bench.load --search --rate 1 --goal-ttfa 0.8        # the highest rate that holds the goal

Requests come at random times (Poisson) whether or not the earlier ones were answered, voices are chosen by Zipf's law,
and texts have three lengths. Each run starts with a warm-up that does not count.
"""

import argparse
import asyncio
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.load.drive import drive
from bench.load.report import as_json, markdown
from bench.load.search import highest_rate
from bench.load.summary import Goal, Summary, summarise
from bench.load.traffic import Traffic, arrivals
from voxswap_client.aio import AsyncClient
from voxswap_client.connection import DEFAULT_ADDRESS
from voxswap_client.retry import NO_RETRY


async def main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    runs: list[tuple[float, Summary]] = []
    async with AsyncClient(arguments.server, retry=NO_RETRY) as client:
        voices = arguments.voices or [voice.voice_id for voice in await client.list_voices("en")]

        async def run(rate: float, repeat: int) -> Summary:
            traffic = Traffic(rate, arguments.warm_up + arguments.seconds, arguments.zipf, arguments.seed + repeat)
            outcomes = await drive(client, arrivals(traffic, voices), timeout_s=arguments.timeout)
            runs.append((rate, summarise(outcomes, warm_up_s=arguments.warm_up)))
            print(markdown(runs[-1:]).splitlines()[-1], flush=True)
            return runs[-1][1]

        async def holds(rate: float) -> bool:
            """By the majority of the repeats."""
            held = [goal.held_by(await run(rate, repeat)) for repeat in range(arguments.repeats)]
            return statistics.median_low(held)

        goal = Goal(arguments.goal_ttfa, arguments.goal_failed, arguments.goal_underruns)
        print(markdown([]), flush=True)
        if arguments.search:
            good, bad = await highest_rate(
                holds, first=arguments.rate, steps=arguments.steps, ceiling=arguments.ceiling
            )
            print(f"\n{good:.2f} requests a second hold {goal}; {bad:.2f} do not.")
        else:
            for repeat in range(arguments.repeats):
                await run(arguments.rate, repeat)
    if arguments.json:
        arguments.json.write_text(as_json(runs), "utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server", default=DEFAULT_ADDRESS, help="host:port (default: %(default)s)")
    parser.add_argument("--voices", nargs="*", help="most popular first (default: all that speak English)")
    parser.add_argument("--rate", type=float, default=1.0, help="requests a second; where a search begins")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each run, after its warm-up")
    parser.add_argument("--warm-up", type=float, default=10.0, help="seconds at the start that do not count")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each rate; a search takes their majority")
    parser.add_argument("--zipf", type=float, default=1.0, help="how uneven the voices are; 0: not at all")
    parser.add_argument("--seed", type=int, default=1, help="of times, voices and texts")
    parser.add_argument("--timeout", type=float, default=60.0, help="deadline of each request in seconds")
    parser.add_argument("--search", action="store_true", help="find the highest rate that holds the goal")
    parser.add_argument("--steps", type=int, default=4, help="halvings of a search")
    parser.add_argument("--ceiling", type=float, default=256.0, help="rates above it are not tried")
    parser.add_argument("--goal-ttfa", type=float, default=0.8, help="seconds to first audio, 95th percentile")
    parser.add_argument("--goal-failed", type=float, default=0.01, help="share of requests that may fail")
    parser.add_argument("--goal-underruns", type=float, default=0.05, help="share of listeners who may hear a gap")
    parser.add_argument("--json", type=Path, help="also write the runs to this file")
    return parser


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
