"""Calls are joined where it is quicker and no row tells on another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from raymm.artifacts import Column, ColumnStatistics, Schema, Statistics
from raymm.bundle.run import Runner
from raymm.onnx_builder import FLOAT, GraphBuilder
from raymm.serving import gain
from raymm.serving.gain import ROWS, SHARE, pays, varied
from raymm.serving.protocol import RecordReader


class Changed:
    """A runner whose predictions are changed, that takes as long as it is told."""

    def __init__(self, runner, change=lambda p: p):
        self._runner, self._change = runner, change
        self.schema, self.labels, self.sizes = runner.schema, runner.labels, []

    def predict(self, tensors):
        self.sizes.append(len(tensors["age"]))
        return self._change(self._runner.predict(tensors))


@pytest.fixture
def runner(make_bundle):
    return Runner(make_bundle())


class Clock:
    """Seconds that pass only while rows are predicted."""

    def __init__(self, runner, taken, alone):
        self.schema, self._runner, self._taken, self.now = runner.schema, runner, iter(taken), 0.0
        self._alone = alone

    def predict(self, tensors):
        self.now += next(self._taken) if len(tensors["age"]) == ROWS else self._alone
        return self._runner.predict(tensors)


@pytest.mark.parametrize(
    ("first", "tries", "expected"),
    [
        (0.9, (0.9,), True),
        (1.1, (0.9,), True),  # the quicker of two counts
        (0.9, (1.1,), True),
        (1.1, (1.1,), False),
    ],
)
@pytest.mark.parametrize("alone", [0.25, 0.001])
def test_together_rows_take_half_of_the_time_at_most(
    runner, monkeypatch, first, tries, expected, alone
):
    half = SHARE * ROWS * alone
    slower = [half * 1.1] * (4 if alone < 0.1 else 0)
    clock = Clock(runner, [half * one for one in tries] + slower, alone)
    monkeypatch.setattr(gain.time, "perf_counter", lambda: clock.now)
    assert pays(clock, None, alone=alone, together=first * half) is expected
    assert list(clock._taken) == []  # what is slow is tried once, and what is quick five times


def test_varied_rows_are_compared_with_themselves_alone(runner, monkeypatch):
    """Where the example takes ten times as long as other rows, these say nothing of it."""
    clock = Clock(runner, [ROWS * 0.1], 0.1)
    monkeypatch.setattr(gain.time, "perf_counter", lambda: clock.now)
    assert not pays(clock, None, alone=1.0, together=ROWS * 1.0)


def test_rows_that_gain_nothing_are_not_tried_again(runner):
    changed = Changed(runner)
    assert not pays(changed, None, alone=1.0, together=ROWS * 1.01)
    assert changed.sizes == []


def test_what_it_takes_to_find_out_is_bounded(runner):
    """Rows are predicted together a few times, and once where they take long; four alone."""
    changed = Changed(runner)
    assert pays(changed, None, alone=1.0, together=ROWS / 2)
    assert changed.sizes == [ROWS] * (len(changed.sizes) - 4) + [1] * 4
    assert len(changed.sizes) <= 9


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p * (1 + 1e-3 * p.max()),
        lambda p: p + np.arange(len(p))[:, None],
        lambda p: p[:1],
        lambda p: p[:, :1] if len(p) == 1 else p,
        lambda p: p * np.nan,
        lambda p: p + np.inf,
        lambda p: 1 / 0,
    ],
)
def test_rows_that_tell_on_each_other_are_never_joined(runner, change):
    assert not pays(Changed(runner, change), None, alone=1.0, together=1.0)


@pytest.mark.parametrize("off", [0.0, 5e-6])
def test_the_order_of_sums_does_not_matter(runner, off):
    assert pays(Changed(runner, lambda p: p + off * len(p) / ROWS), None, alone=1.0, together=1.0)


def test_matrices_quantised_by_the_range_of_all_rows_are_found():
    """As onnxruntime's dynamic quantisation writes them."""
    builder = GraphBuilder()
    builder.input("a", FLOAT)
    builder.input("b", FLOAT)
    both = builder.node("Concat", ["a", "b"], axis=1)
    names = builder.nodes("DynamicQuantizeLinear", [both], outputs=3)
    made = builder.node("DequantizeLinear", names)
    axis = builder.constant(np.array([1]), np.int64)
    total = builder.node("ReduceSum", [made, axis], keepdims=1)
    model = builder.model([(total, "prediction", FLOAT, ["n", 1])])
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    columns = tuple(Column(name=name, kind="number", example=0.7) for name in "ab")

    class Quantised:
        schema = Schema(columns=columns, target="y", task="regression", classes=())

        def predict(self, tensors):
            feed = {name: tensors[name].reshape(-1, 1) for name in "ab"}
            return session.run(None, feed)[0].reshape(-1)

    assert not pays(Quantised(), None, alone=1.0, together=1.0)


def test_varied_rows_are_read_and_differ(schema):
    statistics = Statistics(
        rows=9,
        columns=(
            ColumnStatistics(
                name="age", kind="number", rows=9, missing=0, distinct=9,
                quantiles=(0.0, 1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0, 100.0),
            ),
            ColumnStatistics(
                name="note", kind="text", rows=9, missing=0, distinct=3, values=("a", "", "b"),
            ),
        ),
    )  # fmt: skip
    for seen in (statistics, None):
        tensors = RecordReader(schema).tensors(varied(schema, seen, 50, seed=0))
        for name in ("age", "income", "member", "city"):
            assert len(set(tensors[name].tolist())) > 1
        assert np.isfinite(tensors["age"]).all()
        assert varied(schema, seen, 5, seed=0) == varied(schema, seen, 5, seed=0)
        assert varied(schema, seen, 5, seed=0) != varied(schema, seen, 5, seed=1)
    assert set(tensors["note"]) == {"nothing special"}  # nothing else is known of it


def test_varied_dates_are_between_the_earliest_and_the_latest(schema):
    columns = tuple(
        replace(column, minimum=86_400 * 365, maximum=86_400 * 730)
        if column.name == "since"
        else column
        for column in schema.columns
    )
    dated = replace(schema, columns=columns)
    tensors = RecordReader(dated).tensors(varied(dated, None, 50, seed=0))
    assert set(tensors["since"].tolist()) == {86_400 * 365, 86_400 * 730}
