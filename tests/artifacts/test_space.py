"""Parameters refuse ranges that mean nothing."""

from __future__ import annotations

import pytest

from raymm.artifacts import Categorical, Float, Int


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Float(2.0, 1.0), "low must be at most high"),
        (lambda: Float(0.0, float("inf")), "both finite"),
        (lambda: Float(0.0, 1.0, log=True), "above 0 on a logarithmic scale"),
        (lambda: Int(5, 4), "low must be at most high"),
        (lambda: Int(0.5, 2.5), "whole numbers"),
        (lambda: Int(1, 10**30), "whole numbers of at most"),
        (lambda: Int(1, 10**400), "both finite"),
        (lambda: Float(-1.7e308, 1.7e308), "high - low must be a finite"),
        (lambda: Categorical([]), "one or more different values"),
        (lambda: Categorical(["a", "a"]), "one or more different values"),
    ],
)
def test_wrong_ranges_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_choices_that_compare_equal_but_differ_are_kept_apart():
    assert Categorical([1, True, "1"]).choices == (1, True, "1")
