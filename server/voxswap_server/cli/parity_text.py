"""`voxswap parity-text`: how far our text front-end agrees with recorded answers of upstream's."""

import json
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voxswap_server.cli.errors import told_plainly
from voxswap_server.errors import RequestError

if TYPE_CHECKING:
    from voxswap_server.text.parity import Accepted, Difference

_MOST_ACCEPTED = 0.03
"""Of a language's lines; beyond it the front-end is not upstream's any more, whatever the reasons."""
_SHOWN_CHARS = 400


@dataclass
class _Tally:
    """What was found, by language."""

    lines: Counter[str] = field(default_factory=Counter)
    differing: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)

    def add(self, other: "_Tally") -> None:
        for counter, more in ((self.lines, other.lines), (self.differing, other.differing)):
            counter.update(more)
        self.accepted.update(other.accepted)

    def verdict(self) -> str:
        """Why this is not good enough, "" when it is."""
        strained = [lang for lang, count in self.lines.items() if self.accepted[lang] > _MOST_ACCEPTED * count]
        if not self.lines:
            return "no line was read"
        if self.differing:
            return f"{self.differing.total()} lines differ"
        return f"more than {_MOST_ACCEPTED:.0%} accepted in {', '.join(sorted(strained))}" if strained else ""


@told_plainly
def parity_text(
    files: Annotated[list[Path], typer.Argument(help="Recorded lines (jsonl): readings, utterances or cuts.")],
    accepted: Annotated[
        Path | None, typer.Option(help="TOML list of differences that are meant, each with its reason.")
    ] = None,
    show: Annotated[int, typer.Option(help="How many differing lines to print.", min=0)] = 5,
) -> None:
    """Compare normalised text, phones, ids, word2ph, runs and cuts with upstream's, line by line.

    Exits with 1 when a line differs that is not in the accepted list, or when more than 3 % of a language's are.

    Example: voxswap parity-text ../shared/gpt_sovits/golden/open/text/g2p.jsonl
    """
    from voxswap_server.text.parity import TextParity

    excuses = _read_accepted(accepted) if accepted else []
    parity = TextParity()
    total = _Tally()
    for path in files:
        tally = _Tally()
        for number, line in _read_lines(path):
            language = line["lang"]
            tally.lines[language] += 1
            differences = parity.differences(line)
            if not differences:
                continue
            excuse = next((one for one in excuses if one.covers(line, differences)), None)
            if excuse is not None:
                tally.accepted[language] += 1
                typer.echo(f"{path.name}:{number} {language} accepted: {excuse.reason}")
                continue
            tally.differing[language] += 1
            if tally.differing.total() <= show:
                _show(f"{path.name}:{number} {language} {line.get('version', '')} {line['text']!r}", differences)
        _summarise(path.name, tally)
        total.add(tally)
    if total.verdict():
        typer.secho(total.verdict(), fg="red", err=True)
        raise typer.Exit(1)


def _read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, text in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            line = json.loads(text)
            _ = line["text"], line["lang"]
        except (ValueError, KeyError, TypeError):
            raise RequestError(f"{path.name}:{number} is not a recorded line: {text[:80]!r}") from None
        yield number, line


def _read_accepted(path: Path) -> "list[Accepted]":
    from voxswap_server.text.parity import Accepted

    excuses = []
    for entry in tomllib.loads(path.read_text("utf-8")).get("accepted", []):
        if not str(entry.get("reason", "")).strip() or not {"text", "lang"}.issubset(entry):
            raise RequestError(f"{path.name}: an accepted difference needs text, lang and reason, not {entry}")
        excuses.append(Accepted(entry["text"], entry["lang"], entry["reason"], frozenset(entry.get("fields", []))))
    return excuses


def _show(title: str, differences: "list[Difference]") -> None:
    typer.secho(title, bold=True)
    for difference in differences:
        typer.echo(f"  {difference.field}")
        typer.echo(f"    upstream {_short(difference.upstream)}")
        typer.echo(f"    ours     {_short(difference.ours)}")


def _short(value: object) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list) else repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def _summarise(name: str, tally: _Tally) -> None:
    typer.echo(f"{name:<20} {'lines':>6} {'agree':>6} {'accepted':>9} {'differ':>7}")
    for language in sorted(tally.lines):
        count, accepted, differ = (counter[language] for counter in (tally.lines, tally.accepted, tally.differing))
        typer.echo(f"  {language:<18} {count:>6} {count - accepted - differ:>6} {accepted:>9} {differ:>7}")


__all__ = ["parity_text"]
