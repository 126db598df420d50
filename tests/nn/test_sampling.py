"""The sampler against hand-made cases, and against draws that upstream's own code made."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from voxswap_server.nn.noise import PhiloxNoise, RecordedNoise, ZeroNoise
from voxswap_server.nn.sampling import (
    EOS_FREE_STEPS,
    SamplerState,
    Sampling,
    draw,
    penalised,
    survivors,
    token_limit,
)

GOLDENS = Path(__file__).parent.parent / "goldens" / "sampling"
GREEDY = Sampling(top_k=1, repetition_penalty=1.0)
OPEN = Sampling(top_k=10_000, repetition_penalty=1.0)


def row(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def state_at(step: int, vocab: int, seen=()) -> SamplerState:
    state = SamplerState.from_prompt(torch.tensor(seen, dtype=torch.long), vocab)
    state.step = step
    return state


def test_penalty_divides_what_is_positive_and_multiplies_what_is_negative():
    scores = penalised(row(2, -2, 3, 0), np.array([True, True, False, True]), 2.0)
    assert scores.tolist() == [1, -4, 3, 0]


def test_penalty_is_applied_once_to_a_token_seen_twice():
    state = state_at(0, 4, seen=[1, 1, 1])
    assert penalised(row(1, 1, 1, 1), state.seen, 2.0).tolist() == [1, 0.5, 1, 1]


def test_penalty_reaches_the_prompt():
    logits = torch.tensor([1.0, 2.0, 0.0, -9.0])
    assert draw(logits, state_at(20, 4), GREEDY, ZeroNoise()).token == 1
    strict = Sampling(top_k=1, repetition_penalty=3.0)
    assert draw(logits, state_at(20, 4, seen=[1]), strict, ZeroNoise()).token == 0


def test_a_drawn_token_is_penalised_from_then_on():
    logits = torch.tensor([1.0, 1.5, 0.0, -9.0])
    state = state_at(20, 4)
    params = Sampling(top_k=1, repetition_penalty=2.0)
    assert [draw(logits, state, params, ZeroNoise()).token for _ in range(3)] == [1, 0, 1]
    assert state.tokens == [1, 0, 1]


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [
        (0.79, [0]),  # 0.5 + 0.3 crosses it: dropped
        (0.81, [0, 1]),
        (0.01, [0]),  # the best stays whatever it weighs
        (0.96, [0, 1, 2]),
        (1.0, [0, 1, 2, 3]),
    ],
)
def test_top_p_drops_the_token_that_crosses(top_p, expected):
    scores = np.log(row(0.5, 0.3, 0.15, 0.05))
    kept = survivors(scores, Sampling(top_k=99, top_p=top_p)).kept
    assert kept.tolist() == expected


def test_top_p_keeps_the_token_that_reaches_it_exactly():
    assert survivors(row(0, 0, 0, 0), Sampling(top_k=99, top_p=0.5)).kept.tolist() == [0, 1]


def test_top_p_looks_before_the_temperature():
    scores = np.log(row(0.4, 0.3, 0.2, 0.1))
    for temperature in (0.01, 1.0, 100.0):
        kept = survivors(scores, Sampling(top_k=99, top_p=0.75, temperature=temperature)).kept
        assert kept.tolist() == [0, 1]


def test_top_k_keeps_ties_at_the_last_place():
    kept = survivors(row(3, 1, 2, 2, 2, 0), Sampling(top_k=2)).kept
    assert kept.tolist() == [0, 2, 3, 4]


def test_top_k_is_capped_at_the_vocabulary():
    assert survivors(row(3, 1, 2), Sampling(top_k=2000)).kept.tolist() == [0, 2, 1]


def test_top_k_counts_among_what_top_p_left():
    scores = np.log(row(0.1, 0.4, 0.2, 0.3))
    kept, runner_up, margin = survivors(scores, Sampling(top_k=2, top_p=0.95))
    assert kept.tolist() == [1, 3]
    assert runner_up == 2
    assert margin == pytest.approx(np.log(0.3 / 0.2), rel=1e-5)


def test_the_end_cannot_be_drawn_at_first():
    logits = torch.tensor([0.0, 1.0, 0.5, 9.0])
    state = state_at(0, 4)
    draws = [draw(logits, state, GREEDY, ZeroNoise()) for _ in range(EOS_FREE_STEPS + 1)]
    assert [d.stop for d in draws] == [False] * EOS_FREE_STEPS + [True]
    assert [d.token for d in draws] == [1] * EOS_FREE_STEPS + [3]
    assert len(state.tokens) == EOS_FREE_STEPS


def test_noise_has_no_column_for_the_end_at_first():
    seen = []

    class Spy(ZeroNoise):
        def exponential(self, step, size):
            seen.append((step, size))
            return super().exponential(step, size)

    state = state_at(EOS_FREE_STEPS - 1, 8)
    for _ in range(2):
        draw(torch.zeros(8), state, OPEN, Spy())
    assert seen == [(EOS_FREE_STEPS - 1, 7), (EOS_FREE_STEPS, 8)]


def test_a_drawn_end_stops():
    noise = RecordedNoise(exponentials={20: torch.tensor([1.0, 1.0, 1.0, 1e-6])})
    state = state_at(20, 4)
    result = draw(torch.tensor([1.0, 0.0, 0.0, 0.5]), state, OPEN, noise)
    assert (result.token, result.stop, state.tokens) == (3, True, [])


def test_the_end_as_arg_max_stops_though_another_was_drawn():
    noise = RecordedNoise(exponentials={20: torch.tensor([1e-6, 1.0, 1.0, 1.0])})
    result = draw(torch.tensor([0.5, 0.0, 0.0, 1.0]), state_at(20, 4), OPEN, noise)
    assert (result.token, result.stop) == (0, True)


def test_the_arg_max_is_that_of_penalised_logits():
    """Raw, token 0 leads; its penalty makes the end the best."""
    noise = RecordedNoise(exponentials={20: torch.tensor([1.0, 1e-6, 1.0, 1.0])})
    params = Sampling(top_k=99, repetition_penalty=2.0)
    result = draw(torch.tensor([1.5, 0.0, 0.0, 1.0]), state_at(20, 4, seen=[0]), params, noise)
    assert (result.token, result.stop) == (1, True)


def test_temperature_zero_is_greedy_whatever_the_noise():
    logits = torch.randn(1025, generator=torch.Generator().manual_seed(3))
    for seed in range(5):
        result = draw(logits, state_at(0, 1025), Sampling(temperature=0.0), PhiloxNoise(seed))
        assert result.token == int(logits[:-1].argmax())


def test_draws_follow_the_probabilities():
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05, 1e-12]))
    noise, counts = PhiloxNoise(5), np.zeros(5)
    for step in range(4000):
        counts[draw(logits, state_at(100 + step, 5), OPEN, noise).token] += 1
    assert np.abs(counts / 4000 - [0.5, 0.3, 0.15, 0.05, 0]).max() < 0.03


def test_any_dtype_is_taken():
    logits = torch.tensor([0.0, 2.0, 1.0, -1.0], dtype=torch.bfloat16)
    assert draw(logits, state_at(20, 4), GREEDY, ZeroNoise()).token == 1


def test_the_logits_are_left_as_they_were():
    logits = torch.randn(32)
    before = logits.clone()
    draw(logits, state_at(20, 32, seen=list(range(16))), Sampling(), PhiloxNoise(1))
    assert torch.equal(logits, before)


@given(
    seed=st.integers(0, 2**32),
    top_k=st.integers(1, 40),
    top_p=st.sampled_from([1.0, 0.9, 0.5]),
    temperature=st.sampled_from([0.3, 1.0, 1.7]),
    step=st.sampled_from([0, 30]),
)
@settings(max_examples=150, deadline=None)
def test_nothing_smaller_than_the_margin_changes_the_draw(seed, top_k, top_p, temperature, step):
    """The engine relies on this: below the margin, rounding of another batch size is harmless."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(64, generator=generator) * 4
    params = Sampling(top_k, top_p, temperature, repetition_penalty=1.35)
    first = draw(logits, state_at(step, 64, seen=[1, 5, 9]), params, PhiloxNoise(seed))
    nudge = (torch.rand(64, generator=generator) * 2 - 1) * min(first.margin, 1e-2) * 0.5
    second = draw(logits + nudge, state_at(step, 64, seen=[1, 5, 9]), params, PhiloxNoise(seed))
    assert (first.token, first.stop) == (second.token, second.stop)


@pytest.mark.parametrize(
    "wrong",
    [
        {"top_k": 0},
        {"top_k": -5},
        {"top_p": 0.0},
        {"top_p": float("nan")},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"repetition_penalty": 0.0},
    ],
)
def test_senseless_parameters_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Sampling(**wrong)


def test_limits():
    assert token_limit(54) == 1500
    assert token_limit(1) == 50


@pytest.mark.parametrize("index", range(8))
def test_upstreams_draws(index):
    arrays = np.load(GOLDENS / "sampling.npz")
    settings_ = json.loads((GOLDENS / "sampling.json").read_text())[index]
    params = Sampling(*(settings_[key] for key in ("top_k", "top_p", "temperature", "repetition_penalty")))
    for logits, seen, probs, clocks, token in zip(
        *(arrays[f"{name}_{index}"] for name in ("logits", "prev", "probs", "q", "token")), strict=True
    ):
        width = logits.shape[0]  # 1024: the end was cut off, as in the first steps
        step = 0 if width == 1024 else EOS_FREE_STEPS
        state = state_at(step, 1025, seen=seen.astype(np.int64))
        kept = survivors(penalised(logits, state.seen[:width], params.repetition_penalty), params).kept
        assert set(np.flatnonzero(probs)) <= set(kept.tolist())
        assert np.count_nonzero(probs) in (len(kept), 1)  # 1: so cold that the others underflow
        full = torch.from_numpy(np.append(logits, row(-99))[:1025])
        noise = RecordedNoise(exponentials={step: torch.from_numpy(clocks)})
        assert draw(full, state, params, noise).token == token
