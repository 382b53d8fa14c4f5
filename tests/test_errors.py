"""The error tree: what its docstring draws is what the classes say."""

from __future__ import annotations

import re

import pytest

from raymm import errors

LEAVES = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.RaymmError)
}


def test_the_docstring_draws_every_error_with_its_codes():
    drawn = {
        name: (int(code), int(status))
        for name, code, status in re.findall(r"(\w+)\s+(\d+), (\d+)", errors.__doc__ or "")
    }
    assert drawn == {name: (kind.exit_code, kind.http_status) for name, kind in LEAVES.items()}


@pytest.mark.parametrize("kind", LEAVES.values())
def test_children_keep_their_parents_exit_code(kind):
    parent = kind.__mro__[1]
    if parent not in (Exception, errors.RaymmError):
        assert kind.exit_code == parent.exit_code


def test_a_missing_extra_is_named():
    assert "pip install 'raymm[deep]'" in str(errors.MissingExtra("torch", "deep"))


def test_input_errors_keep_their_parts():
    error = errors.InputError(field="records[3].age", observed="'x'", allowed="a number")
    assert (error.field, error.observed, error.allowed) == ("records[3].age", "'x'", "a number")
    assert str(error) == "records[3].age must be a number, but got 'x'."


def test_target_errors_keep_what_the_target_holds():
    error = errors.TargetError("The target has 5 classes. Name another.", holds="has 5 classes")
    assert (str(error), error.holds) == ("The target has 5 classes. Name another.", "has 5 classes")
