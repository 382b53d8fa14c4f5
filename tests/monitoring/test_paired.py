from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from raymm import bootstrap
from raymm.artifacts import Target
from raymm.monitoring.judged import Judged
from raymm.monitoring.labels import Pair
from raymm.monitoring.paired import _deviation, paired
from raymm.plugins import metrics

CLASSES = ("no", "yes")


def judged(
    truth: np.ndarray, rows: np.ndarray, keys: np.ndarray, metric: str = "accuracy"
) -> Judged:
    classes = CLASSES if rows.ndim == 2 else ()
    target = Target(task="binary" if len(classes) else "regression", classes=classes, metric=metric)
    made = Judged(target, most=5000, recent=100)
    made.add(
        [
            Pair(1, n, rows[n].tobytes(), float(truth[n]), 0.0, int(keys[n]))
            for n in range(len(truth))
        ],
        rows.dtype,
    )
    return made


def answers(truth: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return probabilities that are right where they are told to be."""
    said = np.where(right, truth, 1 - truth)
    return np.column_stack([1 - said, said]).astype(np.float32)


def test_only_rows_that_both_answered_count_in_whatever_order() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 1000)
    keys = np.arange(1, 1001)
    old, new = rng.random(1000) < 0.7, rng.random(1000) < 0.8
    first = judged(truth[:800], answers(truth, old)[:800], keys[:800])
    order = rng.permutation(np.arange(200, 1000))
    second = judged(truth[order], answers(truth, new)[order], keys[order])
    found = paired(first, second, count=5000)
    assert found is not None
    both = slice(200, 800)
    assert found["n"] == 600
    assert found["old"] == old[both].mean()
    assert found["new"] == new[both].mean()
    assert found["gain"] == pytest.approx(new[both].mean() - old[both].mean())


def test_the_newest_rows_are_taken_and_rows_without_a_key_never() -> None:
    truth = np.zeros(10, np.int64)
    keys = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
    old = judged(truth, answers(truth, np.zeros(10, bool)), keys)
    new = judged(truth, answers(truth, np.arange(10) >= 6), keys)
    assert paired(old, new, count=4)["gain"] == 1.0  # type: ignore[index]
    assert paired(old, new, count=50)["n"] == 8  # type: ignore[index]


def test_the_deviation_is_that_of_many_samples() -> None:
    """Over 2,000 samples of 400 rows the gain spreads as said: within 8 %, five times the
    1 / sqrt(2 * 2000) = 1.6 % that such an estimate is off by."""
    rng = np.random.default_rng(1)
    gains, said = [], []
    for _ in range(2000):
        truth = rng.integers(0, 2, 400)
        old = rng.random(400) < 0.8
        new = np.where(rng.random(400) < 0.1, ~old, old)  # they disagree on a tenth
        gains.append(new.mean() - old.mean())
        said.append(
            _deviation(metrics.get("accuracy")(), truth, [answers(truth, old), answers(truth, new)])
        )
    assert np.std(gains) == pytest.approx(np.mean(said), rel=0.08)


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "rmse"])
def test_any_metric_gains_where_the_new_one_is_better(metric: str) -> None:
    rng = np.random.default_rng(2)
    keys = np.arange(1, 501)
    if metric == "rmse":
        truth = rng.normal(size=500)
        sides = [truth + spread * rng.normal(size=500) for spread in (1.0, 0.5)]
    else:
        likely = rng.random(500)
        truth = (rng.random(500) < likely).astype(np.int64)
        dull = 0.5 + 0.3 * (likely - 0.5) + 0.1 * rng.normal(size=500).clip(-2, 2)
        sides = [np.column_stack([1 - p, p]).astype(np.float32) for p in (dull, likely)]
        sides = [side.clip(0.01, 0.99) for side in sides]
    old, new = (judged(truth, side, keys, metric) for side in sides)
    there, back = paired(old, new, count=500), paired(new, old, count=500)
    assert there is not None
    assert back is not None
    assert there["gain"] > 2 * there["deviation"] > 0
    assert back["gain"] == -there["gain"]
    assert there["new"] == metrics.get(metric)()(truth, sides[1])
    json.dumps(there, allow_nan=False)


def test_what_cannot_be_compared_is_not() -> None:
    truth = np.zeros(5, np.int64)
    rows = answers(truth, np.ones(5, bool))
    one = judged(truth, rows, np.arange(1, 6))
    assert paired(one, judged(truth, rows, np.arange(6, 11)), count=9) is None
    other = Judged(Target(task="binary", classes=("a", "b")), most=10, recent=5)
    assert paired(one, other, count=9) is None
    # One class alone has no area under the curve.
    alone = judged(truth, rows, np.arange(1, 6), "roc_auc")
    assert paired(alone, alone, count=9)["gain"] is None  # type: ignore[index]


def test_of_many_rows_few_resamples_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    made = bootstrap.replicates

    def watching(*given: Any, count: int, **how: Any) -> Any:
        drawn.append(count)
        return made(*given, count=count, **how)

    monkeypatch.setattr(bootstrap, "replicates", watching)
    rng = np.random.default_rng(0)
    for rows, cells, count in ((50, 10_000, 100), (50, 10, 20), (50, 10**9, 200)):
        monkeypatch.setattr("raymm.monitoring.paired._CELLS", cells)
        truth = rng.normal(size=rows)
        one, other = (judged(truth, rng.normal(size=rows), np.arange(1, 51), "rmse") for _ in "ab")
        assert paired(one, other, count=rows) is not None
        assert drawn.pop() == count
