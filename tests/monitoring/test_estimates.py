from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import accuracy_score, roc_auc_score

from raymm.artifacts import Target
from raymm.monitoring.estimates import BINS, Estimate, bins_of, centres, reliability, rising

BINARY = Target(task="binary", classes=("n", "y"))
NOTHING = (np.empty(0, np.int64), np.empty((0, 2)))


def sample(
    generator: np.random.Generator, rows: int, a: float, b: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True probabilities drawn from Beta(a, b), labels that keep to them, two columns."""
    likely = generator.beta(a, b, rows)
    return (
        likely,
        (generator.random(rows) < likely).astype(int),
        np.column_stack([1 - likely, likely]),
    )


def test_a_bin_holds_its_centre() -> None:
    assert bins_of(centres()).tolist() == list(range(BINS))
    assert bins_of(np.array([0.0, 1.0])).tolist() == [0, BINS - 1]


def test_rising_is_scikit_learns_isotonic_regression() -> None:
    generator = np.random.default_rng(0)
    values, weights = generator.random(50), generator.random(50) + 0.1
    expected = IsotonicRegression().fit_transform(np.arange(50), values, sample_weight=weights)
    assert rising(values, weights) == pytest.approx(expected)


@pytest.mark.parametrize(("a", "b"), [(2, 2), (0.5, 3), (5, 1)])
def test_true_probabilities_foretell_accuracy_and_area(a: float, b: float) -> None:
    """20,000 rows: six standard deviations of either figure's own chance are below 0.025."""
    _, truth, rows = sample(np.random.default_rng(1), 20_000, a, b)
    estimate = Estimate(BINARY, window=20_000)
    estimate.update(rows)
    report = estimate.report(*NOTHING)
    accuracy = accuracy_score(truth, rows[:, 1] > 0.5)
    assert report["calibrated_on"] == "none"
    assert report["accuracy"]["value"] == pytest.approx(accuracy, abs=0.02)
    assert report["accuracy"]["low"] < report["accuracy"]["value"] < report["accuracy"]["high"]
    assert report["roc_auc"]["value"] == pytest.approx(roc_auc_score(truth, rows[:, 1]), abs=0.025)
    assert "cannot see concept drift" in report["limits"]


@pytest.mark.parametrize("source", ["reference", "labels"])
def test_overconfident_probabilities_are_calibrated_and_follow_a_shift(source: str) -> None:
    """The model squares the odds. The new rows' true probabilities are drawn elsewhere."""
    generator = np.random.default_rng(2)

    def told(likely: np.ndarray) -> np.ndarray:
        odds = (likely / (1 - likely)) ** 2
        return np.column_stack([1 / (1 + odds), odds / (1 + odds)])

    likely, truth, _ = sample(generator, 20_000, 2, 2)
    known = (truth, told(likely))
    there = reliability(BINARY, *known) if source == "reference" else None
    target = Target(task="binary", classes=("n", "y"), reliability=there)
    estimate = Estimate(target, window=20_000)
    likely, truth, _ = sample(generator, 20_000, 1, 4)
    estimate.update(told(likely))
    report = estimate.report(*(NOTHING if source == "reference" else known))
    assert (report["calibrated_on"], report["calibration_rows"]) == (source, 20_000)
    assert report["accuracy"]["value"] == pytest.approx(
        accuracy_score(truth, likely > 0.5), abs=0.02
    )
    naive = Estimate(BINARY, window=20_000)
    naive.update(told(likely))
    assert naive.report(*NOTHING)["accuracy"]["value"] > report["accuracy"]["value"] + 0.03


def test_several_classes_and_weighed_answers() -> None:
    generator = np.random.default_rng(3)
    rows = generator.dirichlet([1, 1, 2], 20_000)
    truth = (generator.random((20_000, 1)) > rows.cumsum(axis=1)).sum(axis=1)
    for decision in ((), (3.0, 1.0, 1.0)):
        target = Target(task="multiclass", classes=("a", "b", "c"), decision=decision)
        estimate = Estimate(target, window=20_000)
        estimate.update(rows)
        answered = (rows * (decision or 1)).argmax(axis=1)
        report = estimate.report(np.empty(0), np.empty((0, 3)))
        assert report["accuracy"]["value"] == pytest.approx(np.mean(answered == truth), abs=0.02)
        assert "roc_auc" not in report


def test_windows_do_not_depend_on_batches_and_survive_a_restart() -> None:
    _, _, rows = sample(np.random.default_rng(4), 1234, 2, 2)
    whole, parts = Estimate(BINARY, window=500), Estimate(BINARY, window=500)
    whole.update(rows)
    for part in np.array_split(rows, 13):
        parts.update(part)
        parts = Estimate(BINARY, window=500).restore(json.loads(json.dumps(parts.state())))
    assert whole.report(*NOTHING) == parts.report(*NOTHING)
    assert whole.report(*NOTHING)["n"] == 500


def test_a_window_made_smaller_is_closed_first() -> None:
    _, _, rows = sample(np.random.default_rng(4), 1000, 2, 2)
    wide = Estimate(BINARY, window=5000)
    wide.update(rows)
    narrow = Estimate(BINARY, window=500).restore(wide.state())
    narrow.update(rows[:400])
    assert narrow.report(*NOTHING)["n"] == 1000
    narrow.update(rows[:100])
    assert narrow.report(*NOTHING)["n"] == 500


def test_nothing_is_estimated_for_numbers() -> None:
    estimate = Estimate(Target(task="regression"), window=500)
    estimate.update(np.ones(600))
    report = estimate.report(np.empty(0), np.empty(0))
    assert not report["available"]
    assert "no probability" in report["reason"]


def test_a_state_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        Estimate(BINARY, window=500).restore({"open": [[1]], "last": None})
