"""What an estimator is scored by."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_classification
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import make_scorer, matthews_corrcoef
from sklearn.svm import SVC

from raymm.errors import ConfigError
from raymm.scoring import scorer

X, Y = load_iris(return_X_y=True)


@pytest.mark.parametrize("scoring", ["accuracy", "f1_macro", "neg_log_loss", "balanced_accuracy"])
def test_a_name_of_scikit_learn_is_its_scorer(scoring):
    from sklearn.metrics import get_scorer

    fitted = LogisticRegression(max_iter=500).fit(X, Y)
    name, mode, score = scorer(fitted, Y, scoring, None)
    assert (name, mode) == (scoring, "max")
    assert score(fitted, X, Y) == get_scorer(scoring)(fitted, X, Y)


def test_without_one_the_estimators_own_score_counts():
    fitted = SVC().fit(X, Y)
    name, mode, score = scorer(fitted, Y, None, None)
    assert (name, mode, score(fitted, X, Y)) == ("score", "max", fitted.score(X, Y))


def test_a_scorer_is_taken_as_it_is():
    fitted = SVC().fit(X, Y)
    name, mode, score = scorer(fitted, Y, make_scorer(matthews_corrcoef), "min")
    assert mode == "min"
    assert score(fitted, X, Y) == pytest.approx(matthews_corrcoef(Y, fitted.predict(X)))
    assert isinstance(name, str)


def test_scores_of_two_classes_serve_more_by_raymms_metric():
    """scikit-learn's f1 would raise on three classes."""
    fitted = LogisticRegression(max_iter=500).fit(X, Y)
    assert 0.9 < scorer(fitted, Y, "f1", None)[2](fitted, X, Y) <= 1.0
    x, y = make_classification(random_state=0)
    fitted = LogisticRegression().fit(x, y)
    from sklearn.metrics import f1_score

    assert scorer(fitted, y, "f1", None)[2](fitted, x, y) == f1_score(y, fitted.predict(x))


def test_an_error_metric_is_best_where_it_is_low():
    x = np.arange(10.0)[:, None]
    fitted = LinearRegression().fit(x, x[:, 0])
    assert scorer(fitted, x[:, 0], "rmse", None)[:2] == ("rmse", "min")
    assert scorer(fitted, x[:, 0], "rmse", "min")[1] == "min"


@pytest.mark.parametrize(
    ("scoring", "mode", "words"),
    [
        ("acuracy", None, 'Did you mean "accuracy"'),
        (["accuracy", "f1"], None, "not known"),
        ("rmse", None, "does not suit"),
        ("accuracy", "min", "max"),
        (3, None, "not known"),
    ],
)
def test_what_cannot_score_is_refused(scoring, mode, words):
    with pytest.raises(ConfigError, match=words):
        scorer(SVC(), Y, scoring, mode)
