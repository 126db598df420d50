"""A resampled stream does not show where it was cut, and its length is exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.signals import snr_db, speech_like
from voxswap_server.audio.resample import StreamResampler

RATES = st.sampled_from([8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000])


def resampled(signal: np.ndarray, in_hz: int, out_hz: int, cuts: list[int]) -> np.ndarray:
    stream = StreamResampler(in_hz, out_hz)
    return np.concatenate([*(stream.push(piece) for piece in np.split(signal, cuts)), stream.finish()])


@settings(max_examples=60, deadline=None)
@given(RATES, RATES, st.integers(0, 4000), st.lists(st.integers(0, 4000), max_size=8))
def test_cuts_change_nothing(in_hz: int, out_hz: int, samples: int, cuts: list[int]):
    signal = speech_like(samples, in_hz)
    whole = resampled(signal, in_hz, out_hz, [])
    pieces = resampled(signal, in_hz, out_hz, sorted(min(cut, samples) for cut in cuts))
    assert np.array_equal(whole, pieces)
    assert whole.size == (2 * samples * out_hz + in_hz) // (2 * in_hz)


def test_lengths_round_halves_upward():
    lengths = {
        out_hz: [resampled(speech_like(n, 32000), 32000, out_hz, []).size for n in range(5)] for out_hz in (48000, 8000)
    }
    assert lengths == {48000: [0, 2, 3, 5, 6], 8000: [0, 0, 1, 1, 1]}


@pytest.mark.parametrize(("in_hz", "out_hz"), [(32000, 48000), (32000, 24000), (24000, 44100), (48000, 32000)])
def test_a_tone_keeps_its_pitch_level_and_place(in_hz: int, out_hz: int):
    def tone(rate_hz: int) -> np.ndarray:
        return (0.5 * np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz)).astype(np.float32)

    middle = slice(out_hz // 4, -out_hz // 4)
    assert snr_db(tone(out_hz)[middle], resampled(tone(in_hz), in_hz, out_hz, [5000])[middle]) > 90


def test_equal_rates_pass_through():
    stream = StreamResampler(32000, 32000)
    signal = speech_like(100, 32000)
    assert stream.push(signal) is signal
    assert stream.finish().size == 0


def test_output_comes_while_input_does():
    stream = StreamResampler(32000, 48000)
    first_s = next(k for k in range(1, 100) if stream.push(np.zeros(320, np.float32)).size) * 0.01
    assert first_s <= 0.03
