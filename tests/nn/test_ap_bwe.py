"""Super sampling: equal to upstream's code, bounded in what it looks at, and the same however the audio comes.

The golden was made by upstream's own code in double precision, over the seeded weights of the demo. In single precision
it would tell nothing: phases near pi, and those of bins that hold next to nothing, turn with the last bit, and on these
weights upstream differs from itself in double precision by some hundredths of the peak.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.fixtures.ap_bwe import made, super_sampler
from voxswap_server.demo.tiny_ap_bwe import CONFIG, ap_bwe_state, write_ap_bwe
from voxswap_server.engine.memory import copied_to, size_of
from voxswap_server.nn.ap_bwe import SEGMENT_FRAMES, WHOLE, ApBwe, ApBweConfig, SuperSampledSignal, SuperSampler
from voxswap_store.asset_importer import import_assets
from voxswap_store.assets import asset_directory
from voxswap_store.errors import BadTensor, CheckpointError
from voxswap_store.layout_ap_bwe import convert_ap_bwe

GOLDEN = Path(__file__).parent.parent / "goldens" / "super_sampling" / "ap_bwe.npz"
REAL = ApBweConfig(512, 1536, 8, 1024, 80, 320, 24_000, 48_000)
SIZES = (20, 35)
"""Frames of the passes, small enough that a short signal has several."""

exact = cache(lambda: super_sampler(dtype=torch.float64))


def noise(count: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype) * 0.1


def in_portions(network: SuperSampler, wave: Tensor, cuts: list[int], sizes=SIZES) -> Tensor:
    signal, passes = SuperSampledSignal(network, sizes), []
    for portion in wave.tensor_split(sorted(cuts)):
        signal.push(portion)
        while signal.ready(final=False):
            passes.append(made(signal.make()))
    while signal.ready(final=True):
        passes.append(made(signal.make()))
    return torch.cat(passes)


def off(network: SuperSampler) -> float:
    """How far it is from upstream, in peaks."""
    golden = np.load(GOLDEN)
    wanted = torch.from_numpy(golden["upstream"])
    got = network.samples(torch.from_numpy(golden["wave"]).double())
    assert got.shape == (2 * golden["wave"].size,)
    assert 0 <= got.numel() - wanted.numel() < CONFIG["hop_size"]  # upstream drops what does not fill a hop
    return float((got[: wanted.numel()] - wanted).abs().max() / wanted.abs().max())


def test_it_equals_upstreams_code() -> None:
    assert off(exact()) < 1e-6


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("linear_post_pha_r.weight", "linear_post_pha_i.weight"),
        ("convnext_mag.0.dwconv.weight", "convnext_pha.0.dwconv.weight"),
        ("convnext_mag.0.gamma", "convnext_mag.1.gamma"),
        ("norm_pre_mag.weight", "norm_post_mag.weight"),
    ],
)
def test_the_comparison_with_upstream_can_fail(one: str, other: str) -> None:
    state = ap_bwe_state(3)
    state[one], state[other] = state[other], state[one]
    assert off(super_sampler(state, dtype=torch.float64)) > 1e-3


def test_the_published_network_is_as_large_as_its_authors_say() -> None:
    with torch.device("meta"):
        network = ApBwe(REAL)
    assert (len(network.state_dict()), sum(one.numel() for one in network.parameters())) == (162, 29_760_515)
    assert REAL.reach_frames == 32  # 53 ms


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6000), st.lists(st.integers(0, 6000), max_size=6), st.integers(0, 99))
def test_passes_equal_the_whole_however_the_audio_comes(count: int, cuts: list[int], seed: int) -> None:
    wave = noise(count, seed)
    torch.testing.assert_close(in_portions(exact(), wave, cuts), exact().samples(wave), rtol=0, atol=1e-9)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 6000), max_size=6))
def test_how_the_audio_comes_changes_no_bit(cuts: list[int]) -> None:
    network, wave = super_sampler(), noise(6000, dtype=torch.float32)
    assert torch.equal(in_portions(network, wave, cuts), in_portions(network, wave, []))
    assert torch.equal(in_portions(network, wave, cuts, WHOLE), network.samples(wave))


def test_a_sample_depends_on_what_is_within_its_reach_and_on_nothing_else() -> None:
    network, middle = exact(), 4000
    reach = network.config.reach_frames * CONFIG["hop_size"]
    plain, touched = noise(8000), noise(8000)
    touched[middle] += 1
    changed = (network.samples(touched) - network.samples(plain)).abs() > 1e-12
    places = changed.nonzero().flatten()
    assert places.min() >= 2 * middle - reach
    assert places.max() <= 2 * middle + reach
    assert int(places.max() - places.min()) > 2 * reach - 6 * CONFIG["hop_size"]  # and not much less than that


def test_what_is_made_comes_as_soon_as_it_is_certain() -> None:
    signal, hop = SuperSampledSignal(super_sampler(), SIZES), CONFIG["hop_size"] // 2
    needed = (SIZES[0] + super_sampler().config.reach_frames) * hop
    signal.push(torch.zeros(needed - 1))
    assert not signal.ready(final=False)
    assert signal.ready(final=True)
    signal.push(torch.zeros(1))
    assert signal.ready(final=False)
    assert made(signal.make()).numel() == SIZES[0] * CONFIG["hop_size"]
    assert not signal.ready(final=False)


def test_the_first_pass_needs_less_than_the_first_piece_of_a_decoder() -> None:
    assert (SEGMENT_FRAMES[0] + REAL.reach_frames) * REAL.hop_samples <= 0.4 * REAL.out_hz


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 300])
def test_the_shortest_signals_keep_their_length(count: int) -> None:
    short = exact().samples(noise(count))
    assert short.shape == (2 * count,)
    assert short.isfinite().all()


def test_silence_stays_finite_and_silence() -> None:
    silence = super_sampler().samples(torch.zeros(2400))
    assert silence.abs().max() < 1e-2


def test_it_is_read_from_a_store_moved_and_weighed(tmp_path: Path) -> None:
    write_ap_bwe(tmp_path / "tools" / "24kto48k", seed=3)
    import_assets(tmp_path / "tools", tmp_path / "store")
    read = SuperSampler.from_directory(asset_directory(tmp_path / "store", "ap_bwe"))
    wave = noise(2000, dtype=torch.float32)
    assert torch.equal(read.samples(wave), super_sampler().samples(wave))
    moved = copied_to(read, torch.device("cpu"))
    assert torch.equal(moved.samples(wave), read.samples(wave))
    assert size_of(moved) == size_of(read) == 4 * sum(tensor.numel() for tensor in ap_bwe_state(3).values())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lr_sampling_rate": 16_000}, "leads from 16000 to 48000 Hz"),
        ({"hop_size": 81}, "make no spectrum"),
        ({"win_size": 2048}, "make no spectrum"),
        ({"n_fft": "1024"}, "n_fft is '1024'"),
        ({"n_fft": 512}, "it has 513 bins"),
    ],
)
def test_another_config_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        convert_ap_bwe(ap_bwe_state(0), CONFIG | changes)


@pytest.mark.parametrize("name", ["conv_pre_pha.bias", "convnext_pha.1.gamma", "linear_post_pha_i.weight"])
def test_a_tensor_that_is_missing_or_of_another_shape_is_named(name: str) -> None:
    state = ap_bwe_state(0)
    tensor = state.pop(name)
    with pytest.raises(BadTensor, match=name):
        convert_ap_bwe(state, CONFIG)
    with pytest.raises(BadTensor, match=name):
        convert_ap_bwe(state | {name: tensor[..., :-1]}, CONFIG)
