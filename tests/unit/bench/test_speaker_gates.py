"""The equal error rate: known cases, and what holds for any scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.speaker_gates import by_speaker, equal_error_rate, error_rate

scores = st.lists(st.integers(-1000, 1000).map(lambda score: score / 1000), min_size=1, max_size=40)


def test_known_cases():
    assert equal_error_rate([0.8, 0.9], [0.1, 0.2]) == 0
    assert equal_error_rate([0.1, 0.2], [0.8, 0.9]) == 1
    assert equal_error_rate([0.9, 0.8, 0.7, 0.2], [0.1, 0.0, 0.3, -0.2]) == 0.25
    with pytest.raises(ValueError, match="0 pairs of one speaker and 1 of two"):
        equal_error_rate([], [0.5])


@given(scores, scores)
def test_it_is_a_share_and_order_and_scale_do_not_matter(same, different):
    rate = equal_error_rate(same, different)
    assert 0 <= rate <= 1
    assert equal_error_rate(same[::-1], different[::-1]) == rate
    assert equal_error_rate([x / 2 for x in same], [x / 2 for x in different]) == rate


@given(scores, scores)
def test_no_error_exactly_where_a_threshold_parts_them(same, different):
    parted = min(same) > max(different)
    assert (equal_error_rate(same, different) == 0) == parted
    assert equal_error_rate([x + 3 for x in same], different) == 0


def test_pairs_are_of_clips_not_of_speakers():
    directions = np.eye(3, dtype=np.float32)
    clips = {"amber": [directions[0], directions[0]], "onyx": [directions[1]]}
    assert error_rate(clips, lambda clip: clip) == (0.0, 3)


def test_the_name_of_a_file_begins_with_its_speaker(tmp_path):
    for name in ("1688-1.flac", "1688-2.wav", "7-1.flac", "README.md"):
        (tmp_path / name).touch()
    found = by_speaker(tmp_path, lambda path: path.name, "-")
    assert found == {"1688": ["1688-1.flac", "1688-2.wav"], "7": ["7-1.flac"]}
