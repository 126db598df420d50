"""The rules by which float samples become 16-bit ones, and by which pieces are joined."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxswap_server.audio.pcm import (
    apply_gain,
    crossfade,
    fade_in,
    fade_out,
    join,
    limit_peak,
    to_int16,
)

FLOATS = st.floats(-4, 4, width=32)


def signal(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_int16_truncates_towards_zero():
    assert to_int16(signal(0.0, 0.5, -0.5, 0.25, 1.9 / 32768, -1.9 / 32768)).tolist() == [0, 16384, -16384, 8192, 1, -1]


def test_int16_saturates_where_upstream_wraps():
    assert to_int16(signal(1.0, -1.0, 3.0, -3.0, 0.99999)).tolist() == [32767, -32768, 32767, -32768, 32767]


@given(st.lists(st.floats(-1, 1, width=32, exclude_max=True), max_size=50))
def test_below_full_scale_int16_is_upstreams_value(values: list[float]):
    upstream = (np.array(values, np.float32) * 32768).astype(np.int16)
    assert np.array_equal(upstream, to_int16(np.array(values, np.float32)))


def test_a_loud_piece_is_divided_by_its_peak():
    assert limit_peak(signal(1.5, -3.0)).tolist() == [0.5, -1.0]


@pytest.mark.parametrize("quiet", [signal(0.5, -1.0), signal()])
def test_a_piece_within_full_scale_is_left_alone(quiet: np.ndarray):
    assert limit_peak(quiet) is quiet


@given(st.lists(FLOATS, min_size=1, max_size=50))
def test_no_piece_is_above_full_scale_after_the_peak_rule(values: list[float]):
    assert np.abs(limit_peak(np.array(values, np.float32))).max() <= 1.0


def test_six_decibels_double():
    assert apply_gain(signal(0.25), 20 * np.log10(2)) == pytest.approx(0.5, rel=1e-6)
    assert apply_gain(signal(0.25), -20 * np.log10(2)) == pytest.approx(0.125, rel=1e-6)


def test_pieces_join_end_to_end_unless_asked():
    assert join([signal(1, 2), signal(3)]).tolist() == [1, 2, 3]
    assert join([]).size == 0


def test_a_ramp_overlaps_neighbours_linearly():
    joined = join([np.ones(6, np.float32), np.zeros(6, np.float32)], ramp_samples=3)
    assert joined.tolist() == [1, 1, 1, 0.75, 0.5, 0.25, 0, 0, 0]


@given(st.lists(st.integers(0, 9), max_size=6), st.integers(0, 12))
def test_a_steady_signal_survives_every_join(lengths: list[int], ramp: int):
    joined = join([np.full(length, 0.5, np.float32) for length in lengths], ramp_samples=ramp)
    assert np.allclose(joined, 0.5)
    assert joined.size <= sum(lengths)


def test_a_crossfade_needs_one_length():
    with pytest.raises(ValueError, match="2 and 1 samples"):
        crossfade(signal(1, 1), signal(1))


def test_fades_reach_silence_and_change_nothing_else():
    ones = np.ones(5, np.float32)
    assert fade_in(ones, 3).tolist() == [0.25, 0.5, 0.75, 1, 1]
    assert fade_out(ones, 3).tolist() == [1, 1, 0.75, 0.5, 0.25]
    assert fade_out(ones, 99).size == 5
    assert ones.tolist() == [1] * 5


def test_pieces_assemble_as_upstreams_do(upstream_assembly: dict[str, np.ndarray]):
    """Upstream's own numbers, modulo its wrap at +1.0: SPEC §6, golden assembly/postprocess."""
    pause = np.zeros(int(float(upstream_assembly["interval"]) * 32000), np.float32)
    pieces = [upstream_assembly[f"in_{k}"] for k in range(sum(name.startswith("in_") for name in upstream_assembly))]
    parts = [part for piece in pieces for part in (limit_peak(piece), pause)]
    ours = to_int16(join(parts))
    theirs = upstream_assembly["out"].astype(np.int64)
    differs = (ours - theirs) % 65536 != 0
    assert ours[differs].tolist() == [32767] * int(differs.sum())
    assert theirs[differs].tolist() == [-32768] * int(differs.sum())
    assert differs.sum() >= 1
