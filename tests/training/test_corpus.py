import json
from itertools import islice
from pathlib import Path

from tests.training.conftest import entry
from tests.training.test_text import GLOSSES
from voxswap_training.corpus import BUILT_IN, script
from voxswap_training.entries import is_dev_line, read_index
from voxswap_training.text import is_dev


def test_a_line_cut_off_by_a_stop_is_left_out(tmp_path: Path) -> None:
    lines = [json.dumps({name: getattr(entry(n, "amber"), name) for name in entry(0, "a").__slots__}) for n in range(3)]
    (tmp_path / "index.jsonl").write_text("\n".join(lines)[:-20])
    assert [found.number for found in read_index(tmp_path)] == [0, 1]
    assert read_index(tmp_path)[1] == entry(1, "amber")
    assert read_index(tmp_path / "nowhere") == []


def test_the_script_is_the_same_wherever_it_starts_and_keeps_dev_sentences_apart(tmp_path: Path) -> None:
    wordnet = dict(GLOSSES)
    wordnet["verb"] = "".join(f'0 29 v 01 go 0 | go; "we go to the {n} market of {n}"\n' for n in _numbers())
    for part, text in wordnet.items():
        (tmp_path / f"data.{part}").write_text(text, "latin-1")
    lines = list(islice(script(tmp_path, 1, built_in_share=0.7), 200))
    again = list(islice(script(tmp_path, 1, built_in_share=0.7, start=150), 50))
    assert lines[150:] == again
    dev = {line.text for line in lines if is_dev_line(line.number)}
    assert dev
    assert all(is_dev(text) for text in dev)
    trained = " ".join(line.text for line in lines if not is_dev_line(line.number))
    assert not any(text in trained for text in dev)
    assert {line.voice.split("-")[0] for line in lines} == {"mix", *BUILT_IN.values()}


def _numbers() -> list[str]:
    tens = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
    return [
        f"{ten} {unit}"
        for ten in tens
        for unit in ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    ]


def test_two_in_a_hundred_lines_are_kept_out() -> None:
    assert [number for number in range(150) if is_dev_line(number)] == [49, 99, 149]
