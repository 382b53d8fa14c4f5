from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from raymm.artifacts import NO_TIME, Lineage
from raymm.bundle.graph import to_graph
from raymm.bundle.packed import Bundle
from raymm.bundle.parity import adversarial, check
from raymm.bundle.pipeline import fit
from raymm.bundle.run import Runner
from raymm.data.statistics import reference
from raymm.errors import ParityError


class Shifted:
    """Predicts what the pipeline does, but for one row."""

    def __init__(self, pipeline, row, by):
        self.pipeline, self.row, self.by = pipeline, row, by

    def predict(self, tensors):
        result = self.pipeline.predict(tensors)
        result[self.row] += self.by
        return result


@pytest.fixture(scope="module")
def make_pipeline(make_dataset):
    def make(task):
        dataset = make_dataset(task, rows=200)
        config = {"family": "tiny_for_tests"}
        return dataset, fit(dataset, dataset.train, config, rounds=1, seed=0, threads=1)

    return make


def test_adversarial_rows_lack_everything_then_each_column_and_hold_hard_values(make_dataset):
    dataset = make_dataset("binary", rows=200)
    generator = np.random.default_rng(0)
    rows = adversarial(dataset.tensors, dataset.schema, generator=generator, count=2000)
    columns = dataset.schema.features
    gaps = np.stack(
        [
            np.isnan(rows[c.name]) if c.kind in ("number", "boolean")
            else rows[c.name] == (NO_TIME if c.kind == "datetime" else "")
            for c in columns
        ],
        axis=1,
    )  # fmt: skip
    assert gaps[0].all()
    assert gaps[np.arange(len(columns)) + 1, np.arange(len(columns))].all()
    for column in columns:
        made, real = rows[column.name], dataset.tensors[column.name]
        assert made.dtype == real.dtype
        assert made.shape == (2000,)
    amounts, real = rows["amount"], dataset.tensors["amount"]
    assert np.isin(np.float32([1e30, -1e30, np.inf, 0]), amounts).all()
    assert np.isin(amounts, real).sum() > 500
    assert np.isin(amounts, np.nextafter(real, np.float32(np.inf))).sum() > 100
    assert max(map(len, rows["a-b"])) >= 10_000
    assert {NO_TIME + 1, 2**63 - 1} <= set(rows["a b"].tolist())


def test_adversarial_rows_follow_the_generator(make_dataset):
    dataset = make_dataset("binary", rows=50)
    first, second = (
        adversarial(dataset.tensors, dataset.schema, generator=np.random.default_rng(5), count=30)
        for _ in range(2)
    )
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_the_worst_row_is_named_with_its_values(task, make_pipeline):
    dataset, pipeline = make_pipeline(task)
    by = 0.001 if task == "binary" else 20.0
    assert check(pipeline, Shifted(pipeline, 17, 0.0), dataset.tensors) == 0
    with pytest.raises(ParityError, match=r"in row 17 they differ by 0\.\d+.*'amount': '"):
        check(pipeline, Shifted(pipeline, 17, by), dataset.tensors)


def test_probabilities_differ_absolutely_and_values_by_their_spread(make_pipeline):
    dataset, pipeline = make_pipeline("binary")
    found = check(pipeline, Shifted(pipeline, 3, 0.01), dataset.tensors, bound=1)
    assert found == pytest.approx(0.01)
    dataset, pipeline = make_pipeline("regression")
    value = abs(pipeline.predict(dataset.tensors)[3])
    for spread in (value / 10, value * 10):
        off = Shifted(pipeline, 3, 2.0)
        found = check(pipeline, off, dataset.tensors, bound=1, spread=spread)
        assert found == pytest.approx(2.0 / max(spread, value))


@pytest.mark.parametrize("by", [np.nan, np.inf])
def test_what_is_not_finite_is_never_in_parity(by, make_pipeline):
    dataset, pipeline = make_pipeline("binary")
    with pytest.raises(ParityError, match="in row 2 "):
        check(pipeline, Shifted(pipeline, 2, by), dataset.tensors, bound=1e9)


def test_no_rows_are_in_parity(make_pipeline):
    dataset, pipeline = make_pipeline("binary")
    none = {name: values[:0] for name, values in dataset.tensors.items()}

    class Empty:
        def predict(self, tensors):
            return np.zeros((0, 2), dtype=np.float32)

    assert check(pipeline, Empty(), none) == 0


# --------------------------------------------------------------- the file, the graph, the pipeline

ROWS = 10_000
LINEAGE = Lineage(
    run="0", data_sha256="0" * 64, source="made", seed=0, ledger="", configuration={}, trial={},
    packages={},
)  # fmt: skip


class Known:
    """Tells what a runner has predicted; long texts take it seconds."""

    def __init__(self, found):
        self.found = found

    def predict(self, tensors):
        return self.found


def hurting(dataset, graph):
    """Return rows drawn to hurt; of a third of them numbers lie at thresholds, or a step beside."""
    generator = np.random.default_rng(7)
    rows = adversarial(dataset.tensors, dataset.schema, generator=generator, count=ROWS)
    model = onnx.ModelProto.FromString(graph)
    attributes = [one for node in model.graph.node for one in node.attribute]
    found = [value for one in attributes if one.name == "nodes_values" for value in one.floats]
    if not found:
        return rows
    for column in dataset.schema.features:
        if column.kind == "number":
            at = np.array(found, np.float32)[generator.integers(len(found), size=ROWS)]
            step = generator.choice(np.array([-np.inf, np.inf], np.float32), ROWS)
            at = np.where(generator.random(ROWS) < 0.5, at, np.nextafter(at, step))
            rows[column.name] = np.where(generator.random(ROWS) < 1 / 3, at, rows[column.name])
    return rows


def without_dates_and_texts(dataset):
    """Return a dataset that compiled trees can read the columns of."""
    kept = [one for one in dataset.schema.columns if one.kind not in ("datetime", "text")]
    return replace(dataset, schema=replace(dataset.schema, columns=tuple(kept)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "task", "whole"),
    [
        ("lightgbm", "binary", True),
        ("lightgbm", "regression", False),
        ("xgboost", "multiclass", False),
        ("extra_trees", "binary", False),
        pytest.param("forest", "multiclass", True, marks=pytest.mark.long),
        ("linear", "regression", True),
        ("mlp", "multiclass", False),
        ("svm", "binary", False),
        ("neighbors", "regression", False),
    ],
)
def test_file_graph_and_pipeline_agree_on_rows_drawn_to_hurt(make_dataset, family, task, whole):
    """Within 1e-5; the file and the graph to the bit, as one is made of the other."""
    dataset = make_dataset(task)
    dataset = dataset if whole else without_dates_and_texts(dataset)
    pipeline = fit(dataset, dataset.train, {"family": family}, rounds=20, seed=0, threads=1)
    bundle = Bundle(
        graph=to_graph(pipeline),
        schema=pipeline.schema,
        statistics=reference(dataset),
        lineage=LINEAGE,
    )
    rows, spread = hurting(dataset, bundle.graph), float(np.std(dataset.y))
    assert len(rows["amount"]) == ROWS
    read = Bundle.from_bytes(bundle.to_bytes())
    found = Runner(bundle).predict(rows)
    assert check(pipeline, Known(found), rows, spread=spread) > 0
    assert np.array_equal(found, Runner(read).predict(rows))
    if not whole:  # with dates and texts, the graph runs as it is
        check(pipeline, Runner(read, compiled=True), rows, spread=spread)
