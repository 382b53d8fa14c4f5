from types import SimpleNamespace

import numpy as np
import pytest

from raymm.artifacts import NO_TIME, Column
from raymm.features.nominal import crowded_columns, nominal_columns

ROWS = 3000


def dataset(kind, values, *, folds=None):
    order = np.random.default_rng(1).permutation(ROWS)
    train = np.sort(order[: ROWS - 500])
    fold = SimpleNamespace(train=train[: ROWS - 1000], valid=train[ROWS - 1000 :])
    if folds == "mixed":
        fold = SimpleNamespace(train=order[500:-500], valid=order[:500])
    return SimpleNamespace(
        schema=SimpleNamespace(features=(Column(name="c", kind=kind),)),
        tensors={"c": values},
        y=np.zeros(ROWS),
        train=train,
        folds=(fold,),
    )


def words(levels):
    codes = np.random.default_rng(0).integers(0, levels, ROWS)
    return np.array([f"w{code}" for code in codes], dtype=object)


@pytest.mark.parametrize(
    ("levels", "chosen"), [(3, False), (4, True), (12, True), (20, True), (900, False)]
)
def test_categories_are_nominal_where_an_order_does_not_tell_all(levels, chosen):
    assert nominal_columns(dataset("category", words(levels))) == ({"c"} if chosen else set())


@pytest.mark.parametrize(("levels", "chosen"), [(12, False), (20, False), (30, True), (900, True)])
def test_categories_of_many_levels_are_crowded_and_then_not_nominal(levels, chosen):
    made = dataset("category", words(levels))
    assert crowded_columns(made) == ({"c"} if chosen else set())
    assert not chosen or not nominal_columns(made)


def test_categories_that_are_all_rare_are_not():
    values = words(10)
    values[values != "w0"] = [f"rare{k}" for k in range(int((values != "w0").sum()))]
    assert not nominal_columns(dataset("category", values))


def test_days_are_nominal_where_new_rows_are_of_days_that_are_known():
    days = np.sort(np.random.default_rng(0).integers(0, 90, ROWS))
    seconds = 86_400 * (days - 40) + 3600 * 7
    assert nominal_columns(dataset("datetime", seconds, folds="mixed")) == {"c"}
    # Validated on later days, as with data.time.
    assert not nominal_columns(dataset("datetime", seconds))


@pytest.mark.parametrize(
    "seconds",
    [
        86_400 * np.arange(ROWS),  # a row a day
        86_400 * (np.arange(ROWS) % 3),  # three days
        86_400 * 30 * (np.arange(ROWS) % 60),  # sixty days over five years
        np.full(ROWS, NO_TIME),
    ],
)
def test_days_that_are_too_few_too_many_or_without_rows_are_not(seconds):
    assert not nominal_columns(dataset("datetime", seconds, folds="mixed"))


def test_the_same_table_is_looked_at_once():
    made = dataset("category", words(12))
    first = nominal_columns(made)
    made.tensors = {}
    assert nominal_columns(made) is first
    assert not nominal_columns(dataset("number", np.zeros(ROWS, np.float32)))
