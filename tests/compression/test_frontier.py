from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymm.bundle.run import Runner
from raymm.compression import frontier
from raymm.compression.compressor import Rows
from raymm.errors import ConfigError
from raymm.evaluation.metrics import metric_for

METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}


def rows_of(data):
    metric = metric_for(METRICS[data.schema.task], data.schema.task)
    return Rows(tensors=data.rows(data.train), y=data.y[data.train], metric=metric)


@pytest.fixture(scope="module")
def explored(dataset, trained):
    """Return the bundle, validation rows and a function that explores it."""

    def make(task, metric=None, max_loss=0.05, techniques="auto", seed=0, rounds=20):
        data = dataset(task)
        bundle, _ = trained(data, rounds=rounds)
        tensors, y = data.rows(data.test), data.y[data.test]
        metric = metric or metric_for(METRICS[task], task)
        found = frontier.explore(
            bundle,
            techniques,
            trained=rows_of(data),
            tensors=tensors,
            y=y,
            metric=metric,
            max_loss=max_loss,
            seed=seed,
        )
        return found, bundle, tensors, y, metric, rows_of(data)

    return make


@pytest.mark.parametrize("task", METRICS)
def test_candidates_hold_what_can_be_measured_again(explored, task):
    found, bundle, tensors, y, metric, trained = explored(task)
    whole = found.candidates[0]
    assert (whole.technique, whole.loss.value, whole.loss.low, whole.loss.high) == ("none", 0, 0, 0)
    assert found.rows == len(y)
    sign = 1 if metric.direction == "maximize" else -1
    for candidate in found.candidates:
        form = frontier.apply(bundle, candidate, trained)
        score = metric(y, Runner(form).predict(tensors))
        assert candidate.score == pytest.approx(score, rel=1e-9)
        assert candidate.loss.value == pytest.approx(sign * (whole.score - score), abs=1e-9)
        assert candidate.bytes == len(form.to_bytes())
        assert candidate.row_microseconds > 0
        assert candidate.loss.low <= candidate.loss.high


@pytest.mark.parametrize("max_loss", [0.0, 0.01, 0.1, 10.0])
@pytest.mark.parametrize("task", METRICS)
def test_the_smallest_within_the_allowed_loss_is_chosen(explored, task, max_loss):
    found, *_, metric, _ = explored(task, max_loss=max_loss)
    # log_loss and rmse have no scale of their own: there the loss is a share of the value.
    allowed = max_loss * (1 if metric.name == "roc_auc" else abs(found.candidates[0].score))
    good = [
        c
        for c in found.candidates
        if c.technique == "none" or max(c.loss.high, c.loss.value) <= allowed
    ]
    (chosen,) = [c for c in found.candidates if c.chosen]
    assert chosen.bytes == min(c.bytes for c in good)
    if max_loss == 10.0:
        assert chosen.bytes == min(c.bytes for c in found.candidates)


def test_the_same_seed_gives_the_same_choice_whatever_the_clock_says(explored, monkeypatch):
    first = explored("binary", seed=4)[0]
    ticks = iter(range(0, 10**12, 10**6))
    monkeypatch.setattr(frontier.time, "perf_counter_ns", lambda: next(ticks) ** 2 % 10**9)
    second = explored("binary", seed=4)[0]
    timeless = [
        [replace(c, row_microseconds=0.0) for c in found.candidates] for found in (first, second)
    ]
    assert timeless[0] == timeless[1]


class WrongClass:
    """A metric of the user's own, as bare as the protocol allows; smaller is better."""

    name = "wrong"
    direction = "minimize"

    def __call__(self, truth, prediction):
        return float(np.mean(prediction.argmax(axis=1) != truth))


class Undefined(WrongClass):
    def __call__(self, truth, prediction):
        return float("nan")


def test_a_metric_needs_no_more_than_the_protocol(explored):
    found, *_ = explored("binary", metric=WrongClass(), max_loss=1.0)
    assert found.metric == "wrong"
    assert [c.chosen for c in found.candidates].index(True) > 0


def test_a_metric_that_says_nothing_keeps_the_bundle(explored):
    found, *_ = explored("binary", metric=Undefined(), max_loss=1.0)
    assert found.candidates[0].chosen


def test_at_most_the_limit_of_rows_is_scored(explored, monkeypatch):
    monkeypatch.setattr(frontier, "ROWS", 100)
    found, *_ = explored("binary")
    assert found.rows == 100


def test_without_techniques_the_bundle_stays(explored):
    found, bundle, *_, trained = explored("binary", techniques=())
    assert len(found.candidates) == 1
    assert found.candidates[0].chosen
    assert frontier.apply(bundle, found.candidates[0], trained) is bundle


def test_an_unknown_technique_is_named(explored):
    with pytest.raises(ConfigError, match=r'compressor "trunkate" is not known. Did you mean'):
        explored("binary", techniques=("trunkate",))
