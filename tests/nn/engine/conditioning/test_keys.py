"""Keys of a prompt's pieces: every fact that a piece depends on misses when it changes, and no other does."""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from voxswap_server.engine import device as device_module
from voxswap_server.engine.conditioning import Key, keys, software
from voxswap_server.engine.device import Device
from voxswap_server.engine.prompt_keys import (
    Ground,
    Inputs,
    Limits,
    PromptKeys,
    address_of_clip,
    address_of_weights,
)
from voxswap_server.nn.specs import spec_of

CPU = Device(torch.device("cpu"), torch.float32, 1)
LIMITS = Limits(60.0, 8 << 20)
CLIPS = ("main", "second", "third")
NETWORKS = {"hubert": "hubert-1", "eres2net": "eres2net-1"}
ON_CPU = {"spectrum", "mel"}
ON_DEVICE = {"tokens", "speaker_vector", "conditioning"}
ALL = ON_CPU | ON_DEVICE


def of(version: str = "v2Pro", *, device: Device = CPU, **changes: object) -> dict[str, Key]:
    """Every key of a prompt, with some of its inputs changed."""
    spec = spec_of(version)
    inputs = replace(Inputs(CLIPS, NETWORKS, "decoder-1", "quantizer-1", (1, 2, 3)), **changes)
    made = PromptKeys(spec, Ground.of(device), inputs)
    per_clip = {"spectrum": made.spectrum, "speaker_vector": made.speaker_vector, "mel": made.mel}
    return {
        "tokens": made.tokens(),
        "conditioning": made.conditioning(),
        **{name: of_clip(inputs.clips[0]) for name, of_clip in per_clip.items()},
    }


def changed(version: str = "v2Pro", **changes: object) -> set[str]:
    before, after = of(version), of(version, **changes)
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("version", "changes", "missing"),
    [
        ("v2Pro", {}, set()),
        ("v2Pro", {"clips": ("other", "second", "third")}, ALL),
        ("v2Pro", {"clips": ("main", "other", "third")}, {"conditioning"}),
        ("v2Pro", {"clips": ("main", "third", "second")}, {"conditioning"}),  # a mean rounds by its order
        ("v2Pro", {"clips": ("main", "second")}, {"conditioning"}),
        ("v2Pro", {"clips": ("main", "second", "third", "third")}, {"conditioning"}),
        ("v2Pro", {"networks": NETWORKS | {"hubert": "hubert-2"}}, {"tokens"}),
        ("v2Pro", {"networks": NETWORKS | {"eres2net": "eres2net-2"}}, {"speaker_vector", "conditioning"}),
        ("v2Pro", {"decoder": "decoder-2"}, {"conditioning"}),
        ("v2Pro", {"quantizer": "quantizer-2"}, {"tokens"}),
        ("v2Pro", {"phones": (1, 2, 4)}, set()),
        ("v3", {"phones": (1, 2, 4)}, {"conditioning"}),
        ("v3", {"phones": (12, 3)}, {"conditioning"}),
        ("v3", {"networks": NETWORKS | {"hubert": "hubert-2"}}, {"tokens", "conditioning"}),
        ("v3", {"quantizer": "quantizer-2"}, {"tokens", "conditioning"}),
        ("v3", {"decoder": "decoder-2"}, {"conditioning"}),
    ],
)
def test_a_changed_input_misses_what_depends_on_it(version: str, changes: dict[str, object], missing: set[str]) -> None:
    assert changed(version, **changes) == missing


@pytest.mark.parametrize(
    ("device", "missing"),
    [
        (Device(torch.device("cpu"), torch.float16, 1), ON_DEVICE),
        (Device(torch.device("cpu"), torch.bfloat16, 1), ON_DEVICE),
        (Device(torch.device("cpu"), torch.float32, 2), ALL),
    ],
    ids=["fp16", "bf16", "two threads"],
)
def test_another_precision_or_another_way_to_round_misses(device: Device, missing: set[str]) -> None:
    before, after = of(), of(device=device)
    assert {name for name in before if before[name] != after[name]} == missing


def test_another_gpu_misses_what_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, found = Device(torch.device("cuda"), torch.float32, 1), []
    for name in ("one", "two"):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device, name=name: name)
        found.append(of(device=cuda))
    first, second = found
    assert {name for name in first if first[name] != second[name]} == ON_DEVICE
    assert all(of()[name] != first[name] for name in ON_DEVICE)
    assert all(of()[name] == first[name] for name in ON_CPU)


def test_another_processor_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    before = of()
    monkeypatch.setattr(device_module, "_processor", lambda: "another")
    assert all(before[name] != key for name, key in of().items())


@pytest.mark.parametrize("library", ["voxswap", "torch", "torchaudio", "soxr", "transformers", "av", "soundfile"])
def test_another_version_of_what_computes_misses(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, real = of(), keys.version
    monkeypatch.setattr(keys, "version", lambda name: "0" if name == library else real(name))
    assert software()[library] == "0"
    assert all(before[name] != key for name, key in of().items())


def test_another_format_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    before = of()
    monkeypatch.setattr(keys, "FORMAT", keys.FORMAT + 1)
    assert all(before[name] != key for name, key in of().items())


def test_versions_share_what_their_tables_have_in_common() -> None:
    v2, pro, v3, v4 = (of(version) for version in ("v2", "v2Pro", "v3", "v4"))
    assert v2["tokens"] == pro["tokens"] == v3["tokens"]
    assert v2["spectrum"] == v4["spectrum"]
    assert len({v3["mel"], v4["mel"]}) == 2  # of another rate


def test_no_two_kinds_share_a_key() -> None:
    assert len({key.digest for key in of().values()}) == len(of())


@pytest.mark.parametrize("limits", [Limits(30.0, 8 << 20), Limits(60.0, 4 << 20)])
def test_what_stricter_limits_refuse_is_not_found_either(limits: Limits) -> None:
    assert address_of_clip(b"audio", LIMITS) == address_of_clip(b"audio", LIMITS)
    assert address_of_clip(b"audio", limits) != address_of_clip(b"audio", LIMITS)
    assert address_of_clip(b"other", LIMITS) != address_of_clip(b"audio", LIMITS)


def test_weights_are_told_apart_by_kind_shape_and_value() -> None:
    plain = torch.arange(6, dtype=torch.float32)
    others = [plain.double(), plain.half(), plain.view(2, 3), plain.view(3, 2), plain + 1, torch.cat((plain, plain))]
    addresses = {address_of_weights([tensor]) for tensor in (plain, *others)}
    assert len(addresses) == 1 + len(others)
    assert address_of_weights([plain.view(2, 3).T.contiguous().T]) == address_of_weights([plain.view(2, 3)])
    assert address_of_weights([plain[:3], plain[3:]]) != address_of_weights([plain[3:], plain[:3]])


facts = st.dictionaries(
    st.text(min_size=1).filter(lambda name: name != "tensors"),
    st.integers() | st.text() | st.none() | st.lists(st.integers()),
    max_size=4,
)


@given(facts, facts)
def test_keys_are_equal_where_facts_are(one: dict, other: dict) -> None:
    equal = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (Key.of("tokens", **one) == Key.of("tokens", **other)) == equal
    assert Key.of("tokens", **one) == Key.of("tokens", **dict(reversed(one.items())))
    assert Key.of("tokens", **one).digest != Key.of("mel", **one).digest
    assert Key.of("tokens", **one).digest != Key.of("tokens", tensors=("other",), **one).digest
