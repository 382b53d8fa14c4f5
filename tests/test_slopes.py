"""Straight lines are found where boosters take them for noise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from raymm import slopes, worth
from raymm.artifacts import NO_TIME, Column
from raymm.attempts import attempts
from raymm.models.quick import Quick
from tests.test_worth import dataset, numbers

DAY = 86_400


def dated(slope, seed, rows=1500, noise=8.0):
    """A table of a date with a straight trend, a number that tells and two of noise."""
    generator = np.random.default_rng(seed)
    days = generator.integers(0, 900, rows)
    columns = {name: generator.normal(size=rows) for name in ("a", "noise0", "noise1")}
    y = 20 * columns["a"] + slope * days / 260 + generator.normal(0, noise, rows)
    made = dataset(columns, y)
    date = Column(name="sold", kind="datetime")
    schema = dataclasses.replace(made.schema, columns=(date, *made.schema.columns))
    seconds = 1_640_995_200 + days.astype(np.int64) * DAY
    seconds[:: rows // 20] = NO_TIME
    return dataclasses.replace(made, schema=schema, tensors={"sold": seconds, **made.tensors})


def found(made, quick):
    tries, _ = attempts(made, quick, spare=0)
    names = sorted({name for one in tries for source in one.sources for name in source})
    return slopes.sloping(quick, tries, names)


def quick(task="regression", classes=0):
    return Quick(task=task, classes=classes, seed=0, threads=1)


@pytest.mark.parametrize("seed", range(5))
def test_a_trend_through_a_date_is_found_and_not_dropped(seed):
    made = dated(2.5, seed)
    assert {"a", "sold"} <= found(made, quick())


def test_noise_is_found_seldom():
    # At 1 in 6 for one column, more than 12 of 40 are 1 in 100.
    told = [found(dated(0.0, seed, rows=600), quick()) for seed in range(20)]
    assert all("a" in one for one in told)
    assert sum(name in one for one in told for name in ("noise0", "noise1")) <= 12


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 4])
def test_selection_keeps_what_a_straight_line_tells_by(seed):
    weighed = worth.weigh(dated(2.0, seed), quick(), interact=False)
    assert "sold" not in weighed.dropped


@pytest.mark.parametrize(("task", "classes"), [("binary", 2), ("multiclass", 3)])
def test_of_classes_too(task, classes):
    columns = numbers(1500)
    y = np.digitize(np.log(columns["a"]) * 2 + np.log(columns["b"]), np.linspace(0, 1, classes - 1))
    names = tuple("xyz"[:classes])
    assert {"a", "b"} <= found(dataset(columns, y, task=task, classes=names), quick(task, classes))


def test_a_linear_model_is_judged_as_boosters_are():
    columns = numbers(900)
    names = tuple("xyz")
    y = np.digitize(np.log(columns["a"]), [-0.4, 0.4])
    made = dataset(columns, y, task="multiclass", classes=names)
    tries, _ = attempts(made, quick("multiclass", 3), spare=0)
    losses = slopes.linear_losses(
        quick("multiclass", 3), tries, lambda _, one: (one.x, one.valid_x)
    )
    assert losses.shape == (sum(len(one.valid_y) for one in tries),)
    assert 0 < losses.mean() < np.log(3)
    lacking = dataclasses.replace(tries[0], y=np.minimum(tries[0].y, 1))
    plain = (quick("multiclass", 3), [lacking], lambda _, one: (one.x, one.valid_x))
    assert slopes.linear_losses(*plain) is None


def test_more_features_than_rows_can_tell_apart_are_left_alone():
    columns = numbers(400, [f"c{place}" for place in range(40)])
    made = dataset(columns, columns["c0"])
    assert found(made, quick()) == frozenset()
