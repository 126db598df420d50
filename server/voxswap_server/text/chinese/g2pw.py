"""g2pW: which of its readings a Mandarin character has in its sentence (Chen et al. 2022), by an ONNX model.

Reads the files as they are published (`G2PWModel`), however their names are capitalised: the model, its characters of
several readings and of one, and its table from Bopomofo to pinyin. Knows nothing of words, tones in company, or phones.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from misaki.zh_normalization.char_convert import simplified_to_traditional
from numpy.typing import NDArray

_MODEL: Final = "g2pw.onnx"
_READINGS, _PLAIN, _PINYIN = "polyphonic_chars.txt", "monophonic_chars.txt", "bopomofo_to_pinyin_wo_tune_dict.json"
_CONTEXT_CHARS = 16
"""On either side of the first and the last character that is asked about."""
_LEFT_TO_THE_RULES: Final = frozenset("一不和咋嗲剖差攢倒難奔勁拗肖瘙誒泊听噢")
"""Characters of several readings that are not asked about."""
_NOT_PLAIN: Final = frozenset("似攢")
_ASKED_AT_ONCE: Final = 16
"""Characters of one run of the model: each costs it another copy of the whole sentence."""


@dataclass(frozen=True, slots=True)
class _Query:
    """A character whose reading is asked for."""

    place: int
    char: str


class Polyphones:
    """Readings of characters in their sentences. Any thread may call it.

    Args:
        directory: of the model.
        tokenizer: folder with `tokenizer.json` or `vocab.txt` of the BERT that the model was made from.

    Raises:
        OSError: a file cannot be read.
        ValueError: one is damaged, or they do not belong together.
    """

    def __init__(self, directory: Path, tokenizer: Path) -> None:
        files = [_file(directory, name) for name in (_READINGS, _PLAIN, _PINYIN, _MODEL)]
        readings, plain, pinyin, model = files
        self.size_bytes = sum(file.stat().st_size for file in files)
        """As on disk: what a session over a file holds, within 2 % of a model of this size (docs/OPERATING.md)."""
        table = _table(readings)
        self._labels = sorted({f"{char} {bopomofo}" for char, bopomofo in table})
        place = {label: index for index, label in enumerate(self._labels)}
        self._choices: dict[str, list[int]] = {}
        for char, bopomofo in table:
            self._choices.setdefault(char, []).append(place[f"{char} {bopomofo}"])
        self._characters = {char: index for index, char in enumerate(sorted(self._choices))}
        self._plain = {char: bopomofo for char, bopomofo in _table(plain) if char not in _NOT_PLAIN}
        self._pinyin: Mapping[str, str] = json.loads(pinyin.read_text("utf-8"))
        self._pieces = _vocabulary(tokenizer)
        self._session = _session(model)

    def readings(self, sentence: str) -> list[str | None]:
        """Pinyin with its tone ("hang2") of each character; None where the model knows none.

        Args:
            sentence: simplified or traditional.
        """
        written = simplified_to_traditional(sentence)
        if len(written) != len(sentence):
            return [None] * len(sentence)
        found = [self._said(self._plain[char]) if char in self._plain else None for char in written]
        queries = [
            _Query(place, char)
            for place, char in enumerate(written)
            if char in self._characters and char not in _LEFT_TO_THE_RULES
        ]
        if queries:
            start = max(0, queries[0].place - _CONTEXT_CHARS)
            text = written[start : queries[-1].place + _CONTEXT_CHARS + 1].lower()
            pieces, places = self._tokens(text)
            for first in range(0, len(queries), _ASKED_AT_ONCE):
                some = queries[first : first + _ASKED_AT_ONCE]
                answers = self._ask(some, pieces, [places[query.place - start] for query in some])
                for query, bopomofo in zip(some, answers, strict=True):
                    found[query.place] = self._said(bopomofo)
        return found

    def _ask(self, queries: Sequence[_Query], pieces: Sequence[int], places: Sequence[int]) -> Iterator[str]:
        """Bopomofo of characters of one text, which stand at these places among its pieces."""
        count = len(queries)
        masks = np.zeros((count, len(self._labels)), np.float32)
        for row, query in enumerate(queries):
            masks[row, self._choices[query.char]] = 1.0
        ids = np.tile(np.array(pieces, np.int64), (count, 1))
        inputs: dict[str, NDArray[Any]] = {
            "input_ids": ids,
            "token_type_ids": np.zeros_like(ids),
            "attention_mask": np.ones_like(ids),
            "phoneme_mask": masks,
            "char_ids": np.array([self._characters[query.char] for query in queries], np.int64),
            "position_ids": np.array(places, np.int64),
        }
        for chosen in self._session.run(None, inputs)[0].argmax(-1).tolist():
            yield self._labels[chosen].split(" ")[1]

    def _tokens(self, text: str) -> tuple[list[int], list[int]]:
        """Rows of the pieces, between [CLS] and [SEP], and each character's place among them.

        A Chinese character and a mark are pieces by themselves; of anything else only the company counts, so a word of
        other letters is one unknown piece unless the vocabulary has it.
        """
        rows, places = [self._pieces["[CLS]"]], []
        for _, group in groupby(enumerate(text), lambda item: item[0] if not _is_word(item[1]) else -1):
            word = "".join(char for _, char in group)
            places += [len(rows)] * len(word)
            if not word.isspace():
                rows.append(self._pieces.get(word, self._pieces["[UNK]"]))
        return [*rows, self._pieces["[SEP]"]], places

    def _said(self, bopomofo: str) -> str | None:
        base = self._pinyin.get(bopomofo[:-1])
        return base + bopomofo[-1] if base else None


def _file(directory: Path, name: str) -> Path:
    """The file of this name in small letters; where there is none, the one that lacks."""
    return next((path for path in sorted(directory.iterdir()) if path.name.lower() == name), directory / name)


def _session(model: Path) -> Any:
    """Over a file: made of its bytes, a session would keep a second copy of them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # which keeps for good what the longest sentence took
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of its own for each damage
        raise ValueError("its model is damaged") from error


def _vocabulary(folder: Path) -> Mapping[str, int]:
    """Piece → row."""
    described = folder / "tokenizer.json"
    if described.is_file():
        rows: Mapping[str, int] = json.loads(described.read_text("utf-8")).get("model", {}).get("vocab", {})
    else:
        rows = {piece: row for row, piece in enumerate((folder / "vocab.txt").read_text("utf-8").split("\n"))}
    if not {"[CLS]", "[SEP]", "[UNK]"} <= rows.keys():
        raise ValueError("its vocabulary is not BERT's")
    return rows


def _table(path: Path) -> list[tuple[str, str]]:
    """Characters and their Bopomofo with the tone as a digit, one pair a line."""
    rows = [line.split("\t") for line in path.read_text("utf-8").strip().split("\n")]
    if any(len(row) != 2 for row in rows):
        raise ValueError(f"{path.name} is no table of two columns")
    return [(char, bopomofo) for char, bopomofo in rows]


def _is_word(char: str) -> bool:
    return char.isalnum() and not "\u3400" <= char <= "\u9fff"
