"""Quick tries: what a try is made of, and how two of them compare."""

from __future__ import annotations

import dataclasses

import numpy as np

from raymm import attempts
from raymm.artifacts import Column
from raymm.models.quick import Quick

QUICK = Quick(task="regression", classes=0, seed=0, threads=1)


def rows(count, part=None):
    none = np.zeros((count, 0), np.float32)
    return [
        attempts.Try(
            features=None,
            x=none,
            y=np.zeros(0),
            valid_x=none,
            valid_y=np.zeros(count),
            part=part,
            tensors={},
            valid_tensors={},
        )
    ]


def test_rows_of_one_group_are_one_observation():
    # A gain in one of twenty groups is chance, however many rows it has.
    group = np.arange(400) // 20
    before, after = np.ones(400), np.where(group == 0, 0.2, 1.0)
    alone = attempts.compared(QUICK, rows(400), before, after, 2.0)
    grouped = attempts.compared(QUICK, rows(400, group), before, after, 2.0)
    assert alone.value == grouped.value
    assert alone.low > 0 > grouped.low


def test_a_fold_is_tried_on_its_own_rows_and_none_where_it_is_dear(finished):
    dataset = finished.runs[0].dataset
    quick = Quick(task="binary", classes=2, seed=0, threads=1)
    tries, rounds = attempts.attempts(dataset, quick, spare=4)
    assert len(tries) == min(attempts.FOLDS, len(dataset.folds))
    assert rounds == attempts.ROUNDS
    first = tries[0]
    assert len(first.x) == len(first.y) == len(dataset.folds[0].train)
    assert len(first.valid_x) == len(first.valid_y) == len(dataset.folds[0].valid)
    dear = dataclasses.replace(quick, task="multiclass", classes=600)
    assert attempts.attempts(dataset, dear, spare=4) == ([], 0)


def test_there_are_no_tries_where_a_fold_has_one_value_alone(finished):
    dataset = finished.runs[0].dataset
    flat = {name: values[:1].repeat(len(values)) for name, values in dataset.tensors.items()}
    assert attempts.attempts(dataclasses.replace(dataset, tensors=flat), QUICK, spare=0) == ([], 0)


def test_features_of_two_columns_go_with_either(finished):
    dataset = finished.runs[0].dataset
    first = attempts.attempts(dataset, QUICK, spare=0)[0][0]
    column = first.features.columns[0]
    left = first.of(frozenset({column}))
    assert all(column not in first.sources[place] for place in left)
    assert len(left) < len(first.sources)
    kinds = tuple(Column(name=name, kind="datetime") for name in ("start", "end"))
    times = np.arange(200, dtype=np.int64) * 86_400
    tensors = {"start": times, "end": times + np.arange(200) % 7 * 86_400}
    schema = dataclasses.replace(
        dataset.schema, columns=(*kinds, Column(name="y", kind="number", role="target")), target="y"
    )
    rows = np.arange(200)
    fold = dataclasses.replace(dataset.folds[0], train=rows[:100], valid=rows[100:])
    dated = dataclasses.replace(
        dataset, tensors=tensors, schema=schema, y=times / 1e9, train=rows, folds=(fold,)
    )
    one = attempts.attempts(dated, QUICK, spare=0)[0][0]
    assert frozenset({"start", "end"}) in one.sources
    assert frozenset({"start", "end"}) not in [one.sources[k] for k in one.of(frozenset({"end"}))]


def test_a_gain_is_a_share_of_the_loss_with_its_chance():
    before = np.full(400, 2.0) + np.tile([0.1, -0.1], 200)
    gain = attempts.compared(QUICK, rows(400), before, before - 0.5 + np.tile([0.0, 0.2], 200), 2.0)
    assert abs(gain.value - 0.2) < 1e-9
    assert 0.18 < gain.low < gain.value < gain.high < 0.22
    assert attempts.saved(gain).startswith("the loss on validation rows falls by 20 % (at least ")
    assert "rises by 25 %" in attempts.saved(
        attempts.compared(QUICK, rows(400), before, before + 0.5, 2.0)
    )


def test_smaller_errors_do_not_count_where_their_squares_grow():
    before, after = np.ones(1000), np.full(1000, 0.5)
    after[0] = 100.0
    assert attempts.compared(QUICK, rows(1000), before, after, 2.0).low <= 0
    absolute = dataclasses.replace(QUICK, absolute=True)
    assert attempts.compared(absolute, rows(1000), before, after, 2.0).low > 0
