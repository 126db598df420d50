"""What the logs of one soak come to, as a page.

Knows nothing of how they came about.
"""

from collections.abc import Sequence

from bench.soak.growth import RULE, growth
from bench.soak.log import GOALS, UNITS, BadLog, Run, Setting

_MIB = 2**20
_TITLES = {"swaps": "Memory over swaps", "text": "Memory over one stream of text"}


def verdict(runs: Sequence[Run]) -> str:
    """One line.

    Raises:
        BadLog: the runs are not of one setting, or there are none.
    """
    kind = _setting(runs).kind
    goal, unit, counted = GOALS[kind], UNITS[kind], sum(run.count for run in runs)
    done = f"{counted:,.6g} of {goal:,.0f} {unit} in {len(runs)} run{'s' if len(runs) > 1 else ''}"
    found = growth(runs)
    if found is None:
        return f"{done}: too few samples for a slope"
    lowest, highest = (value / _MIB for value in found.over(goal))
    return (
        f"{done}: {found.slope_bytes / 1024:+.3f} ± {found.spread_bytes / 1024:.3f} KiB for each of the {unit}, which "
        f"is {lowest:+.1f} to {highest:+.1f} MiB over {goal:,.0f}, at {found.level_bytes / _MIB:.0f} MiB: "
        f"{found.verdict(goal)}"
    )


def markdown(soaks: Sequence[Sequence[Run]]) -> str:
    """A page on several soaks.

    Raises:
        BadLog: as `verdict`.
    """
    lines = ["# Soak: memory over long runs", "", f"Rule: {RULE}"]
    for runs in soaks:
        setting = _setting(runs)
        lines += ["", f"## {_TITLES[setting.kind]}", "", f"- {runs[-1].machine}"]
        lines += [f"- {setting.voices}; {setting.transport}; {setting.threads} thread(s)", f"- {verdict(runs)}", ""]
        lines += [f"| run | {UNITS[setting.kind]} | minutes | samples | RSS at the start, middle and end, MiB |"]
        lines += ["|---|---|---|---|---|", *(_row(run) for run in runs)]
    return "\n".join(lines) + "\n"


def _row(run: Run) -> str:
    if not run.samples:
        return f"| {run.began} | 0 | 0 | 0 | — |"
    middle = run.samples[len(run.samples) // 2]
    levels = ", ".join(f"{one.rss_bytes / _MIB:.1f}" for one in (run.samples[0], middle, run.samples[-1]))
    return f"| {run.began} | {run.count:,.6g} | {run.samples[-1].wall_s / 60:.1f} | {len(run.samples)} | {levels} |"


def _setting(runs: Sequence[Run]) -> Setting:
    settings = {run.setting for run in runs}
    if len(settings) != 1:
        raise BadLog(f"runs of {len(settings)} settings do not add up")
    return settings.pop()
