"""Compares our front-end line by line with recorded answers of upstream's.

Knows nothing of files or terminals. A line is one of three kinds, told by its keys: a text read in one language, an
utterance with its language runs, a text with all its cuts.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from voxswap_server.domain import CutMethod
from voxswap_server.errors import RequestError
from voxswap_server.text import cuts
from voxswap_server.text.frontend import TextFrontend
from voxswap_server.text.runs import RunFinder
from voxswap_server.text.symbols import SYMBOLS

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of one line that is not upstream's."""

    field: str
    upstream: Any
    ours: Any


@dataclass(frozen=True, slots=True)
class Accepted:
    """A difference that was looked at and is meant to be."""

    text: str
    lang: str
    reason: str
    fields: frozenset[str] = frozenset()
    """Which fields may differ; empty means any."""

    def covers(self, line: Line, differences: Sequence[Difference]) -> bool:
        return (
            (self.text, self.lang) == (line["text"], line["lang"])
            and bool(differences)
            and (not self.fields or self.fields.issuperset(difference.field for difference in differences))
        )


class TextParity:
    """Compares lines; holds one front-end for all of them."""

    def __init__(self) -> None:
        self._frontend = TextFrontend()
        self._run_finder = RunFinder()

    def differences(self, line: Line) -> list[Difference]:
        """Every field of a line in which we differ; empty when we agree.

        Raises:
            KeyError: the line has none of the known forms.
        """
        kind: Callable[[Line], Iterator[Difference]] = self._reading
        if "cut0" in line:
            kind = self._cuts
        elif "lang_segments" in line:
            kind = self._utterance
        return list(kind(line))

    def _reading(self, line: Line) -> Iterator[Difference]:
        run, _ = self._frontend.read(line["text"], line["lang"], line["version"])
        ours = {
            "norm_text": run.norm_text,
            "phones": list(run.phones),
            "ids": list(SYMBOLS[line["version"]].ids(run.phones)),
            "word2ph": None if run.word2ph is None else list(run.word2ph),
        }
        yield from _unequal(line, ours)

    def _utterance(self, line: Line) -> Iterator[Difference]:
        ours: dict[str, Any] = {"norm_text": "", "ids": []}
        try:
            utterance = self._frontend.analyse(line["text"], line["lang"], line["version"])
        except RequestError:
            pass
        else:
            ours = {"norm_text": utterance.norm_text, "ids": list(utterance.phones)}
        if line["lang_segments"] is not None:
            pieces = self._run_finder.detected(line["text"], line["lang"])
            ours["lang_segments"] = [{"lang": piece.language, "text": piece.text} for piece in pieces]
        yield from _unequal(line, ours)

    def _cuts(self, line: Line) -> Iterator[Difference]:
        text = line["text"]
        collapsed = cuts.collapse_repeats(text)
        for number, method in enumerate(CutMethod):
            upstream = line[f"cut{number}"]
            try:
                ours: Any = cuts.utterances(collapsed, line["lang"], method)
            except RequestError:
                ours = None
            if ours != upstream.get("pre_seg"):
                yield Difference(f"cut{number}.pre_seg", upstream.get("pre_seg"), ours)
            if collapsed != upstream["replaced"]:
                yield Difference(f"cut{number}.replaced", upstream["replaced"], collapsed)
            # upstream says "nothing is left" by a line break, by nothing, or for an empty text not at all
            pieces = (upstream["raw"] or "").strip("\n")
            if "\n".join(cuts.cut(text, method)).strip("\n") != pieces:
                yield Difference(f"cut{number}.raw", upstream["raw"], "\n".join(cuts.cut(text, method)))


def _unequal(line: Line, ours: Mapping[str, Any]) -> Iterator[Difference]:
    for field, value in ours.items():
        if line[field] != value:
            yield Difference(field, line[field], value)
