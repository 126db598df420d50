"""The committed sample of upstream's answers, and the command that compares with them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from voxswap_server.cli.main import app

GOLDENS = Path("tests/goldens/text")


def compare(*arguments):
    return CliRunner().invoke(app, ["parity-text", *map(str, arguments)])


@pytest.mark.parametrize("name", ["g2p", "wide", "cuts", "utterances", "numbers"])
def test_every_line_is_upstreams_or_accepted(name):
    result = compare(GOLDENS / f"{name}.jsonl", "--accepted", GOLDENS / "accepted.toml")
    assert result.exit_code == 0, result.output
    assert "lines  agree" in result.output


@pytest.fixture
def line():
    rows = map(json.loads, (GOLDENS / "g2p.jsonl").read_text("utf-8").splitlines())
    return next(row for row in rows if row["lang"] == "en")


def written(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


@pytest.mark.parametrize("field", ["norm_text", "phones", "ids", "word2ph"])
def test_a_line_that_differs_in_any_field_fails_and_is_shown(tmp_path, line, field):
    line[field] = "wrong" if field == "norm_text" else ["wrong"]
    result = compare(written(tmp_path / "lines.jsonl", line))
    assert result.exit_code == 1
    assert f"lines.jsonl:1 en {line['version']} {line['text']!r}" in result.output
    assert f"  {field}\n    upstream " in result.output


def test_cuts_and_runs_that_differ_fail(tmp_path):
    row = json.loads((GOLDENS / "cuts.jsonl").read_text("utf-8").splitlines()[3])
    row["cut5"]["pre_seg"] = ["wrong"]
    said = json.loads((GOLDENS / "utterances.jsonl").read_text("utf-8").splitlines()[0])
    said["lang_segments"] = []
    result = compare(written(tmp_path / "lines.jsonl", row, said))
    assert result.exit_code == 1
    assert "cut5.pre_seg" in result.output
    assert "lang_segments" in result.output


def accept(path, line, **more):
    entry = {"text": line["text"], "lang": line["lang"], "reason": "known", **more}
    fields = "\n".join(f"{key} = {json.dumps(value)}" for key, value in entry.items())
    path.write_text(f"[[accepted]]\n{fields}\n", "utf-8")
    return path


def test_an_accepted_line_passes_while_they_are_few(tmp_path, line):
    wrong = {**line, "ids": [1]}
    few = written(tmp_path / "few.jsonl", *[line] * 40, wrong)
    result = compare(few, "--accepted", accept(tmp_path / "a.toml", line, fields=["ids"]))
    assert result.exit_code == 0, result.output
    assert "few.jsonl:41 en accepted: known" in result.output

    many = written(tmp_path / "many.jsonl", *[line] * 30, wrong)
    result = compare(many, "--accepted", tmp_path / "a.toml")
    assert result.exit_code == 1
    assert "more than 3% accepted in en" in result.output


def test_an_excuse_for_one_field_does_not_cover_another(tmp_path, line):
    wrong = written(tmp_path / "lines.jsonl", *[line] * 40, {**line, "norm_text": "wrong"})
    assert compare(wrong, "--accepted", accept(tmp_path / "a.toml", line, fields=["ids"])).exit_code == 1


def test_an_excuse_without_a_reason_is_refused(tmp_path, line):
    result = compare(
        written(tmp_path / "lines.jsonl", line), "--accepted", accept(tmp_path / "a.toml", line, reason=" ")
    )
    assert result.exit_code == 2
    assert "needs text, lang and reason" in result.output


@pytest.mark.parametrize("content", ["not json\n", '{"text": "no language"}\n', "[]\n"])
def test_a_file_of_something_else_is_refused_by_line(tmp_path, content):
    path = tmp_path / "lines.jsonl"
    path.write_text(content, "utf-8")
    result = compare(path)
    assert result.exit_code == 2
    assert "lines.jsonl:1 is not a recorded line" in result.output


def test_an_empty_file_proves_nothing(tmp_path):
    result = compare(written(tmp_path / "lines.jsonl"))
    assert result.exit_code == 1
    assert "no line was read" in result.output
