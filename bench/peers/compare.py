"""Rounds in which both sides take turns at the same work, and the rows that come of them.

Ratios are of CPU seconds of the whole process, networks on the same number of threads: what else the machine does
disturbs them little. Wall-clock seconds are kept too; on a quiet machine they say the same.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from bench.peers.ours import Ours, Took
from bench.peers.process import Peer
from bench.peers.rivals import Rival
from voxswap_server.bench.report import Reference, Row
from voxswap_server.bench.timing import Sample, interleaved

T2S_TOKENS: Final = 60
DECODED_TOKENS: Final = 75
TITLES: Final = {
    "t2s": f"T2S: prefill and {T2S_TOKENS} tokens a row",
    "decoder": f"Decoder: {DECODED_TOKENS} tokens, 3 s",
    "requests": "Whole requests, one sentence of 8 s",
    "first audio": "First audio of the same request",
    "swap": "Switching to a voice that is not in memory (files in the page cache)",
}


class Clocks:
    """Takes one sample by CPU time and remembers the wall-clock time that it took."""

    def __init__(self) -> None:
        self.wall_s: dict[str, list[float]] = {}

    def of(self, name: str, work: Callable[[], Took]) -> Sample:
        def sample() -> float:
            took = work()
            self.wall_s.setdefault(name, []).append(took.wall_s)
            return took.cpu_s

        return sample

    def rounds(self, name: str, count: int) -> list[float]:
        """Wall-clock seconds of the rounds that count: the last ones."""
        return self.wall_s[name][-count:]


def asked(peer: Peer, work: str, part: str = "all", **given: Any) -> Took:
    return Took(**peer.ask(work, **given)[part])


def measure(
    exact: Ours, int8: Ours, peer: Peer, rival: Rival, prompt_tokens: int, rounds: int
) -> Iterator[tuple[Row, list[float]]]:
    """Rows with the wall-clock seconds of their rounds.

    Args:
        exact: our engine as it is by default.
        int8: ours with T2S weights in 8 bits.
        peer: has opened the same voice.
        rival: what the peer can do.
        prompt_tokens: as many as the peer says that the clip has.
        rounds: how many count.
    """
    name = rival.package
    for rows in rival.rows:
        loops = {
            f"{name}, {loop} loop": partial(asked, peer, "t2s", rows=rows, tokens=T2S_TOKENS, loop=loop)
            for loop in rival.loops
        }
        sides = {"exact": exact, "int8": int8}
        work = {kind: partial(side.t2s, rows, T2S_TOKENS, prompt_tokens) for kind, side in sides.items()}
        yield from _compared("t2s", f"{rows} row{'s' if rows > 1 else ''}", work, loops, rounds)
    yield from _compared(
        "decoder",
        "",
        {"exact": partial(exact.decode, DECODED_TOKENS)},
        {name: partial(asked, peer, "decode", tokens=DECODED_TOKENS)},
        rounds,
    )
    yield from _compared(
        "requests",
        "",
        {kind: lambda side=side: side.request(exact=True)[1] for kind, side in (("exact", exact), ("int8", int8))},
        {name: partial(asked, peer, "request", mode="whole")},
        rounds,
    )
    modes = {f"{name}, {what}": mode for what, mode in rival.modes.items()}
    yield from _compared(
        "first audio",
        "",
        {kind: lambda side=side: side.request(exact=False)[0] for kind, side in (("exact", exact), ("int8", int8))},
        {what: partial(asked, peer, "request", "first", mode=mode) for what, mode in modes.items()},
        rounds,
    )
    yield from _compared("swap", "", {"lease": exact.switch}, {name: partial(asked, peer, "switch")}, rounds)


def _compared(
    measure: str,
    what: str,
    own: Mapping[str, Callable[[], Took]],
    theirs: Mapping[str, Callable[[], Took]],
    rounds: int,
) -> Iterator[tuple[Row, list[float]]]:
    """Each of ours against each of theirs."""
    clocks = Clocks()
    found = interleaved({name: clocks.of(name, work) for name, work in {**own, **theirs}.items()}, rounds)
    prefix = f"{what}, " if what else ""
    for name in theirs:
        yield Row(measure, prefix + name, "CPU s", found[name]), clocks.rounds(name, rounds)
    for name in own:
        for other in theirs:
            reference = Reference(other, found[other])
            yield (
                Row(measure, f"{prefix}ours, {name}", "CPU s", found[name], reference=reference),
                clocks.rounds(name, rounds),
            )


def walls(rows: list[tuple[Row, list[float]]]) -> list[dict[str, Any]]:
    """Wall-clock seconds of every row, for the JSON."""
    return [{"measure": row.measure, "name": row.name, "wall_s": seconds} for row, seconds in rows]
