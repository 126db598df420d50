"""Tokens that arrive bit by bit: the joined samples are one decode of the frozen latents, however they were pushed."""

from collections.abc import Sequence
from itertools import accumulate
from math import ceil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.fixtures.sovits import TINY, VITS_VERSIONS, sovits_checkpoint
from voxswap_server.nn.cfm import Cfm
from voxswap_server.nn.frozen import FrozenLatents
from voxswap_server.nn.noise import PhiloxNoise
from voxswap_server.nn.prior import stretched
from voxswap_server.nn.vits import FLOW_AHEAD_FRAMES, Vits, VitsConfig, VitsStream
from voxswap_store.layout_sovits import convert_sovits

NETWORKS: dict[str, Vits] = {}
PHONES = torch.tensor([3, 0, 10, 4, 4, 7])


def network(version: str) -> Vits:
    if version not in NETWORKS:
        result = convert_sovits(*sovits_checkpoint(version), version)
        NETWORKS[version] = Vits.from_tensors(VitsConfig.from_dict(result.config), result.tensors)
    return NETWORKS[version]


class Kept(FrozenLatents):
    """Remembers every frame before and behind the flow, as it was frozen."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.before: list[Tensor] = []
        self.behind: list[Tensor] = []

    def freeze(self, run: Tensor, *, final: bool) -> None:
        before = self.frozen
        super().freeze(run, final=final)
        if self.frozen > before:
            self.before.append(self._prior[..., -(self.frozen - before) :])

    def _flow(self) -> Tensor:
        new = super()._flow()
        self.behind.append(new)
        return new


def kept_stream(
    version: str, *, speed: float = 1.0, ahead: int | None = None, seed: int = 3
) -> tuple[VitsStream, Kept]:
    decoder = network(version)
    speaker = torch.randn(1, TINY.speaker, 1, generator=torch.Generator().manual_seed(1))
    stream = VitsStream(decoder, PHONES, speaker, PhiloxNoise(seed), speed=speed, flow_ahead_frames=ahead)
    usual = min(decoder.flow_reach // 2, FLOW_AHEAD_FRAMES)
    stream.latents = Kept(decoder, speaker, flow_ahead_frames=usual if ahead is None else ahead)
    return stream, stream.latents


def pushed(
    stream: VitsStream, tokens: Tensor, counts: Sequence[int], pieces: Sequence[int] = (), silent: Sequence[bool] = ()
) -> Tensor:
    """Samples of all pushes: first so many tokens, then so many more; the last push has them all.

    After the `silent` ones nothing is asked for.
    """
    parts, known = [], 0
    for place, count in enumerate(counts):
        known += count
        if known >= len(tokens):
            break
        stream.push(tokens[:known], final=False)
        if not (silent and silent[place % len(silent)]):
            parts += stream.speak(pieces)
    stream.push(tokens, final=True)
    parts += stream.speak(pieces)
    return torch.cat(parts)


def assert_close(got: Tensor, wanted: Tensor) -> None:
    assert got.shape == wanted.shape
    assert (got - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def tokens_of(count: int, seed: int) -> Tensor:
    return torch.randint(0, TINY.tokens, (count,), generator=torch.Generator().manual_seed(seed))


chunkings = st.lists(st.integers(1, 25), max_size=8)
lengths = st.integers(1, 70)
aheads = st.sampled_from((None, 0, 3, 16))
speeds = st.sampled_from((1.0, 1.0, 0.5, 1.3, 2.0))
silences = st.lists(st.booleans(), max_size=3)
"""Which pushes are not followed by speech."""


@pytest.mark.parametrize("version", VITS_VERSIONS)
@given(
    count=lengths,
    counts=chunkings,
    pieces=st.lists(st.integers(1, 9), max_size=3),
    silent=silences,
    speed=speeds,
    ahead=aheads,
)
@settings(max_examples=25)
@torch.inference_mode()
def test_the_joined_stream_is_one_decode_of_the_frozen_latents(
    version, count, counts, pieces, silent, speed, ahead
) -> None:
    stream, kept = kept_stream(version, speed=speed, ahead=ahead)
    samples = pushed(stream, tokens_of(count, count), counts, pieces, silent)
    frames = 2 * count if speed == 1 else int(2 * count / speed) + 1
    assert samples.shape == (frames * network(version).samples_per_frame,)
    assert_close(samples, network(version).generate(torch.cat(kept.behind, -1), stream._speaker))


@pytest.mark.parametrize("version", VITS_VERSIONS)
@given(count=lengths, counts=chunkings, pieces=st.lists(st.integers(1, 9), max_size=3), whole_reach=st.booleans())
@settings(max_examples=25)
@torch.inference_mode()
def test_the_flow_is_part_of_that_one_decode(version, count, counts, pieces, whole_reach) -> None:
    """With its whole reach by construction; with what streams have of it, because nothing further away counts."""
    decoder = network(version)
    stream, kept = kept_stream(version, ahead=decoder.flow_reach if whole_reach else None)
    samples = pushed(stream, tokens_of(count, count), counts, pieces)
    before = torch.cat(kept.before, -1)
    assert_close(samples, decoder.generate(decoder.flow(before, stream._speaker), stream._speaker))


@torch.inference_mode()
def test_one_push_of_everything_is_the_decode_of_an_exact_request() -> None:
    decoder = network("v2")
    stream, kept = kept_stream("v2")
    tokens = tokens_of(40, 1)
    samples = pushed(stream, tokens, [])
    mean, log_std = decoder.encode(tokens, PHONES, stream._speaker)
    noise = PhiloxNoise(3).latent(mean.shape[1], 0, mean.shape[2])
    assert_close(samples, decoder.decode(mean, log_std, noise, stream._speaker))
    torch.testing.assert_close(torch.cat(kept.before, -1), decoder.latent(mean, log_std, noise))


@pytest.mark.parametrize("version", VITS_VERSIONS)
@given(count=lengths, counts=chunkings, speed=speeds)
@settings(max_examples=15)
@torch.inference_mode()
def test_pushes_that_are_made_together_are_those_made_one_by_one(version, count, counts, speed) -> None:
    tokens, ends = tokens_of(count, count), [end for end in accumulate(counts) if end <= count]
    stream, _ = kept_stream(version, speed=speed)
    stream.push(tokens, final=True, before=ends)
    one_by_one, _ = kept_stream(version, speed=speed)
    for end in ends:
        one_by_one.push(tokens[:end], final=False)
    one_by_one.push(tokens, final=True)
    assert_close(torch.cat(list(stream.speak())), torch.cat(list(one_by_one.speak())))


@torch.inference_mode()
def test_which_tokens_were_known_when_a_frame_was_frozen_is_heard_and_nothing_else_is() -> None:
    tokens = tokens_of(60, 2)
    early, late = (pushed(kept_stream("v2")[0], tokens, counts) for counts in ([20, 20], [30]))
    for again in ({"pieces": [3]}, {"silent": [True, False]}, {"silent": [True]}):
        assert_close(pushed(kept_stream("v2")[0], tokens, [20, 20], **again), early)
    assert (early - late).abs().max() > 1e-4


@torch.inference_mode()
def test_as_much_is_heard_as_the_delay_says() -> None:
    stream, _ = kept_stream("v2")
    tokens = tokens_of(60, 4)
    per_token = 2 * network("v2").samples_per_frame
    ahead = min(network("v2").flow_reach // 2, FLOW_AHEAD_FRAMES)
    delay = ceil((8 + ahead + network("v2").generator_reach) / 2)
    assert stream.delay_tokens == delay
    stream.push(tokens[:delay], final=False)
    assert sum(map(len, stream.speak())) < per_token
    stream.push(tokens[: delay + 9], final=False)
    assert sum(map(len, stream.speak())) >= 8 * per_token


@torch.inference_mode()
def test_what_is_held_in_memory_does_not_grow() -> None:
    stream, kept = kept_stream("v2")
    tokens, sizes = tokens_of(300, 5), set()
    for known in range(40, 300, 20):
        stream.push(tokens[:known], final=False)
        list(stream.speak())
        sizes.add((kept._prior.shape[-1], kept._behind.shape[-1], kept._held.shape[-1]))
    assert len(sizes) == 1


def test_a_later_frame_does_not_move_an_earlier_one_at_any_speed() -> None:
    hidden = torch.randn(1, 90, 3)
    for speed in (0.25, 0.7, 1.3, 4.0):
        whole, part = stretched(hidden, speed), stretched(hidden[:, :60], speed)
        assert whole.shape[1] == int(90 / speed) + 1
        sure = int(59 / speed)
        torch.testing.assert_close(part[:, :sure], whole[:, :sure])
    assert stretched(hidden, 1.0) is hidden


def test_a_fade_needs_frames_that_are_held_back() -> None:
    with pytest.raises(ValueError, match="4 frames, of which only 2"):
        FrozenLatents(network("v2"), torch.zeros(1, TINY.speaker, 1), hold_frames=2)


def test_a_flow_matching_decoder_streams_by_its_own_chunks() -> None:
    assert Cfm.stream(None, PHONES, None, PhiloxNoise(1)) is None  # type: ignore[arg-type]
