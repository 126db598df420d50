"""Which part of a recording becomes the reference: found by what is heard in it, checked against trying all."""

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.voice_sound import babble
from voxswap_server.audio import trim
from voxswap_server.audio.decode import Decoded, decode
from voxswap_server.audio.trim import LONGEST_S, SHORTEST_S, best_window
from voxswap_server.errors import BadReferenceAudio

RATE_HZ = 32_000


def recording(*parts: tuple[bool, float], channels: int = 1) -> Decoded:
    """Babble where a part says so, else near silence."""
    noise = np.random.Generator(np.random.Philox(1))
    pieces = [
        babble(seconds) if spoken else noise.normal(0, 1e-4, round(seconds * RATE_HZ)) for spoken, seconds in parts
    ]
    mono = np.concatenate(pieces).astype(np.float32)
    return Decoded(np.repeat(mono[:, None], channels, axis=1), RATE_HZ)


def test_the_phrase_between_silences_is_found():
    window = best_window(recording((False, 8), (True, 5), (False, 9), (True, 1), (False, 4)))
    assert window.start_s == pytest.approx(8, abs=0.3)
    assert window.end_s == pytest.approx(13, abs=0.5)


def test_what_is_cut_out_is_the_recording_itself():
    source = recording((False, 4), (True, 6), (False, 4), channels=2)
    window = best_window(source)
    cut = decode(window.audio, max_s=60, max_bytes=10**8)
    first = round(window.start_s * RATE_HZ)
    assert (cut.rate_hz, cut.samples.shape[1]) == (RATE_HZ, 2)
    assert len(cut.samples) == round((window.end_s - window.start_s) * RATE_HZ)
    np.testing.assert_allclose(cut.samples, source.samples[first : first + len(cut.samples)], atol=2**-22)
    assert soundfile.info(io.BytesIO(window.audio)).format == "FLAC"


@pytest.mark.parametrize("seconds", [3.0, 4.5, 10.0, 25.0])
def test_a_speaker_without_a_pause_is_cut_at_the_limits(seconds):
    window = best_window(recording((True, seconds)))
    assert SHORTEST_S <= window.end_s - window.start_s <= min(seconds, LONGEST_S)


def test_too_short_or_too_quiet_is_told():
    with pytest.raises(BadReferenceAudio, match=r"lasts 2\.9 s"):
        best_window(recording((True, 2.9)))
    with pytest.raises(BadReferenceAudio, match="no voice is heard"):
        best_window(recording((False, 12)))


def worth(voiced, start, frames) -> int:
    """Of a window, by its definition."""
    end = start + frames
    cuts = sum(0 < bound < len(voiced) and voiced[bound - 1] and voiced[bound] for bound in (start, end))
    inside = voiced[start:end]
    return 2 * int(inside.sum()) - frames - 10 * cuts


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9)), min_size=1, max_size=12))
def test_no_window_is_worth_more(runs):
    voiced = np.array([spoken for spoken, count in runs for _ in range(count)] + [False] * 3, bool)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trim, "_SHORTEST_FRAMES", 3)
        patch.setattr(trim, "_LONGEST_FRAMES", 7)
        start, frames = trim._choose(voiced)
    every = [(at, n) for at in range(len(voiced)) for n in range(3, 8) if at + n <= len(voiced)]
    assert (start, frames) in every
    assert worth(voiced, start, frames) == max(worth(voiced, *window) for window in every)
