"""g2pW on a tiny model in the published layout: what it is asked, and what becomes of its answers."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from tests.fixtures.g2pw import write_g2pw
from voxswap_server.text.chinese.g2pw import Polyphones
from voxswap_server.text.frontend import TextFrontend

FAVOURS = {"銀": "行 ㄏㄤ2", "走": "行 ㄒㄧㄥ2", "音": "樂 ㄩㄝ4", "快": "樂 ㄌㄜ4"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Polyphones:
    root = tmp_path_factory.mktemp("g2pw")
    write_g2pw(root / "G2PWModel", root / "bert", FAVOURS)
    return Polyphones(root / "G2PWModel", root / "bert")


def test_the_company_decides(model: Polyphones) -> None:
    assert model.readings("银行") == [None, "hang2"]
    assert model.readings("走行") == ["zou3", "xing2"]
    assert model.readings("音乐") == [None, "yue4"]
    assert model.readings("快乐") == [None, "le4"]


def test_every_character_that_is_asked_about_has_its_own_mask_and_place(model: Polyphones) -> None:
    # Each label of another character is shut out by the mask, so these would be wrong if places were mixed up.
    assert model.readings("快乐，走行长") == [None, "le4", None, "zou3", "xing2", "zhang3"]


def test_letters_before_a_character_do_not_move_its_place(model: Polyphones) -> None:
    assert model.readings("abc zzz走行")[-1] == "xing2"
    assert model.readings("ABC走行")[-1] == "xing2"


def test_only_the_company_nearby_is_heard(model: Polyphones) -> None:
    near, far = "走" + "，" * 10 + "行", "走" + "，" * 30 + "行"
    assert model.readings(near)[-1] == "xing2"
    assert model.readings(far)[-1] == "hang2"  # a tie goes to the first label


def test_many_characters_of_one_sentence_are_asked_about_in_several_runs(model: Polyphones) -> None:
    runs: list[int] = []

    class Counted:
        def run(self, names: None, inputs: Mapping[str, NDArray[Any]]) -> Any:
            runs.append(len(inputs["input_ids"]))
            return model._session.run(names, inputs)

    class InRuns(Polyphones):
        def __init__(self) -> None:
            vars(self).update(vars(model), _session=Counted())

    assert InRuns().readings("快乐" + "行长" * 20) == [None, "le4", *["hang2", "zhang3"] * 20]
    assert (sum(runs), max(runs), len(runs)) == (41, 16, 3)


def test_a_text_without_such_characters_asks_nothing(model: Polyphones) -> None:
    assert model.readings("你好") == [None, None]
    assert model.readings("") == []


def test_readings_reach_the_phones(model: Polyphones) -> None:
    frontend = TextFrontend({"zh": {"polyphones": lambda: nullcontext(model)}})
    plain = TextFrontend()
    assert "ve4" in frontend.read("音乐", "zh", "v2")[0].phones
    said = frontend.read("银行，走行", "zh", "v2")[0]
    assert said.phones == ("y", "in2", "h", "ang2", ",", "z", "ou3", "x", "ing2")
    assert plain.read("银行，走行", "zh", "v2")[0].word2ph == said.word2ph


def test_damage_is_told_by_kind(tmp_path: Path) -> None:
    folder, tokenizer = tmp_path / "G2PWModel", tmp_path / "bert"
    write_g2pw(folder, tokenizer, FAVOURS)
    (folder / "g2pW.onnx").write_bytes(b"no model")
    with pytest.raises(ValueError, match="its model is damaged"):
        Polyphones(folder, tokenizer)
    (folder / "MONOPHONIC_CHARS.txt").write_text("銀")
    with pytest.raises(ValueError, match=r"MONOPHONIC_CHARS\.txt is no table"):
        Polyphones(folder, tokenizer)
    (tokenizer / "vocab.txt").write_text("a\nb")
    (folder / "MONOPHONIC_CHARS.txt").write_text("銀\tㄧㄣ2")
    with pytest.raises(ValueError, match="vocabulary"):
        Polyphones(folder, tokenizer)
    (folder / "POLYPHONIC_CHARS.txt").unlink()
    with pytest.raises(FileNotFoundError):
        Polyphones(folder, tokenizer)
