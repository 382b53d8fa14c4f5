from __future__ import annotations

import numpy as np
import pytest

from raymm.compression.codebook import coded


def test_columns_of_few_values_keep_them_all():
    random = np.random.default_rng(0)
    columns = random.choice(random.normal(size=16).astype(np.float32), (3, 500))
    book = coded(columns, 4)
    assert np.array_equal(book.values(), columns)
    assert book.codes.shape == (3, 500)
    assert not np.array_equal(coded(columns, 3).values(), columns)


def test_a_column_that_another_tells_has_a_table_alone():
    random = np.random.default_rng(1)
    first = random.integers(0, 12, 400).astype(np.float32)
    other = random.integers(0, 12, 400).astype(np.float32)
    columns = np.stack([first, other, -np.exp(-first), np.zeros(400, np.float32)])
    book = coded(columns, 8)
    assert book.which.tolist() == [0, 1, 0, 0]
    assert np.array_equal(book.values(), columns)


@pytest.mark.parametrize("bits", range(1, 9))
def test_other_numbers_move_by_half_a_step_or_to_the_mean_of_those_at_one(bits):
    columns = np.random.default_rng(2).normal(size=(4, 2000)).astype(np.float32)
    book = coded(columns, bits)
    step = np.ptp(columns, axis=1, keepdims=True) / (2**bits - 1)
    assert (np.abs(book.values() - columns) <= step * 1.001).all()
    grid = columns.min(axis=1, keepdims=True) + step * np.rint(
        (columns - columns.min(axis=1, keepdims=True)) / step
    )
    errors = [np.square(one - columns).mean() for one in (book.values(), grid)]
    assert errors[0] <= errors[1], "means lie nearer than the grid"
    assert max(len(np.unique(row)) for row in book.values()) <= 2**bits


@pytest.mark.parametrize(
    ("columns", "bits"),
    [([[np.nan, 1.0]], 8), ([[np.inf, 1.0]], 8), ([[1.0]], 9), ([[1.0]], 0), ([[]], 8)],
)
def test_what_has_no_codes_is_an_error(columns, bits):
    with pytest.raises(ValueError, match="1 to 8 bits"):
        coded(np.array(columns, np.float32), bits)
