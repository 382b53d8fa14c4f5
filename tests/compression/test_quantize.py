from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression import quantize
from raymm.compression.compressor import Rows
from raymm.compression.grove import Grove, cells, reach
from raymm.compression.quantize import Quantize, rounded, step_of
from raymm.compression.tap import tree_nodes
from raymm.errors import BundleError
from raymm.evaluation.metrics import metric_for
from raymm.models.trees import TreeEnsemble

TASKS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
LONG = pytest.mark.long


def rows_of(data):
    metric = metric_for(TASKS[data.schema.task], data.schema.task)
    return Rows(tensors=data.rows(data.train), y=data.y[data.train], metric=metric)


@pytest.fixture(scope="module")
def case(dataset, trained):
    """Return a bundle, its data and the rows it was trained on."""

    def make(task, family="lightgbm", rounds=40):
        data = dataset(task)
        return trained(data, family, rounds)[0], data, rows_of(data)

    return make


def ensembles(bundle):
    return [TreeEnsemble.from_node(node) for node in tree_nodes(bundle)[1]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "family"),
    [
        ("binary", "xgboost"),
        ("multiclass", "forest"),
        ("regression", "lightgbm"),
        pytest.param("binary", "lightgbm", marks=LONG),
        pytest.param("binary", "forest", marks=LONG),
        pytest.param("multiclass", "lightgbm", marks=LONG),
        pytest.param("multiclass", "xgboost", marks=LONG),
        pytest.param("regression", "xgboost", marks=LONG),
        pytest.param("regression", "forest", marks=LONG),
    ],
)
def test_files_shrink_and_the_metric_hardly_falls(case, task, family):
    bundle, data, rows = case(task, family, rounds=20)
    technique = Quantize()
    whole, sizes = len(bundle.to_bytes()), []
    tensors, y = data.rows(data.test), data.y[data.test]
    before = rows.metric(y, Runner(bundle).predict(tensors))
    sign = -1 if rows.metric.direction == "maximize" else 1
    shares = (0.01, 0.01, 0.01, 0.01, 0.02, 0.01, 0.02, 0.03, 0.1, 0.15)
    for recipe, share in zip(technique.recipes(bundle, rows), shares, strict=True):
        small = technique.apply(bundle, recipe, rows)
        data_of = small.to_bytes()
        assert Bundle.from_bytes(data_of) == small
        after = rows.metric(y, Runner(small).predict(tensors))
        assert sign * (after / before - 1) < share, recipe
        sizes.append(len(data_of))
    # Leaves of a forest of pure leaves hold few values, however finely they are written.
    for part in (sizes[: technique.finer], sizes[technique.finer :]):
        assert family == "forest" or part == sorted(part, reverse=True)
    assert sizes[2] < 0.95 * whole
    assert sizes[-1] < 0.75 * whole


@pytest.mark.slow
def test_the_same_recipe_gives_the_same_bytes(case):
    bundle, _, rows = case("binary", rounds=10)
    technique, (recipe, *others) = Quantize(), Quantize().recipes(bundle, rows)
    small = technique.apply(bundle, recipe, rows)
    for other in others:
        technique.apply(bundle, other, rows)
    assert technique.apply(bundle, recipe, rows) == small == Quantize().apply(bundle, recipe, rows)
    assert len(small.to_bytes()) < 0.9 * len(bundle.to_bytes())


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_leaf_values_are_whole_numbers_of_so_many_bits(case, bits):
    bundle, _, rows = case("binary")
    (found,) = ensembles(Quantize().apply(bundle, {"bits": bits}, rows))
    (before,) = ensembles(bundle)
    step = step_of(before.value, bits)
    numbers = found.value.astype(np.float64) / step
    assert np.array_equal(numbers, np.round(numbers))
    # Making up for other trees may take a step more.
    assert np.abs(numbers).max() <= 2 ** (bits - 1) + 1
    assert (found.rounds, found.averaged) == (before.rounds, before.averaged)
    assert np.array_equal(np.unique(found.threshold), np.unique(before.threshold))


@pytest.mark.slow
@pytest.mark.parametrize("most", [7, 20])
def test_features_have_at_most_so_many_thresholds_in_the_mean(case, most):
    bundle, _, rows = case("multiclass")
    (found,) = ensembles(Quantize().apply(bundle, {"bits": 8, "thresholds": most}, rows))
    every = [np.unique(found.threshold[found.feature == one]) for one in range(4)]
    assert sum(map(len, every)) <= 4 * most
    assert found.trees_per_round == 3


@pytest.mark.slow
def test_trees_make_up_for_the_rounding_of_those_before(case, monkeypatch):
    bundle, data, rows = case("binary", rounds=200)
    tensors = data.rows(data.test)
    before = Runner(bundle).predict(tensors)

    def away():
        small = Quantize().apply(bundle, {"bits": 4}, rows)
        return np.sqrt(np.mean((Runner(small).predict(tensors) - before) ** 2))

    monkeypatch.setattr(quantize, "PRIOR", 4.0)
    made_up = away()
    monkeypatch.setattr(quantize, "PRIOR", 1e12)
    assert made_up < 0.6 * away()


def test_without_rows_values_are_rounded_as_they_are(case):
    bundle, _, rows = case("regression")
    nothing = Rows(tensors={}, y=np.empty(0), metric=rows.metric)
    (found,) = ensembles(Quantize().apply(bundle, {"bits": 8, "thresholds": 63}, nothing))
    (before,) = ensembles(bundle)
    assert np.abs(np.sort(found.value) - np.sort(before.value)).max() <= step_of(before.value, 8)
    assert np.array_equal(np.unique(found.threshold), np.unique(before.threshold))


def test_rows_stay_near_where_leaves_are_rounded_alone():
    bounded = [Quantize().bounded_moves(one) for one in ({"bits": 9}, {"bits": 9, "thresholds": 0})]
    assert bounded == [True, True]
    assert not Quantize().bounded_moves({"bits": 16, "thresholds": 511})


def test_a_step_of_zero_leaves_values_of_zero(case):
    bundle, data, _ = case("binary")
    (trees,) = ensembles(bundle)
    grove = Grove.of(replace(trees, value=np.zeros_like(trees.value)))
    assert step_of(grove.value, 8) == 0
    x = np.column_stack([data.tensors[f"f{i}"] for i in range(4)])
    reached = reach(grove, x)
    assert not rounded(grove, reached, 0.0, (grove, reached)).any()


@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1), st.integers(3, 16))
def test_multiples_of_a_step_are_exact(values, bits):
    step = step_of(np.array(values, np.float64), bits)
    if step < 1e-36:
        return
    numbers = np.arange(-(2 ** (bits - 1)), 2 ** (bits - 1) + 1) * step
    assert np.array_equal(numbers.astype(np.float32).astype(np.float64), numbers)
    assert np.abs(values).max() <= numbers.max()


def test_nothing_to_round_gives_no_recipes(case, monkeypatch):
    bundle, _, rows = case("binary", "linear", 1)
    assert Quantize().recipes(bundle, rows) == ()
    bundle, _, rows = case("binary")
    monkeypatch.setattr(quantize, "LARGEST", 10)
    assert Quantize().recipes(bundle, rows) == ()


def test_the_larger_of_two_ensembles_stays_as_it_is(mix, monkeypatch):
    bundle, data = mix("multiclass", ("lightgbm", "forest"), (0.5, 0.5), rounds=10)
    rows = rows_of(data)
    before = ensembles(bundle)
    small, large = sorted(range(2), key=lambda place: cells(before[place]))
    monkeypatch.setattr(quantize, "LARGEST", cells(before[large]))
    recipe = Quantize().recipes(bundle, rows)[-1]
    after = ensembles(Quantize().apply(bundle, recipe, rows))
    np.testing.assert_array_equal(after[large].value, before[large].value)
    assert len(np.unique(after[small].value)) < len(np.unique(before[small].value))


@pytest.mark.parametrize(
    ("family", "recipe"),
    [
        ("linear", {"bits": 8}),
        ("lightgbm", {}),
        ("lightgbm", {"bits": 2}),
        ("lightgbm", {"bits": 17}),
        ("lightgbm", {"bits": 8, "thresholds": -1}),
    ],
)
def test_what_cannot_be_rounded_is_refused(case, family, recipe):
    bundle, _, rows = case("binary", family, 3)
    with pytest.raises(BundleError, match="quantize needs"):
        Quantize().apply(bundle, recipe, rows)
