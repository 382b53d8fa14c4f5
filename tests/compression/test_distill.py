from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymm.artifacts import Column
from raymm.bundle.parity import adversarial
from raymm.bundle.run import Runner
from raymm.compression import distill, frontier, judging
from raymm.compression.compressor import Rows
from raymm.compression.distill import Distill, sizes
from raymm.compression.retrain import Retrain
from raymm.errors import BundleError
from raymm.evaluation.metrics import metric_for

METRICS = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "rmse"}
SMALL = {"rounds": 10, "leaves": 4}


def rows_of(data):
    metric = metric_for(METRICS[data.schema.task], data.schema.task)
    return Rows(tensors=data.rows(data.train), y=data.y[data.train], metric=metric)


@pytest.mark.slow
@pytest.mark.parametrize("task", METRICS)
def test_a_student_is_a_bundle_of_the_same_schema_with_the_same_bytes_each_time(
    dataset, trained, task
):
    data = dataset(task)
    bundle, _ = trained(data)
    made = Distill().apply(bundle, SMALL, rows_of(data))
    assert made == replace(bundle, graph=made.graph)
    assert made.graph == Distill().apply(bundle, SMALL, rows_of(data)).graph
    assert len(made.graph) < len(bundle.graph)
    hard = adversarial(
        data.rows(data.test), data.schema, generator=np.random.default_rng(0), count=50
    )
    assert Runner(made).predict(hard).shape == Runner(bundle).predict(hard).shape


def test_sizes_fall_and_are_smaller_than_the_teacher(dataset, trained):
    data = dataset("binary")
    rows = rows_of(data)
    large, _ = trained(data, rounds=300)
    found = sizes(large, rows)
    assert found
    trees = [one for one in found if "rounds" in one]
    assert found[: len(trees)] == tuple(trees)
    nodes = [one["rounds"] * (2 * one["leaves"] - 1) for one in trees]
    assert nodes == sorted(nodes, reverse=True)
    units = [one["units"] for one in found[len(trees) :]]
    assert units == sorted(units, reverse=True)
    assert sizes(trained(data, rounds=2)[0], rows) == ()
    net, _ = trained(data, family="mlp", rounds=2)
    assert {tuple(one) for one in sizes(net, rows)} <= {("units",)}
    few = replace(rows, y=rows.y[:10])
    assert sizes(large, few) == ()


def test_networks_that_would_read_as_many_weights_as_there_are_nodes_or_texts_are_not_tried(
    dataset, trained
):
    data = dataset("multiclass")
    large, _ = trained(data, rounds=300)
    assert any("units" in one for one in sizes(large, rows_of(data)))
    schema = large.schema
    text = replace(schema.features[0], kind="text", categories=())
    texts = tuple(text if one.name == text.name else one for one in schema.columns)
    wide = (*schema.columns, *(Column(name=f"n{n}", kind="number") for n in range(2_000)))
    for columns in (texts, wide):
        found = sizes(replace(large, schema=replace(schema, columns=columns)), rows_of(data))
        assert found
        assert not any("units" in one for one in found)


def test_between_two_networks_lies_one_and_none_between_trees():
    between = Distill().between
    assert between({"units": 32}, {"units": 12}) == {"units": 20}
    assert between({"units": 16}, {"units": 12}) is None
    assert between({"rounds": 20, "leaves": 16}, {"units": 12}) is None
    assert between({"units": 32}, {"rounds": 20, "leaves": 16}) is None
    assert between(None, {"units": 12}) is None


@pytest.mark.parametrize(
    "recipe", [{}, {"rounds": 10}, {"rounds": 10, "leaves": 1}, {"units": 0}, {"units": "8"}]
)
def test_a_recipe_without_a_size_is_an_error(dataset, trained, recipe):
    data = dataset("binary")
    bundle, _ = trained(data, rounds=2)
    for technique in (Distill(), Retrain()):
        with pytest.raises(BundleError, match="rounds and leaves or units"):
            technique.apply(bundle, recipe, rows_of(data))


@pytest.mark.long
def test_a_student_is_chosen_only_where_it_beats_the_labels(dataset, trained, monkeypatch):
    data = dataset("binary")
    bundle, _ = trained(data, rounds=60)
    monkeypatch.setattr(judging, "TIMED_CALLS", 5)
    monkeypatch.setattr(distill, "TREES", ((10, 4),))
    found = frontier.explore(
        bundle,
        ("distill",),
        trained=rows_of(data),
        tensors=data.rows(data.test),
        y=data.y[data.test],
        metric=metric_for("roc_auc", "binary"),
        max_loss=1.0,
        seed=0,
    )
    by_name = {one.technique: one for one in found.candidates}
    assert set(by_name) == {"none", "distill", "retrain"}
    student, control = by_name["distill"], by_name["retrain"]
    assert student.parameters == control.parameters
    gain = student.over_control
    assert gain.value == pytest.approx(student.score - control.score)
    assert gain.low < gain.high
    assert control.over_control is None
    # With so large a loss allowed the smallest is chosen, but no student that is not better.
    (chosen,) = [one for one in found.candidates if one.chosen]
    good = [one for one in found.candidates if one is not student or gain.low > 0]
    assert chosen == min(good, key=lambda one: one.bytes)
