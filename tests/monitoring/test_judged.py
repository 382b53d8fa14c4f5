from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, root_mean_squared_error

from raymm.artifacts import Target
from raymm.evaluation.calibration import CalibrationError
from raymm.monitoring.calibration import calibration
from raymm.monitoring.judged import Judged, read_label
from raymm.monitoring.labels import Pair
from raymm.plugins import metrics

BINARY = Target(task="binary", classes=("no", "yes"), metric="roc_auc")


def pairs(truth: np.ndarray, rows: np.ndarray, numbers: np.ndarray) -> list[Pair]:
    return [
        Pair(1, int(n), rows[i].tobytes(), float(truth[i]), float(n)) for i, n in enumerate(numbers)
    ]


def sample(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    likely = generator.random(rows)
    truth = (generator.random(rows) < likely).astype(np.int64)
    return truth, np.column_stack([1 - likely, likely]).astype(np.float32)


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "log_loss", "f1", "brier"])
def test_quality_is_the_offline_figure_in_any_order_and_after_a_restart(metric: str) -> None:
    truth, rows = sample(3000)
    target = Target(task="binary", classes=("no", "yes"), metric=metric)
    expected = metrics.get(metric)()(truth, rows)
    order = np.random.default_rng(1).permutation(len(truth))
    judged = Judged(target, most=5000, recent=100)
    for part in np.array_split(order, 17):
        judged.add(pairs(truth[part], rows[part], part), np.float32)
        judged = Judged(target, most=5000, recent=100).restore(
            json.loads(json.dumps(judged.state()))
        )
    report = judged.report()
    assert report["value"] == expected
    assert report["n"] == report["joined"] == 3000
    assert report["low"] < expected < report["high"]
    assert report["recent"]["value"] == metrics.get(metric)()(truth[-100:], rows[-100:])
    assert report["delay"]["p50"] == pytest.approx(1500, rel=0.02)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_calibration_is_the_offline_figure_in_any_order_and_after_a_restart(task: Any) -> None:
    truth, rows = sample(3000)
    target = Target(task=task, classes=("no", "yes") if task == "binary" else ())
    whole = rows if task == "binary" else rows[:, 1].copy()
    order = np.random.default_rng(1).permutation(len(truth))
    judged = Judged(target, most=5000, recent=100)
    for part in np.array_split(order, 7):
        judged.add(pairs(truth[part], whole[part], part), np.float32)
        judged.report()
        judged = Judged(target, most=5000, recent=100).restore(
            json.loads(json.dumps(judged.state()))
        )
    told = truth if task == "binary" else truth.astype(np.float64)
    expected = calibration(target, told, whole, recent=100, level=0.95)
    assert judged.report()["calibration"] == expected
    assert judged.report()["calibration"] == expected
    if task == "binary":
        # float32, in which the evaluation adds up, is off by 3000 · 6e-8.
        assert expected["value"] == pytest.approx(CalibrationError()(truth, rows), abs=2e-4)
    else:
        assert expected["value"] == pytest.approx(float((truth - whole).mean()), abs=1e-6)


def test_of_too_many_rows_those_predicted_last_are_kept() -> None:
    truth, rows = sample(1000)
    order = np.random.default_rng(2).permutation(1000)
    judged = Judged(BINARY, most=200, recent=50)
    for part in np.array_split(order, 100):
        judged.add(pairs(truth[part], rows[part], part), np.float32)
        assert len(judged._numbers) <= 1000
    report = judged.report()
    assert (report["n"], report["joined"]) == (200, 1000)
    assert report["value"] == metrics.get("roc_auc")()(truth[-200:], rows[-200:])


def test_labels_are_judged_as_they_are_answered() -> None:
    truth, rows = sample(500)
    target = Target(task="binary", classes=("no", "yes"), decision=(1.0, 3.0))
    judged = Judged(target, most=500, recent=50)
    judged.add(pairs(truth, rows, np.arange(500)), np.float32)
    answered = rows[:, 1] * 3 > rows[:, 0]
    assert judged.report()["value"] == accuracy_score(truth, answered)


def test_numbers_are_judged_too() -> None:
    generator = np.random.default_rng(3)
    truth = generator.normal(size=300)
    rows = truth + generator.normal(size=300)
    judged = Judged(Target(task="regression", metric="mae"), most=500, recent=50)
    judged.add(pairs(truth, rows, np.arange(300)), np.float64)
    report = judged.report()
    assert report["metric"] == "mae"
    assert report["others"]["rmse"]["value"] == pytest.approx(root_mean_squared_error(truth, rows))


def test_auto_is_the_goals_default() -> None:
    from raymm.evaluation.metrics import default_metric
    from raymm.monitoring.judged import AUTO

    assert all(default_metric(task) == name for task, name in AUTO.items())  # type: ignore[arg-type]
    target = Target(task="binary", classes=("no", "yes"), metric="auto")
    assert Judged(target, most=100, recent=50).report()["metric"] == "roc_auc"
    for strange in ("rmse", "nonsense"):
        target = Target(task="binary", classes=("no", "yes"), metric=strange)
        assert Judged(target, most=100, recent=50).report()["metric"] == "accuracy"


def test_before_the_first_label_nothing_is_claimed() -> None:
    report = Judged(BINARY, most=500, recent=50).report()
    assert (report["value"], report["low"], report["n"]) == (None, None, 0)
    json.dumps(report, allow_nan=False)


@pytest.mark.parametrize(
    ("classes", "label", "code"),
    [
        (("no", "yes"), " yes ", 1), (("no", "yes"), "maybe", None), (("no", "yes"), True, 1),
        (("0", "1"), 1.0, 1), (("0", "1"), "1.0", 1), (("0", "1"), False, 0), (("0", "1"), 2, None),
        (("False", "True"), True, 1), (("a", "b"), False, None), (("1.5", "2"), 1.5, 0),
    ],
)  # fmt: skip
def test_labels_are_read_as_the_table_writes_them(
    classes: tuple[str, ...], label: Any, code: int | None
) -> None:
    assert read_label(Target(task="binary", classes=classes), label) == code


@pytest.mark.parametrize(
    ("label", "value"),
    [(2, 2.0), ("2.5", 2.5), ("x", None), (True, None), (float("nan"), None), (10**400, None)],
)
def test_values_are_read_too(label: Any, value: float | None) -> None:
    assert read_label(Target(task="regression"), label) == value


def test_a_prediction_of_another_width_is_passed_over() -> None:
    judged = Judged(BINARY, most=500, recent=50)
    judged.add([Pair(1, 0, b"1234", 1.0, 0.0)], np.float32)
    assert judged.report()["n"] == 0


def test_a_state_that_does_not_add_up_is_refused() -> None:
    judged = Judged(BINARY, most=500, recent=50)
    truth, rows = sample(5)
    judged.add(pairs(truth, rows, np.arange(5)), np.float32)
    for damage in ({"rows": ""}, {"dtype": "O"}, {"truth": ""}):
        with pytest.raises(ValueError, match=r"add up|type"):
            Judged(BINARY, most=500, recent=50).restore({**judged.state(), **damage})


def test_a_state_of_before_rows_had_keys_is_gone_on_from() -> None:
    _, rows = sample(5)
    judged = Judged(BINARY, most=500, recent=50)
    judged.add([Pair(1, n, rows[n].tobytes(), 1.0, 0.0, 7 + n) for n in range(5)], np.float32)
    assert judged.keys(50).tolist() == [7, 8, 9, 10, 11]
    state = judged.state()
    again = Judged(BINARY, most=500, recent=50).restore(state)
    assert again.keys(50).tolist() == [7, 8, 9, 10, 11]
    del state["keys"]
    older = Judged(BINARY, most=500, recent=50).restore(state)
    assert (older.keys(50).tolist(), older.report()["n"]) == ([0] * 5, 5)
