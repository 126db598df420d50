"""Noise is a function of position: no chunking, batching or order may change it."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from voxswap_server.nn.noise import SMALLEST_EXPONENTIAL, PhiloxNoise, RecordedNoise, ZeroNoise, derived_seed

SEEDS = st.integers(-(2**70), 2**70)


@given(
    seed=SEEDS,
    channels=st.sampled_from([1, 7, 8, 100, 192]),
    cuts=st.lists(st.integers(0, 60), min_size=1, max_size=5).map(sorted),
)
@settings(max_examples=40, deadline=None)
def test_any_chunking_gives_the_same_frames(seed, channels, cuts):
    noise = PhiloxNoise(seed, 3)
    whole = noise.latent(channels, 0, 60)
    edges = [0, *cuts, 60]
    parts = [noise.latent(channels, a, b - a) for a, b in itertools.pairwise(edges)]
    assert torch.equal(torch.cat(parts, dim=2), whole)


def test_a_prefix_of_the_vocabulary_sees_the_same_values():
    noise = PhiloxNoise(1, 2)
    assert torch.equal(noise.exponential(4, 1025)[:1024], noise.exponential(4, 1024))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (PhiloxNoise(1, 2), PhiloxNoise(2, 2)),
        (PhiloxNoise(1, 2), PhiloxNoise(1, 3)),
        (PhiloxNoise(1, 2), PhiloxNoise(2, 1)),
        (PhiloxNoise(2**63, 0), PhiloxNoise(2**63 + 1, 0)),
    ],
)
def test_seeds_and_streams_are_independent(one, other):
    for a, b in (
        (one.latent(192, 0, 50), other.latent(192, 0, 50)),
        (one.exponential(0, 1025), other.exponential(0, 1025)),
        (one.cfm(0, (2, 100, 30)), other.cfm(0, (2, 100, 30))),
    ):
        assert abs(np.corrcoef(a.flatten(), b.flatten())[0, 1]) < 0.1


def test_purposes_steps_and_calls_are_independent():
    noise = PhiloxNoise(9)
    assert not torch.equal(noise.latent(8, 0, 1).flatten(), noise.cfm(0, (8,)))
    assert not torch.equal(noise.exponential(0, 64), noise.exponential(1, 64))
    assert not torch.equal(noise.cfm(0, (64,)), noise.cfm(1, (64,)))


@pytest.mark.parametrize("draw", ["latent", "cfm"])
def test_normal_values_are_normal(draw):
    noise = PhiloxNoise(20, 5)
    x = noise.latent(192, 1000, 2000).flatten() if draw == "latent" else noise.cfm(1, (2, 100, 1920)).flatten()
    x = x.double()
    n = x.numel()
    assert x.isfinite().all()
    assert abs(x.mean()) < 4 / math.sqrt(n)
    assert abs(x.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((x**3).mean()) < 4 * math.sqrt(15 / n)
    assert abs((x**4).mean() - 3) < 4 * math.sqrt(96 / n)
    for threshold in (0.5, 1.0, 2.0, 3.0):
        expected = math.erfc(threshold / math.sqrt(2))
        assert abs((x.abs() > threshold).double().mean() - expected) < 4 * math.sqrt(expected / n)


def test_neighbouring_values_are_uncorrelated():
    x = PhiloxNoise(3).latent(192, 0, 500)[0].double()
    assert abs((x[:, 1:] * x[:, :-1]).mean()) < 0.02
    assert abs((x[1:] * x[:-1]).mean()) < 0.02


def test_exponential_values_are_exponential():
    noise = PhiloxNoise(77)
    x = torch.cat([noise.exponential(step, 1025) for step in range(200)]).double()
    n = x.numel()
    assert (x >= SMALLEST_EXPONENTIAL).all()
    assert abs(x.mean() - 1) < 4 / math.sqrt(n)
    assert abs((x**2).mean() - 2) < 4 * math.sqrt(20 / n)
    for threshold in (0.1, 1.0, 4.0):
        expected = math.exp(-threshold)
        assert abs((x > threshold).double().mean() - expected) < 4 * math.sqrt(expected / n)


def test_what_a_seed_means_never_changes():
    """A seed that a caller kept must speak the same in every release."""
    noise = PhiloxNoise(1234, 1)
    assert noise.latent(192, 7, 1)[0, :3, 0].tolist() == pytest.approx(LATENT, abs=1e-6)
    assert noise.exponential(12, 1025)[:3].tolist() == pytest.approx(EXPONENTIAL, abs=1e-6)
    assert noise.cfm(0, (1, 100, 4)).flatten()[:3].tolist() == pytest.approx(CFM, abs=1e-6)


LATENT = [0.1902585, -2.1207967, 0.2945749]
EXPONENTIAL = [3.1153581, 0.9981155, 0.6914696]
CFM = [-0.998383, 0.1158537, -0.7524378]


def test_no_noise():
    noise = ZeroNoise()
    assert torch.equal(noise.latent(4, 2, 3), torch.zeros(1, 4, 3))
    assert torch.equal(noise.exponential(5, 9), torch.ones(9))
    assert torch.equal(noise.cfm(0, (1, 2, 3)), torch.zeros(1, 2, 3))


def test_recorded_noise_replays():
    latents = torch.randn(1, 4, 10)
    noise = RecordedNoise(latents=latents, exponentials={3: torch.ones(5)}, starts=[torch.zeros(1, 2, 3)])
    assert torch.equal(noise.latent(4, 2, 5), latents[:, :, 2:7])
    assert torch.equal(noise.exponential(3, 5), torch.ones(5))
    assert torch.equal(noise.cfm(0, (1, 2, 3)), torch.zeros(1, 2, 3))


@pytest.mark.parametrize(
    "ask",
    [
        lambda noise: noise.latent(4, 8, 5),
        lambda noise: noise.latent(5, 0, 5),
        lambda noise: noise.exponential(2, 5),
        lambda noise: noise.exponential(3, 6),
        lambda noise: noise.cfm(1, (1, 2, 3)),
        lambda noise: noise.cfm(0, (1, 2, 4)),
    ],
)
def test_recorded_noise_never_makes_any_up(ask):
    noise = RecordedNoise(latents=torch.randn(1, 4, 10), exponentials={3: torch.ones(5)}, starts=[torch.zeros(1, 2, 3)])
    with pytest.raises(LookupError):
        ask(noise)


def test_nothing_recorded_is_an_error():
    with pytest.raises(LookupError, match="latent"):
        RecordedNoise().latent(1, 0, 1)


@given(seed=st.integers(0, 2**64 - 1))
def test_another_attempt_has_a_seed_of_its_own_that_follows_from_the_first(seed):
    assert derived_seed(seed, 0) == seed
    assert len({seed, derived_seed(seed, 1), derived_seed(seed, 2)}) == 3
    assert derived_seed(seed, 1) == derived_seed(seed, 1) < 2**64
