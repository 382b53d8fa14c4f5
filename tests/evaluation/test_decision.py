"""Weights of the classes: as good as the best threshold, and nothing where nothing is to gain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.evaluation import decision, mixing
from raymm.evaluation.metrics import metric_for


def binary(rows: int, share: float, seed: int = 0):
    """Probabilities that are true, of a class that is rare."""
    generator = np.random.default_rng(seed)
    likely = generator.beta(share * 3, (1 - share) * 3, rows)
    truth = (generator.random(rows) < likely).astype(np.int64)
    return truth, np.stack([1 - likely, likely], axis=1)


@pytest.mark.parametrize("name", ["f1", "balanced_accuracy", "mcc"])
def test_a_rare_class_is_answered_sooner(name):
    metric = metric_for(name, "binary")
    truth, likely = binary(20_000, 0.05)
    weights = decision.choose(metric, truth, likely)
    gained = metric(truth, decision.weigh(likely, weights)) - metric(truth, likely)
    assert weights.sum() == pytest.approx(1)
    assert weights[1] > 0.5
    assert gained > 0.02
    # On rows that did not choose it, too: the threshold is one number from 20,000 rows.
    fresh, told = binary(20_000, 0.05, seed=1)
    assert metric(fresh, decision.weigh(told, weights)) > metric(fresh, told) + 0.02


def rare(seed: int, rows: int = 20_000):
    """True probabilities of a class of which there is one row in 500."""
    generator = np.random.default_rng(seed)
    margin = 2.6 * generator.normal(size=rows) - 9.2
    likely = 1 / (1 + np.exp(-margin))
    truth = (generator.random(rows) < likely).astype(np.int64)
    return truth, np.stack([1 - likely, likely], axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["f1", "mcc"])
def test_the_threshold_of_a_rare_class_is_found_among_its_own_rows(name):
    """The best threshold of F1 for true probabilities is half of the F1 that it reaches."""
    metric = metric_for(name, "binary")
    fresh, told = rare(99, 100_000)
    grid = np.quantile(told[:, 1], np.linspace(0.95, 0.9999, 200))
    best = decision._scores(metric, fresh, told[:, 1], grid).max()
    reached = []
    for seed in range(6):
        truth, likely = rare(seed)
        assert 20 < truth.sum() < 80
        weights = decision.choose(metric, truth, likely)
        reached.append(metric(fresh, decision.weigh(told, weights)))
    assert np.mean(reached) > 0.85 * best


def test_a_rare_first_class_is_as_well_found():
    metric = metric_for("balanced_accuracy", "binary")
    truth, likely = rare(0)
    one, other = (
        decision.choose(metric, *both) for both in ((truth, likely), (1 - truth, likely[:, ::-1]))
    )
    np.testing.assert_allclose(one, other[::-1], rtol=0.2)


def test_few_values_are_all_tried():
    values = np.arange(1, 101) / 101
    tried, window = decision._tried(np.zeros(100, np.int64), values)
    assert (tried.tolist(), window) == (values.tolist(), decision.SMOOTH)


def test_balanced_accuracy_wants_the_frequency_as_threshold():
    truth, likely = binary(50_000, 0.1)
    (threshold, _) = decision.choose(metric_for("balanced_accuracy", "binary"), truth, likely)
    # True probabilities: the best threshold is the class's frequency; the score is flat about it.
    assert threshold == pytest.approx(0.1, abs=0.04)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.sampled_from(["f1", "accuracy", "mcc"]), st.integers(2, 4))
def test_chosen_weights_are_no_worse_on_the_rows_that_chose(seed, name, classes):
    generator = np.random.default_rng(seed)
    likely = generator.dirichlet(np.ones(classes), 60)
    truth = generator.integers(0, classes, 60)
    metric = metric_for(name, "binary" if classes == 2 else "multiclass")
    weights = decision.choose(metric, truth, likely)
    assert (weights > 0).all()
    # Neighbouring thresholds count together, so the very best one may be passed over, but none
    # that is worse than the likeliest class is taken on average.
    if classes > 2:
        assert metric(truth, decision.weigh(likely, weights)) >= metric(truth, likely) - 1e-12


def test_equal_probabilities_leave_the_decision():
    even = np.full((10, 2), 0.5)
    weights = decision.choose(metric_for("f1", "binary"), np.array([0, 1] * 5), even)
    assert weights.tolist() == [0.5, 0.5]


def test_classes_that_are_rare_weigh_more_for_balanced_accuracy():
    generator = np.random.default_rng(0)
    shares = np.array([0.7, 0.2, 0.1])
    truth = generator.choice(3, 5000, p=shares)
    raised = np.log(shares) + np.eye(3)[truth] + generator.normal(size=(5000, 3)) * 0.7
    likely = np.exp(raised) / np.exp(raised).sum(axis=1, keepdims=True)
    metric = metric_for("balanced_accuracy", "multiclass")
    weights = decision.choose(metric, truth, likely)
    assert weights[2] > weights[1] > weights[0]
    part = mixing.parts(5000, 5, generator)
    crossed = decision.crossed(metric, truth, likely, part)
    assert metric(truth, crossed) > metric(truth, likely) + 0.05


@pytest.mark.parametrize("name", ["accuracy", "f1", "balanced_accuracy", "mcc"])
def test_counts_of_all_thresholds_score_as_labels_do(name):
    metric = metric_for(name, "binary")
    truth, likely = binary(500, 0.3)
    thresholds = np.linspace(0.01, 0.99, 30)
    found = decision._scores(metric, truth, likely[:, 1], thresholds)
    called = [(likely[:, 1] > one).astype(int) for one in thresholds]
    expected = [metric(truth, np.eye(2)[one]) for one in called]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_trials_are_compared_after_the_decision_has_moved():
    plain = metric_for("f1", "binary")
    metric = decision.judge(plain, moves=True)
    truth, likely = binary(5000, 0.05)
    assert (metric.name, metric.direction) == ("f1", "maximize")
    assert metric(truth, likely) > plain(truth, likely) + 0.02
    # A bent scale is the same order, and the same order is worth the same.
    bent = likely**3 / (likely**3).sum(axis=1, keepdims=True)
    assert metric(truth, bent) == pytest.approx(metric(truth, likely), abs=0.01)
    for name, moves in (("f1", False), ("accuracy", True), ("roc_auc", True), ("recall", True)):
        other = metric_for(name, "binary")
        assert decision.judge(other, moves=moves) is other
