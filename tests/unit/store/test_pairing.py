"""Which checkpoints of a GPT-SoVITS folder belong together."""

import pytest

from voxswap_server.errors import RequestError
from voxswap_store.pairing import pair_checkpoints


@pytest.fixture
def folder(tmp_path):
    def add(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return add


def found(pairing):
    return {pair.voice_id: (pair.t2s.name, pair.sovits.name) for pair in pairing.pairs}


def test_halves_pair_by_version_and_name(folder):
    root = folder(
        "GPT_weights/ann-e10.ckpt",
        "SoVITS_weights/ann_e8_s100.pth",
        "GPT_weights_v2/bob-e15.ckpt",
        "SoVITS_weights_v2/bob_e4_s50.pth",
        "GPT_weights_v2Pro/Carla Fox-e15.ckpt",
        "SoVITS_weights_v2Pro/Carla Fox_e4_s50.pth",
        "GPT_weights_v4/dora-e15.ckpt",
        "SoVITS_weights_v4/dora_e2_s40_l32.pth",
        "GPT_weights_v2/readme.txt",
        "unrelated/eve-e1.ckpt",
    )
    pairing = pair_checkpoints(root)
    assert found(pairing) == {
        "ann": ("ann-e10.ckpt", "ann_e8_s100.pth"),
        "bob": ("bob-e15.ckpt", "bob_e4_s50.pth"),
        "carla-fox": ("Carla Fox-e15.ckpt", "Carla Fox_e4_s50.pth"),
        "dora": ("dora-e15.ckpt", "dora_e2_s40_l32.pth"),
    }
    assert pairing.problems == ()


def test_the_latest_epoch_wins_by_number(folder):
    root = folder(
        "GPT_weights_v2/a-e5.ckpt",
        "GPT_weights_v2/a-e15.ckpt",
        "GPT_weights_v2/a-e10.ckpt",
        "SoVITS_weights_v2/a_e12_s9.pth",
        "SoVITS_weights_v2/a_e8_s99.pth",
    )
    assert found(pair_checkpoints(root)) == {"a": ("a-e15.ckpt", "a_e12_s9.pth")}


def test_one_name_in_two_versions_makes_two_voices(folder):
    root = folder(
        "GPT_weights_v2/a-e1.ckpt",
        "SoVITS_weights_v2/a_e1_s1.pth",
        "GPT_weights_v4/a-e1.ckpt",
        "SoVITS_weights_v4/a_e1_s1.pth",
    )
    assert set(found(pair_checkpoints(root))) == {"a-v2", "a-v4"}


def test_names_with_digits_and_underscores_are_whole(folder):
    root = folder("GPT_weights_v2/my_e2_voice-e1.ckpt", "SoVITS_weights_v2/my_e2_voice_e1_s1.pth")
    assert set(found(pair_checkpoints(root))) == {"my_e2_voice"}


def test_folders_below_are_found(folder):
    root = folder("app/GPT_weights_v2/a-e1.ckpt", "app/SoVITS_weights_v2/a_e1_s1.pth")
    assert set(found(pair_checkpoints(root))) == {"a"}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["SoVITS_weights_v2/a_e1_s1.pth"], "a_e1_s1.pth (v2) has no T2S checkpoint"),
        (["GPT_weights_v2/a-e1.ckpt"], "a-e1.ckpt (v2) has no SoVITS checkpoint"),
        (["SoVITS_weights_v2Pro/a_e1_s1.pth", "GPT_weights_v2/a-e1.ckpt"], "there is one of v2, which a mapping"),
        (["SoVITS_weights_v2/派蒙_e1_s1.pth", "GPT_weights_v2/派蒙-e1.ckpt"], "makes no voice id"),
        (
            [
                f"{kind}_v2/{name}{end}"
                for name in ("A b", "a-b")
                for kind, end in (("GPT_weights", "-e1.ckpt"), ("SoVITS_weights", "_e1_s1.pth"))
            ],
            "would all be called 'a-b'",
        ),
    ],
)
def test_what_would_be_a_guess_is_told_instead(folder, names, told):
    pairing = pair_checkpoints(folder(*names))
    assert pairing.pairs == ()
    assert told in "; ".join(pairing.problems)


def test_nothing_to_import_is_an_error(folder, tmp_path):
    with pytest.raises(RequestError, match="holds no GPT_weights"):
        pair_checkpoints(folder("x/y.ckpt"))
    with pytest.raises(RequestError, match="no such folder"):
        pair_checkpoints(tmp_path / "nowhere")


PAIMON = ("GPT_weights_v2/派蒙-e1.ckpt", "SoVITS_weights_v2/派蒙_e1_s1.pth")


def mapped(root, text):
    mapping = root / "voices.toml"
    mapping.write_text(text, encoding="utf-8")
    return pair_checkpoints(root, mapping)


def test_a_mapping_gives_ids_and_more(folder):
    root = folder(*PAIMON, "GPT_weights_v2/b-e1.ckpt", "SoVITS_weights_v2/b_e1_s1.pth")
    pairing = mapped(root, '[voices.paimon]\nname = "派蒙"\nlanguage = "zh"\ntags = ["small"]\n')
    assert set(found(pairing)) == {"paimon", "b"}
    assert pairing.problems == ()
    told = next(pair.told for pair in pairing.pairs if pair.voice_id == "paimon")
    assert (told.language, told.tags) == ("zh", ("small",))
    assert set(found(mapped(root, 'only = true\n[voices.paimon]\nname = "派蒙"\n'))) == {"paimon"}


def test_a_mapping_chooses_files(folder):
    root = folder(
        "GPT_weights_v2/a-e1.ckpt", "GPT_weights_v2/a-e9.ckpt", "SoVITS_weights_v2Pro/a_e1_s1.pth", "mine.pth"
    )
    text = '[voices.x]\ngpt = "GPT_weights_v2/a-e1.ckpt"\nsovits = "mine.pth"\n'
    assert found(mapped(root, text))["x"] == ("a-e1.ckpt", "mine.pth")
    assert found(mapped(root, '[voices.x]\nname = "a"\n')) == {"x": ("a-e9.ckpt", "a_e1_s1.pth")}


def test_the_half_of_the_same_version_is_preferred(folder):
    root = folder("GPT_weights_v2/a-e1.ckpt", "GPT_weights_v4/a-e2.ckpt", "SoVITS_weights_v4/a_e1_s1.pth")
    assert found(mapped(root, '[voices.x]\nname = "a"\n'))["x"][0] == "a-e2.ckpt"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[voices", "not TOML"),
        ("only = true\n", "voices"),
        ("[voices.UPPER]\n", "UPPER"),
        ('[voices.x]\ncolour = "red"\n', "colour"),
        ('[voices.x]\ngpt = "nowhere.ckpt"\nsovits = "nowhere.pth"\n', "no file 'nowhere.pth'"),
        ('[voices.x]\nname = "unknown"\n', "there are: none"),
    ],
)
def test_a_wrong_mapping_is_told_with_its_place(folder, text, told):
    with pytest.raises(RequestError, match=told) as caught:
        mapped(folder(*PAIMON), text)
    assert caught.value.field == "mapping"


def test_two_of_a_name_need_a_path(folder):
    root = folder("GPT_weights_v2/a-e1.ckpt", "SoVITS_weights_v2/a_e1_s1.pth", "SoVITS_weights_v4/a_e1_s1.pth")
    with pytest.raises(RequestError, match=r"there are: SoVITS_weights_v2/a_e1_s1\.pth, SoVITS_weights_v4"):
        mapped(root, "[voices.a]\n")
