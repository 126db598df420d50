"""Which jobs run in the next step of the device.

Pure Python: knows nothing of torch, of voices or of audio, only of candidates with an urgency and a batch key.

The rule is earliest deadline first. A job's deadline is the moment at which its listener runs out of audio
(`first audio + audio sent so far`), or, before its first audio, the moment at which it should have begun; of a job to
which nobody listens, as if its listener began much later. All are absolute readings of one clock, so a job that waits
grows more urgent by itself and nothing starves. Work for audio that comes behind other audio of the same job is wanted
so much later. Whoever shares the most urgent work's batch key rides along, most urgent first: the weights are read once
for all of them. Work that grows while it waits, and is cheaper in all when it is done at once, is put off in company.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """How much may run together."""

    batching: bool = True
    """Off: every row runs alone and nothing is put off to be done at once, and an answer equals the answer of the same
    request alone byte for byte."""
    max_step_rows: int = 16
    """Rows of one T2S step."""
    max_prefill_tokens: int = 1024
    """Positions of one prefill; a first row larger than this still runs, alone."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A strand of a job that waits for the device."""

    strand: int
    """Its number; of equally urgent ones the older goes first."""
    deadline_s: float
    """Reading of the clock when its work must be done; smaller is more urgent."""
    batch_key: Hashable | None
    """Work of equal keys may run in one call; None runs alone."""
    cost: int = 1
    """Positions it brings to a batch."""


def pick(candidates: Sequence[Candidate], config: SchedulerConfig) -> list[int]:
    """Strands of the next device call, most urgent first; empty only if there are no candidates."""
    if not candidates:
        return []
    by_urgency = sorted(candidates, key=lambda candidate: (candidate.deadline_s, candidate.strand))
    leader = by_urgency[0]
    if leader.batch_key is None or not config.batching:
        return [leader.strand]
    chosen, cost = [leader.strand], leader.cost
    for candidate in by_urgency[1:]:
        if candidate.batch_key != leader.batch_key:
            continue
        if len(chosen) == config.max_step_rows or cost + candidate.cost > config.max_prefill_tokens:
            break
        chosen.append(candidate.strand)
        cost += candidate.cost
    return chosen


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a job may be silent, from its admission on."""

    live_s: float = 0.3
    """Before a new stream outranks streams that still have audio ahead."""
    batch_s: float = 10.0
    """Before a job to which nobody listens is treated as one that should be playing."""


@dataclass(frozen=True, slots=True)
class PuttingOff:
    """When work may grow although somebody listens: what it saves is everybody's, what it costs is that listener's."""

    comfort_s: float = 1.0
    """Of audio that the listener still has."""
    lost_s: float = 0.5
    """After so long a silence it is better to go on a little later, and for longer."""

    def allowed(self, *, dry_s: float | None, now_s: float, crowded: bool = False) -> bool:
        """Whether it is right now.

        Args:
            dry_s: reading of the clock when the listener has played everything; None before the first audio.
            now_s: reading of the clock.
            crowded: as `crowded` says.
        """
        return dry_s is not None and (crowded or not -self.lost_s < dry_s - now_s < self.comfort_s)

    def crowded(self, dry_s: Iterable[float | None], *, now_s: float, each_s: float) -> bool:
        """Whether listeners run dry whatever is done: to serve each of them once takes longer than they have.

        A small piece now would then only make all of them wait longer.

        Args:
            dry_s: as of `allowed`, of all listeners.
            now_s: reading of the clock.
            each_s: what it takes to serve one.
        """
        short = sum(dry is None or dry - now_s < self.comfort_s for dry in dry_s)
        return short * each_s > self.comfort_s


def deadline_of(
    *,
    accepted_s: float,
    first_audio_s: float | None,
    sent_audio_s: float,
    batch: bool = False,
    patience: Patience = Patience(),
) -> float:
    """Reading of the clock at which the listener of a job runs dry.

    Args:
        accepted_s: when the request was admitted.
        first_audio_s: when its first audio left the device, None before.
        sent_audio_s: seconds of audio that left the device so far.
        batch: nobody listens before all of it is there.
        patience: with jobs that are silent.
    """
    if batch:
        return accepted_s + patience.batch_s + sent_audio_s
    return accepted_s + patience.live_s if first_audio_s is None else first_audio_s + sent_audio_s
