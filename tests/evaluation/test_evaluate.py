from __future__ import annotations

import numpy as np
import pytest

from raymm.artifacts import Evaluation, Task
from raymm.errors import DataError
from raymm.evaluation import evaluate as evaluating
from raymm.evaluation.evaluate import evaluate
from raymm.evaluation.metrics import baseline_prediction, metric_for
from raymm.features.groups import Group


def regression(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.normal(size=rows)
    return truth, truth + generator.normal(size=rows)


def scored(truth: np.ndarray, prediction: np.ndarray, name: str = "rmse", **more) -> Evaluation:
    task: Task = "regression" if prediction.ndim == 1 else "binary"
    metric = metric_for(name, task)
    classes = 0 if task == "regression" else prediction.shape[1]
    baseline = baseline_prediction(truth, classes, len(truth), metric=metric)
    return evaluate(truth, prediction, task=task, metric=metric, baseline=baseline, seed=0, **more)


@pytest.mark.slow
def test_intervals_hold_the_true_score_as_often_as_they_say() -> None:
    hits = 0
    for seed in range(200):
        score = scored(*regression(150, seed), name="mae").score
        hits += score.low <= np.sqrt(2 / np.pi) <= score.high
    # 90 % of 200 is 180 with a deviation of 4.2; the percentile interval is a little narrow at
    # 150 rows (by about 1/300), so four deviations either side are allowed.
    assert 163 <= hits <= 197


def test_gain_is_positive_where_the_model_is_better_in_either_direction() -> None:
    truth, prediction = regression(300, 0)
    for name in ("rmse", "r2"):
        noisy = prediction + np.random.default_rng(1).normal(size=300)
        result = scored(truth, prediction, name, champion=("old@1", noisy))
        assert result.champion == "old@1"
        assert result.champion_gain is not None
        assert result.champion_gain.low > 0
        sign = 1 if name == "r2" else -1
        metric = metric_for(name, "regression")
        expected = sign * (metric(truth, prediction) - metric(truth, noisy))
        assert result.champion_gain.value == pytest.approx(expected)
        assert result.gain.value == pytest.approx(sign * (result.score.value - result.baseline))


def test_the_difference_to_itself_is_nothing() -> None:
    truth, prediction = regression(100, 0)
    gain = scored(truth, prediction, champion=("same@1", prediction)).champion_gain
    assert gain is not None
    assert (gain.value, gain.low, gain.high) == (0, 0, 0)


def test_slices_are_scored_on_their_rows_and_against_the_champion() -> None:
    truth, prediction = regression(400, 0)
    mask = np.arange(400) < 100
    champion = np.where(mask, truth, prediction)
    result = scored(truth, prediction, champion=("old@1", champion), slices=[Group("c", "v", mask)])
    (one,) = result.slices
    assert one.rows == 100
    assert one.score.value == pytest.approx(
        metric_for("rmse", "regression")(truth[mask], prediction[mask])
    )
    assert one.champion_gain is not None
    assert one.champion_gain.high < 0


def test_every_other_metric_that_is_defined_is_given() -> None:
    truth, prediction = regression(50, 0)
    result = scored(truth, prediction)
    assert {one.metric for one in result.others} == {"mae", "mape", "r2"}  # a value is below -1


def test_predictions_that_are_not_finite_score_nothing() -> None:
    truth = np.array([0, 1] * 20)
    prediction = np.tile([0.4, 0.6], (40, 1))
    prediction[0] = np.nan
    result = scored(truth, prediction, "roc_auc")
    assert np.isnan([result.score.value, result.score.low, result.gain.value]).all()


def test_no_rows_are_refused() -> None:
    metric, none = metric_for("rmse", "regression"), np.empty(0)
    with pytest.raises(DataError, match="at least one"):
        evaluate(none, none, task="regression", metric=metric, baseline=none, seed=0)


def test_the_same_seed_gives_the_same_evaluation() -> None:
    truth, prediction = regression(80, 0)
    assert scored(truth, prediction) == scored(truth, prediction)


@pytest.mark.slow
def test_the_interval_that_is_told_covers_chance_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr(evaluating, "_others", lambda *_: ())
    monkeypatch.setattr(evaluating, "_COUNT", 400)
    metric, covered, runs = metric_for("roc_auc", "binary"), 0, 200
    for number in range(runs):
        generator = np.random.default_rng(number)
        truth, told = generator.integers(0, 2, 80), generator.random(80)
        made = evaluate(
            truth, np.stack([1 - told, told], axis=1), task="binary", metric=metric,
            baseline=np.full((80, 2), 0.5), seed=number,
        )  # fmt: skip
        covered += made.told.low <= 0.5 <= made.told.high
        assert made.told.level == 0.95
        assert made.told.low <= made.score.low <= made.score.high <= made.told.high
    # 200 draws at 0.95 have a standard deviation of 0.0154; four of them below.
    assert covered / runs >= 0.888


def test_nothing_is_told_to_be_better_than_perfect():
    truth = np.arange(30) % 2
    sure = np.stack([1 - truth, truth], axis=1) * 1.0
    for name in ("accuracy", "brier"):
        made = evaluate(
            truth, sure, task="binary", metric=metric_for(name, "binary"),
            baseline=np.full((30, 2), 0.5), seed=0,
        )  # fmt: skip
        low, high = (0.87, 1.0) if name == "accuracy" else (0.0, 0.13)
        assert (made.told.low, made.told.high) == pytest.approx((low, high), abs=0.02)
        assert made.told.high <= 1.0
        assert made.told.low >= 0.0


def test_an_interval_holds_its_score_where_chance_alone_makes_it_worse():
    """Probabilities that are true: each resample's error is above that of the rows."""
    generator = np.random.default_rng(3)
    told = generator.random(800)
    truth = (generator.random(800) < told).astype(np.int64)
    made = evaluate(
        truth, np.stack([1 - told, told], axis=1), task="binary",
        metric=metric_for("roc_auc", "binary"), baseline=np.full((800, 2), 0.5), seed=0,
    )  # fmt: skip
    (error,) = [score for score in made.others if score.metric == "calibration_error"]
    assert 0 <= error.low < error.value < error.high < 0.1
