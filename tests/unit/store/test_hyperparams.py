"""What is read of a `hyperparams.yaml`, and what is not done for it."""

import pytest
import yaml

from voxswap_store.hyperparams import NotPlain, read_objects

TEXT = """
n: 80
rate: 0.5
name: amber
deep: {inside: 3}
thing: !new:some.Thing
    whole: !ref <n>
    share: !ref <rate>
    text: !ref <name>
    flag: False
    nothing: null
    list: [1, !ref <n>, x]
    octal: 017
    base60: 1:30
    nan: .nan
    table: !ref <deep>
    missing: !ref <nowhere>
    formula: !ref <n> * 2
    made: !new:other.Thing
    called: !apply:os.system [echo]
other: !name:some.function
"""


def test_plain_values_are_read_and_nothing_else():
    (name, thing), *others = read_objects(TEXT.encode()).items()
    assert (name, thing.cls, others) == ("thing", "some.Thing", [])
    expected = {"whole": 80, "share": 0.5, "text": "amber", "flag": False, "nothing": None, "list": (1, 80, "x")}
    assert {key: thing.arguments[key] for key in expected} == expected
    rest = {key: value for key, value in thing.arguments.items() if key not in expected}
    assert all(isinstance(value, NotPlain) for value in rest.values()), rest
    assert rest["called"] == NotPlain("!apply:os.system")
    assert len(rest) == 8


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "ParserError"),
        ("a: b: c", "ScannerError"),
        ("a: *nowhere", "ComposerError"),
        ("a: 1\n---\nb: 2", "ComposerError"),
        ("[" * 5_000, "RecursionError"),
        ("\x00", "ReaderError"),
        ("#" * 300_000, "300000 bytes; at most"),
        ('a: "\\UFFFFFFFF"', "YAML|Error"),
    ],
)
def test_what_cannot_be_read_is_one_kind_of_error(text, why):
    with pytest.raises(ValueError, match=why):
        read_objects(text.encode())


def test_bytes_that_are_no_text():
    with pytest.raises(ValueError, match="no YAML"):
        read_objects(b"\xff\xfe\xff")


@pytest.mark.parametrize("text", ["", "- 1\n- 2", "plain", "? [a, b]\n: !new:some.Thing {}", "&a [*a]"])
def test_what_makes_no_objects_is_empty(text):
    assert read_objects(text.encode()) == {}


def test_a_reference_in_a_circle_ends():
    thing = read_objects(b"a: !ref <b>\nb: !ref <a>\nc: !new:some.Thing {x: !ref <a>, y: &y [*y]}")["c"]
    assert thing.arguments == {"x": NotPlain("!ref"), "y": (NotPlain("tag:yaml.org,2002:seq"),)}


def test_merges_are_not_multiplied_out():
    levels = ["a0: &a0 {k: 1}", *(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}, *a{i - 1}]}}" for i in range(1, 40))]
    bomb = "\n".join([*levels, "thing: !new:some.Thing {<<: *a39, size: 3}"])  # 3 to the power of 39, if it were
    thing = read_objects(bomb.encode())["thing"]
    assert thing.arguments["size"] == 3
    assert isinstance(yaml.compose(bomb, Loader=yaml.SafeLoader), yaml.MappingNode)
