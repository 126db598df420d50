"""Rounds in which both sides take turns at the same work, and the rows that come of them.

Ratios are of CPU seconds of the whole process, networks on the same number of threads: what else the machine does
disturbs them little. Wall-clock seconds are kept too; on a quiet machine they say the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.peers.material import TOKENS, TOKENS_PER_S
from bench.peers.ours import Ours, Took
from bench.peers.process import Peer
from bench.peers.rivals import Rival
from voxswap_server.bench.page_cache import read_afresh
from voxswap_server.bench.report import Reference, Row
from voxswap_server.bench.timing import SHORT_ROUNDS, Ratio, Sample, Series, interleaved, ratio

T2S_TOKENS: Final = 60
DECODED_TOKENS: Final = 75
TITLES: Final = {
    "t2s": f"T2S: prefill and {T2S_TOKENS} tokens a row",
    "decoder": f"Decoder: {DECODED_TOKENS} tokens, {DECODED_TOKENS // TOKENS_PER_S} s",
    "requests": f"Whole requests: one sentence of {TOKENS // TOKENS_PER_S} s",
    "first audio": "First audio of the same sentence",
    "swap": "Switching: the voice in memory goes, one is read (files in the page cache)",
}
Works = Mapping[str, Callable[[], Took]]


@dataclass(frozen=True, slots=True)
class Found:
    """One row, whose numbers are CPU seconds, and the same rounds by the clock on the wall."""

    row: Row
    wall_s: Series
    reference_wall_s: Series | None = None

    @property
    def wall_ratio(self) -> Ratio | None:
        return ratio(self.wall_s, self.reference_wall_s, "lower") if self.reference_wall_s else None


class Clocks:
    """Takes one sample by CPU time and remembers the wall-clock time that it took."""

    def __init__(self) -> None:
        self._wall_s: dict[str, list[float]] = {}

    def of(self, name: str, work: Callable[[], Took]) -> Sample:
        def sample() -> float:
            took = work()
            self._wall_s.setdefault(name, []).append(took.wall_s)
            return took.cpu_s

        return sample

    def rounds(self, name: str, cpu_s: Series) -> Series:
        """Wall-clock seconds of the rounds that count: the last ones."""
        return cpu_s.instead(self._wall_s[name][-len(cpu_s.values) :])


def measure(
    sides: Mapping[str, Ours], peer: Peer, rival: Rival, prompt_tokens: int, rounds: int, files: Sequence[Path]
) -> Iterator[Found]:
    """Every kind of work, ours beside the peer's.

    Args:
        sides: ours: "exact", as it is by default, and "int8", with T2S weights in 8 bits.
        peer: has opened the same voice.
        rival: what the peer can do.
        prompt_tokens: as many as the peer says that the clip has.
        rounds: how many count.
        files: that both sides read to switch voices.
    """
    name, exact = rival.package, {"exact": sides["exact"]}
    for rows in rival.rows:
        asked = {"rows": rows, "tokens": T2S_TOKENS}
        able = [loop for loop, batches in rival.loops.items() if rows in batches]
        loops = {f"{name}, {loop} loop": _asked(peer, "t2s", loop=loop, **asked) for loop in able}
        own: Works = {kind: partial(side.t2s, rows, T2S_TOKENS, prompt_tokens) for kind, side in sides.items()}
        yield from _compared("t2s", f"{rows} row{'s' if rows > 1 else ''}", own, loops, rounds)
    own = {kind: partial(side.decode, DECODED_TOKENS) for kind, side in exact.items()}
    yield from _compared("decoder", "", own, {name: _asked(peer, "decode", tokens=DECODED_TOKENS)}, rounds)
    own = {kind: side.request for kind, side in sides.items()}
    yield from _compared("requests", "", own, {name: _asked(peer, "request")}, rounds)
    own = {kind: side.first for kind, side in sides.items()}
    modes = {f"{name}, {what}": _asked(peer, "first", mode=mode) for what, mode in rival.modes.items()}
    yield from _compared("first audio", "", own, modes, rounds)
    read_afresh(files)
    own = {kind: side.switch for kind, side in exact.items()}
    yield from _compared("swap", "", own, {name: _asked(peer, "switch")}, SHORT_ROUNDS * rounds)


def _asked(peer: Peer, work: str, **given: Any) -> Callable[[], Took]:
    return lambda: Took(**peer.ask(work, **given))


def _compared(measure: str, what: str, own: Works, theirs: Works, rounds: int) -> Iterator[Found]:
    """Each of ours against each of theirs."""
    clocks = Clocks()
    found = interleaved({name: clocks.of(name, work) for name, work in {**own, **theirs}.items()}, rounds)
    walls = {name: clocks.rounds(name, series) for name, series in found.items()}
    prefix = f"{what}, " if what else ""
    for name in theirs:
        yield Found(Row(measure, prefix + name, "CPU s", found[name]), walls[name])
    for name in own:
        for other in theirs:
            reference = Reference(other, found[other])
            row = Row(measure, f"{prefix}ours, {name}", "CPU s", found[name], reference=reference)
            yield Found(row, walls[name], walls[other])
