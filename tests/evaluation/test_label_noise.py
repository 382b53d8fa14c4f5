"""Planted wrong labels are found, and nothing is said of tables without any."""

from __future__ import annotations

import numpy as np
import pytest

from raymm.evaluation.label_noise import apart, implausible, ranks


def blobs(rows=2000, classes=3, away=4.0, shares=None, seed=0):
    """Return labels and log-odds of points around corners that lie ``away`` deviations apart."""
    random = np.random.default_rng(seed)
    truth = random.choice(classes, rows, p=shares)
    points = random.normal(size=(rows, classes)) + away / np.sqrt(2) * np.eye(classes)[truth]
    weights = np.log(np.bincount(truth, minlength=classes) / rows)
    return truth, away / np.sqrt(2) * points + weights


def learnt(logits, share=0.0, towards=None):
    """Return probabilities as of a model that learnt labels of which a share is wrong."""
    logits = logits + 0.5 * np.random.default_rng(1).normal(size=logits.shape)
    right = np.exp(logits - logits.max(axis=1, keepdims=True))
    right /= right.sum(axis=1, keepdims=True)
    return right @ mistakes(logits.shape[1], share, towards)


def mistakes(classes, share, towards):
    """Return how likely each label (across) is to be written for each class (down)."""
    wrong = np.full((classes, classes), 1 / (classes - 1))
    if towards is not None:
        wrong = np.eye(classes)[[towards] * classes]
    np.fill_diagonal(wrong, 0.0)
    return share * wrong + np.diag(1 - share * wrong.sum(axis=1))


def planted(truth, share, towards=None):
    """Return labels of which a share was written wrong, and the rows of these."""
    random = np.random.default_rng(2)
    table = np.cumsum(mistakes(truth.max() + 1, share, towards), axis=1)
    labels = (random.random(len(truth))[:, None] > table[truth]).sum(axis=1)
    return labels, set(np.flatnonzero(labels != truth).tolist())


@pytest.mark.parametrize("towards", [None, 0])
@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("classes", [2, 3, 8])
def test_planted_labels_are_found_where_classes_are_apart(classes, share, towards):
    truth, logits = blobs(3000, classes, away=5.0)
    if towards is not None:
        share *= 2 / classes  # else most rows of that label would be wrong
    labels, wrong = planted(truth, share, towards)
    found = set(implausible(labels, learnt(logits, share, towards)).places.tolist())
    assert len(found & wrong) >= 0.8 * len(found)
    # Of a few rows a class not many can be told to be evenly spread.
    assert len(found & wrong) >= (0.6 if len(wrong) > 70 else 0.35) * len(wrong)


@pytest.mark.parametrize("away", [6.0, 4.0, 3.0, 2.5, 2.0, 1.5, 1.2, 1.0, 0.5, 0.0])
@pytest.mark.parametrize("classes", [2, 5])
def test_hardly_a_row_is_told_where_every_label_is_right(away, classes):
    truth, logits = blobs(3000, classes, away)
    assert len(implausible(truth, learnt(logits)).places) <= 24


@pytest.mark.parametrize("away", [0.0, 1.5])
def test_a_rare_class_that_cannot_be_told_is_no_label_noise(away):
    truth, logits = blobs(4000, 2, away, shares=(0.985, 0.015))
    found = implausible(truth, learnt(logits))
    assert np.mean(np.isin(np.flatnonzero(truth == 1), found.places)) <= 0.15


def test_wrong_labels_come_first_that_are_least_likely_with_the_likelier_one():
    truth, logits = blobs(2000, 3)
    labels, wrong = planted(truth, 0.03)
    predictions = learnt(logits, 0.03)
    found = implausible(labels, predictions)
    assert (np.diff(found.measure) >= 0).all()
    np.testing.assert_array_equal(found.measure, predictions[found.places, labels[found.places]])
    hits = np.isin(found.places, list(wrong))
    assert np.mean(found.likelier[hits] == truth[found.places[hits]]) > 0.95
    assert (found.likelier != labels[found.places]).all()


def test_ranks_are_shares_of_the_rows_of_other_labels():
    truth = np.array([0, 0, 1, 1, 1, 1])
    first = np.array([0.9, 0.1, 0.05, 0.1, 0.2, 0.3])
    found = ranks(truth, np.stack([first, 1 - first], axis=1))
    np.testing.assert_allclose(found[:2], [1.0, 0.375])
    assert ranks(np.zeros(3, int), np.ones((3, 1))).tolist() == [1.0, 1.0, 1.0]


def prices(rows=4000, seed=0):
    random = np.random.default_rng(seed)
    predicted = np.exp(random.normal(12.0, 0.5, rows))
    return random, predicted, predicted * np.exp(random.normal(0, 0.2, rows))


@pytest.mark.parametrize("factors", [(10.0,), (0.1,), (10.0, 0.1)])
def test_slipped_decimal_points_are_found(factors):
    random, predicted, truth = prices()
    rows = random.choice(len(truth), 20, replace=False)
    truth[rows] *= random.choice(factors, len(rows))
    found = implausible(truth, predicted)
    assert len(set(found.places.tolist()) & set(rows.tolist())) >= 18
    assert len(found.places) <= 22
    assert (np.diff(found.measure) <= 0).all()
    np.testing.assert_array_equal(found.likelier, predicted[found.places])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["normal", "t2", "cauchy", "lognormal", "scaled", "zeros"])
def test_nothing_is_said_of_values_of_heavy_tails(kind, seed):
    random, _, _ = prices(seed=seed)
    predicted = random.normal(size=4000)
    noise = {
        "normal": random.normal(size=4000),
        "t2": random.standard_t(2, 4000),
        "cauchy": random.standard_cauchy(4000),
        "lognormal": np.exp(predicted) * np.expm1(1.5 * random.normal(size=4000)),
        "scaled": random.normal(size=4000) * np.exp(random.normal(size=4000)),
        "zeros": np.where(random.random(4000) < 0.7, 0.0, np.exp(2 * random.normal(size=4000))),
    }[kind]
    assert not len(implausible(predicted + noise, predicted).places)


def test_few_distances_stand_apart_by_a_wider_gap_only():
    tail = np.abs(np.random.default_rng(0).normal(size=1000))
    for count, edge in ((3, 40.0), (8, 12.0)):
        distance = np.append(tail, np.full(count, edge))
        assert np.flatnonzero(apart(distance)).tolist() == list(range(1000, 1000 + count))
    assert not apart(np.append(tail, 4.5)).any()
    assert not apart(tail).any()


def test_nothing_is_said_of_what_cannot_be_judged():
    assert not len(implausible(np.zeros(0), np.zeros(0)).places)
    assert not len(implausible(np.zeros(50), np.full(50, np.nan)).places)
    assert not len(implausible(np.zeros(50), np.zeros(50)).places)
    assert not len(implausible(np.zeros(50, int), np.ones((50, 1))).places)
    assert not len(implausible(np.arange(50) % 2, np.full((50, 2), 0.5)).places)
