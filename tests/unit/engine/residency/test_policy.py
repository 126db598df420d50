"""Who goes, and when a failed load may be tried again."""

import gc
import inspect
import weakref
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fixtures.fake_loader import Clock
from voxswap_server import errors
from voxswap_server.engine.residency.policy import FailureCache, bare_copy, choose_victims
from voxswap_server.errors import OutOfMemory, VoiceUnusable, VoxswapError


@dataclass(eq=False)
class Piece:
    size_bytes: int
    holders: set = field(default_factory=set)


@dataclass(eq=False)
class Candidate:
    name: str
    parts: dict[str, Piece]


def candidates_of(voices: dict[str, dict[str, int]]) -> list[Candidate]:
    pieces: dict[str, Piece] = {}
    made = []
    for name, parts in voices.items():
        candidate = Candidate(name, {})
        for key, size in parts.items():
            piece = pieces.setdefault(key, Piece(size))
            piece.holders.add(candidate)
            candidate.parts[key] = piece
        made.append(candidate)
    return made


def names(victims: list[Candidate] | None) -> list[str] | None:
    return None if victims is None else [victim.name for victim in victims]


def test_least_recently_used_goes_first():
    voices = candidates_of({"old": {"a": 10}, "newer": {"b": 10}, "newest": {"c": 10}})
    assert names(choose_victims(voices, 10)) == ["old"]
    assert names(choose_victims(voices, 11)) == ["old", "newer"]


def test_nobody_goes_whom_the_others_can_spare():
    voices = candidates_of({"small": {"a": 10}, "tiny": {"b": 5}, "large": {"c": 100}})
    assert names(choose_victims(voices, 100)) == ["large"]


def test_nobody_goes_in_vain():
    voices = candidates_of({"one": {"a": 10}, "two": {"b": 10}})
    assert choose_victims(voices, 21) is None
    assert choose_victims([], 1) is None
    assert names(choose_victims(voices, 0)) == []


def test_a_shared_part_is_freed_only_with_all_who_hold_it():
    voices = candidates_of({"one": {"base": 80, "a": 10}, "two": {"base": 80, "b": 10}, "other": {"c": 30}})
    assert names(choose_victims(voices, 10)) == ["one"]
    assert names(choose_victims(voices, 11)) == ["one", "two"]
    outsider = Candidate("leased", {})
    voices[0].parts["base"].holders.add(outsider)
    assert choose_victims(voices, 60) is None


def test_what_the_newcomer_needs_is_not_counted_as_freed():
    voices = candidates_of({"one": {"base": 80, "a": 10}, "two": {"c": 50}})
    assert names(choose_victims(voices, 50, frozenset({"base"}))) == ["two"]


@st.composite
def populations(draw):
    keys = draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True))
    sizes = {key: draw(st.integers(0, 50)) for key in keys}
    count = draw(st.integers(0, 7))
    return {
        f"voice{index}": {key: sizes[key] for key in draw(st.sets(st.sampled_from(keys), min_size=1))}
        for index in range(count)
    }


def freed(victims: list[Candidate], keep: frozenset[str]) -> int:
    parts = {key: part for victim in victims for key, part in victim.parts.items()}
    return sum(part.size_bytes for key, part in parts.items() if key not in keep and part.holders <= set(victims))


@given(populations(), st.integers(0, 200), st.frozensets(st.sampled_from("abcdefgh")))
def test_victims_suffice_none_can_be_spared_and_none_exist_only_if_all_do_not_suffice(voices, need_bytes, keep):
    candidates = candidates_of(voices)
    victims = choose_victims(candidates, need_bytes, keep)
    if victims is None:
        assert freed(candidates, keep) < need_bytes
        return
    assert freed(victims, keep) >= need_bytes
    for spared in victims:
        assert freed([victim for victim in victims if victim is not spared], keep) < need_bytes


def test_back_off_doubles_up_to_a_limit_and_ends():
    clock = Clock()
    failures = FailureCache(backoff_s=1.0, max_backoff_s=5.0, clock=clock)
    for wait_s in (1.0, 2.0, 4.0, 5.0, 5.0):
        failures.record("v", VoiceUnusable("v", "bad"), "r1")
        assert failures.blocking("v").retry_at_s == clock() + wait_s
        clock.pass_s(wait_s - 0.001)
        assert failures.blocking("v") is not None
        clock.pass_s(0.001)
        assert failures.blocking("v") is None


def test_a_failure_is_forgotten_a_while_after_its_wait_or_when_cleared_or_with_another_revision():
    clock = Clock()
    failures = FailureCache(backoff_s=1.0, max_backoff_s=5.0, clock=clock)
    failures.record("v", VoiceUnusable("v", "bad"), "r1")
    failures.record("v", VoiceUnusable("v", "bad"), "r1")
    failures.record("v", VoiceUnusable("v", "bad"), "r2")
    assert failures.last("v").count == 1
    clock.pass_s(1.0 + 5.0)
    assert failures.last("v") is None
    failures.record("v", VoiceUnusable("v", "bad"), "r2")
    assert failures.last("v").count == 1
    failures.clear("v")
    assert failures.last("v") is None


def test_a_refusal_says_when_the_load_is_tried_again():
    clock = Clock()
    failures = FailureCache(backoff_s=8.0, max_backoff_s=60.0, clock=clock)
    failures.record("v", OutOfMemory("full", retry_after_s=1.0), "r1")
    clock.pass_s(3.0)
    refusal = failures.refusal(failures.blocking("v"))
    assert isinstance(refusal, OutOfMemory)
    assert refusal.retry_after_s == 5.0
    assert str(refusal) == "full; it will be tried again in 5 s"
    assert refusal.lasting_message == "full"


@pytest.mark.parametrize(
    "error",
    [
        errors.VoiceNotFound("x", ["y"]),
        errors.VoiceUnusable("x", "broken"),
        errors.AssetMissing("bert", "import it"),
        errors.OutOfMemory("full", retry_after_s=3.0),
        errors.BadReferenceAudio("short", field="prompt.audio"),
    ],
)
def test_a_bare_copy_says_the_same(error):
    copy = bare_copy(error)
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
    assert bare_copy(error, hint="!").message == error.message + "!"


def test_every_class_of_the_tree_can_be_copied():
    for _name, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, VoxswapError):
            blank = kind.__new__(kind)
            blank.message = "m"
            assert str(bare_copy(blank)) == "m"


class Weights:
    """Something that would be a pity to keep."""


def load_and_fail(kept: list[VoxswapError]) -> weakref.ref:
    weights = Weights()
    reference = weakref.ref(weights)
    try:
        try:
            open_file(weights)
        except OSError as error:
            raise VoiceUnusable("v", "unreadable") from error
    except VoiceUnusable as error:
        kept.append(bare_copy(error))
    return reference


def open_file(weights: Weights) -> None:
    raise OSError(weights)


def test_a_bare_copy_keeps_no_memory_of_the_failed_load_alive():
    kept: list[VoxswapError] = []
    reference = load_and_fail(kept)
    gc.collect()
    assert reference() is None
    assert kept[0].__traceback__ is kept[0].__cause__ is kept[0].__context__ is None
