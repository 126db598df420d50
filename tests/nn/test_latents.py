"""Decoding in pieces: the reach that the configs tell is the true one, and joined pieces equal the whole."""

from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.sovits import SPEAKING, TINY, Sizes, sovits_checkpoint
from voxswap_server.nn.hifigan import GeneratorConfig
from voxswap_server.nn.latents import decode_in_pieces, flow_span, generate_span, spans
from voxswap_server.nn.vits import Vits, VitsConfig
from voxswap_store.layout_sovits import convert_sovits


def vits(sizes: Sizes = TINY) -> Vits:
    result = convert_sovits(*sovits_checkpoint("v2", sizes=sizes), "v2")
    return Vits.from_tensors(VitsConfig.from_dict(result.config), result.tensors, dtype=torch.float64)


@pytest.fixture(scope="module")
def network() -> Vits:
    return vits()


@pytest.fixture(scope="module")
def speaker(network: Vits) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, network.config.style.out_width, 1, generator=generator, dtype=torch.float64)


def latents(network: Vits, frames: int, seed: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, network.config.flow.width, frames, generator=generator, dtype=torch.float64)


def touched(output: torch.Tensor) -> tuple[int, int]:
    """First and last place that a NaN reached."""
    places = output.isnan().nonzero()[:, -1]
    return int(places.min()), int(places.max())


def test_the_flow_reaches_as_far_as_its_config_says(network: Vits, speaker: torch.Tensor) -> None:
    z = latents(network, 101)
    z[..., 50] = torch.nan
    assert touched(network.flow(z, speaker)) == (50 - network.flow_reach, 50 + network.flow_reach)
    assert network.flow_reach == 4 * 2 * 2


GENERATORS = [TINY, SPEAKING, Sizes(rates=(10, 2), kernels=(20, 2)), Sizes(rates=(3, 3, 2), kernels=(3, 9, 6))]


@pytest.mark.parametrize("sizes", GENERATORS)
def test_the_generator_reaches_as_far_as_its_config_says(sizes: Sizes) -> None:
    network = vits(sizes)
    speaker = torch.zeros(1, sizes.speaker, 1, dtype=torch.float64)
    z = latents(network, 61)
    z[..., 30] = torch.nan
    first, last = (sample // network.samples_per_frame for sample in touched(network.generate(z, speaker)))
    assert max(30 - first, last - 30) == network.generator_reach


def test_the_released_generators_reach_eleven_frames() -> None:
    released = GeneratorConfig(192, 512, (10, 8, 2, 2, 2), (16, 16, 8, 2, 2), (3, 7, 11), ((1, 3, 5),) * 3, 512)
    assert released.reach_frames == 11
    assert released.reaches == (8, 15, 55, 46, 32, 3)  # of 1, 10, 80, 160, 320 and 640 positions a frame
    assert released.samples_per_frame == 640


@pytest.mark.parametrize("sizes", GENERATORS)
@pytest.mark.parametrize(("begin", "end"), [(0, 7), (25, 36), (30, 31), (52, 61), (0, 61)])
def test_the_samples_of_some_frames_are_those_of_a_pass_over_all(sizes: Sizes, begin: int, end: int) -> None:
    network = vits(sizes)
    speaker = torch.zeros(1, sizes.speaker, 1, dtype=torch.float64)
    z = latents(network, 61)
    whole, size = network.generate(z, speaker), network.samples_per_frame
    part = network.generate(z, speaker, begin, end)
    torch.testing.assert_close(part, whole[begin * size : end * size], rtol=0, atol=1e-6)
    reach = network.generator_reach
    z[..., : max(0, begin - reach)] = torch.nan
    z[..., end + reach :] = torch.nan
    assert network.generate(z, speaker, begin, end).isfinite().all(), "what is further away is not looked at"


def test_no_stage_computes_what_nobody_asked_for() -> None:
    network, lengths = vits(SPEAKING), []
    for stage in network.generator.stages:
        stage.register_forward_pre_hook(lambda _stage, given: lengths.append(given[0].shape[-1]))
    network.generate(latents(network, 81), torch.zeros(1, SPEAKING.speaker, 1, dtype=torch.float64), 35, 45)
    config = network.config.generator
    frames = [10 * size for size in (1, *(prod(config.rates[: count + 1]) for count in range(len(config.rates) - 1)))]
    assert lengths == [size + 2 * reach for size, reach in zip(frames, config.reaches[:-1], strict=True)]


@given(sizes=st.lists(st.integers(1, 40), max_size=5), frames=st.integers(1, 90), seed=st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_joined_pieces_equal_the_whole(network, speaker, sizes: list[int], frames: int, seed: int) -> None:
    z = latents(network, frames, seed)
    whole = network.generate(network.flow(z, speaker), speaker)
    pieces = list(decode_in_pieces(network, z, speaker, sizes))
    torch.testing.assert_close(torch.cat(pieces), whole, rtol=0, atol=1e-6)
    wanted = [stop - start for start, stop in spans(frames, sizes)]
    assert [len(piece) for piece in pieces] == [count * network.samples_per_frame for count in wanted]


@pytest.mark.parametrize(("missing_left", "missing_right", "exact"), [(0, 0, True), (1, 0, False), (0, 1, False)])
def test_one_frame_less_of_context_is_not_enough(
    network: Vits, speaker: torch.Tensor, missing_left: int, missing_right: int, exact: bool
) -> None:
    z = latents(network, 101)
    reach = network.flow_reach
    part = network.flow(z[..., 40 - reach + missing_left : 60 + reach - missing_right], speaker)
    error = (part[..., reach - missing_left :][..., :20] - network.flow(z, speaker)[..., 40:60]).abs().max()
    assert error < 1e-14 if exact else error > 1e-12  # the outermost frame counts for little, but it counts


def test_spans_of_frames_are_exact(network: Vits, speaker: torch.Tensor) -> None:
    z = latents(network, 70)
    behind = network.flow(z, speaker)
    torch.testing.assert_close(flow_span(network, z, speaker, 30, 44), behind[..., 30:44], rtol=0, atol=1e-12)
    samples = network.generate(behind, speaker)[30 * 8 : 44 * 8]
    torch.testing.assert_close(generate_span(network, behind, speaker, 30, 44), samples, rtol=0, atol=1e-6)


@given(total=st.integers(0, 500), sizes=st.lists(st.integers(1, 60), max_size=6))
def test_spans_cover_everything_once_and_leave_no_small_rest(total: int, sizes: list[int]) -> None:
    cut = list(spans(total, sizes))
    assert [start for start, _ in cut] == [0, *(stop for _, stop in cut)][: len(cut)]
    assert (cut[-1][1] if cut else 0) == total
    for index, (start, stop) in enumerate(cut[:-1]):
        assert stop - start == sizes[min(index, len(sizes) - 1)]
    if len(cut) > 1:
        start, stop = cut[-1]
        assert stop - start >= sizes[min(len(cut) - 2, len(sizes) - 1)] // 2


def test_an_empty_piece_is_refused() -> None:
    with pytest.raises(ValueError, match="0 frames"):
        list(spans(10, [4, 0]))
