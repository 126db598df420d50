"""A comparison says what it saw, and nothing that is not a number passes."""

import math

import numpy as np
import pytest
import torch

from voxswap_server.parity.compare import Stage, Verdict, int16_samples, relative_error, whole_numbers


def verdict(ours, theirs, **kwargs) -> Verdict:
    stage = Stage("case", "stage", **kwargs)
    stage.tensors(ours, theirs)
    return stage.row().verdict


def test_the_error_is_relative_to_the_peak():
    theirs = np.array([10.0, -0.1])
    assert relative_error(theirs + np.array([0, 1e-3]), theirs) == pytest.approx(1e-4)


def test_bounds():
    theirs = np.array([1.0, -2.0])
    assert verdict(torch.tensor([1.0, -2.0001]), theirs) is Verdict.PASS
    assert verdict(torch.tensor([1.0, -2.0003]), theirs) is Verdict.FAIL


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_fails(bad):
    assert verdict([1.0, bad], [1.0, 2.0]) is Verdict.FAIL
    assert verdict([1.0, 2.0], [1.0, bad]) is Verdict.FAIL


def test_a_number_after_nan_does_not_heal_it():
    stage = Stage("case", "stage")
    stage.tensors([math.nan], [1.0])
    stage.tensors([1.0], [1.0])
    assert stage.row().verdict is Verdict.FAIL


def test_another_shape_fails():
    assert verdict([[1.0, 2.0]], [1.0, 2.0]) is Verdict.FAIL


def test_a_difference_from_silence_fails():
    assert verdict([0.0, 0.0], [0.0, 0.0]) is Verdict.PASS
    assert verdict([0.0, 1e-9], [0.0, 0.0]) is Verdict.FAIL


def test_a_stage_that_compared_nothing_fails():
    assert Stage("case", "stage").row().verdict is Verdict.FAIL


def test_the_worst_of_several_counts():
    stage = Stage("case", "stage")
    stage.tensors([1.0], [1.0], "first")
    stage.tensors([1.5], [1.0], "second")
    stage.tensors([1.1], [1.0], "third")
    row = stage.row()
    assert row.error == pytest.approx(0.5)
    assert "second" in row.note


def test_whole_numbers():
    assert whole_numbers("case", "stage", [1, 2], (1, 2)).verdict is Verdict.PASS
    assert "at 1: 3" in whole_numbers("case", "stage", [1, 3], [1, 2]).note
    assert "1 of them" in whole_numbers("case", "stage", [1], [1, 2]).note


def test_samples_are_compared_around_the_wrap():
    top, bottom = np.array([32767], np.int16), np.array([-32768], np.int16)
    assert int16_samples("case", "stage", top, bottom).error == 1
    assert int16_samples("case", "stage", top - 2, bottom).verdict is Verdict.FAIL
    assert int16_samples("case", "stage", top, np.append(top, top)).verdict is Verdict.FAIL
