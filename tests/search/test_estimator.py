"""Estimators as functions: what scikit-learn's own cross-validation says, and clear refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris, make_classification, make_regression
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import check_scoring, log_loss
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from raymm.errors import ConfigError, DataError
from raymm.evaluation.metrics import metric_for
from raymm.search.estimator import (
    CrossValidation,
    MetricScore,
    folds_of,
    is_estimator,
    require_parameters,
    task_of,
)

X, Y = load_iris(return_X_y=True)


def validation(estimator: Any, x: Any = X, y: Any = Y, **how: Any) -> CrossValidation:
    given = {"cv": 4, "seed": 0, "score": check_scoring(estimator), **how}
    folds = folds_of(estimator, x, y, given.pop("cv"), given["seed"])
    return CrossValidation(estimator=estimator, x=x, y=y, folds=folds, **given)


@pytest.mark.parametrize("wrap", [np.asarray, pd.DataFrame, csr_matrix])
def test_a_value_is_that_of_cross_val_score(wrap: Any) -> None:
    made = validation(SVC(), wrap(X))
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    expected = cross_val_score(SVC(C=0.1, gamma=0.05), X, Y, cv=folds).mean()
    assert made({"C": 0.1, "gamma": 0.05}) == pytest.approx(expected)


def test_a_pipeline_takes_names_with_two_underscores() -> None:
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    require_parameters(pipeline, ["logisticregression__C"])
    made = validation(pipeline)
    configured = made.configured({"logisticregression__C": 0.25})
    assert configured.get_params()["logisticregression__C"] == 0.25
    assert pipeline.get_params()["logisticregression__C"] == 1.0, "the one given stays as it was"
    assert 0.5 < made({"logisticregression__C": 0.25}) <= 1.0


def test_a_value_follows_from_its_configuration_and_the_seed() -> None:
    forest = RandomForestClassifier(5)
    values = [validation(forest)({"max_depth": 2}) for _ in range(2)]
    assert values[0] == values[1]
    assert forest.random_state is None
    assert validation(RandomForestClassifier(random_state=7)).configured({}).random_state == 7
    deep = make_pipeline(StandardScaler(), RandomForestClassifier())
    made = validation(deep, seed=3).configured({})
    assert made.get_params()["randomforestclassifier__random_state"] == 3


def test_refitting_uses_every_row() -> None:
    made = validation(LinearRegression(), X[:, :3], X[:, 3])
    assert made.refit({}).coef_ == pytest.approx(LinearRegression().fit(X[:, :3], X[:, 3]).coef_)
    grouped = CrossValidation(
        estimator=KMeans(n_init=1),
        x=X,
        y=None,
        folds=folds_of(KMeans(), X, None, 3, 0),
        score=check_scoring(KMeans()),
        seed=0,
    )
    assert len(grouped.refit({"n_clusters": 4}).cluster_centers_) == 4
    assert grouped({"n_clusters": 4}) > grouped({"n_clusters": 1})


def test_folds_are_drawn_by_the_seed_and_balanced() -> None:
    first, same, other = (folds_of(SVC(), X, Y, 5, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, same, strict=True))
    assert not np.array_equal(first[0][1], other[0][1])
    assert sorted(np.concatenate([valid for _, valid in first]).tolist()) == list(range(150))
    assert all(np.bincount(Y[valid]).tolist() == [10, 10, 10] for _, valid in first)
    assert len(folds_of(SVC(), X, Y, KFold(2), 0)) == 2
    assert len(folds_of(SVC(), X, Y, [(np.arange(100), np.arange(100, 150))], 0)) == 1


@pytest.mark.parametrize(
    ("x", "y", "cv", "error", "words"),
    [
        (X, Y, 1, ConfigError, "at least 2"),
        (X, Y, 200, ConfigError, "split"),
        (X, Y, "five", ConfigError, "split"),
        (X, Y, GroupKFold(3), ConfigError, "groups"),
        (X, Y[:-1], 5, DataError, "one row each"),
    ],
)
def test_what_cannot_be_split_is_refused(
    x: Any, y: Any, cv: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        folds_of(SVC(), x, y, cv, 0)


def test_unknown_parameters_are_refused() -> None:
    with pytest.raises(ConfigError, match='Did you mean "gamma"'):
        require_parameters(SVC(), ["C", "gama"])
    with pytest.raises(ConfigError, match="Known: C, "):
        require_parameters(SVC(), ["zzz"])


def test_only_instances_are_estimators() -> None:
    assert is_estimator(SVC())
    assert is_estimator(make_pipeline(SVC()))
    for thing in (SVC, len, "SVC", None):
        assert not is_estimator(thing)


def test_tasks() -> None:
    assert task_of(SVC(), Y) == "multiclass"
    assert task_of(SVC(), ["a", "b", "a"]) == "binary"
    assert task_of(LinearRegression(), [1.0, 2.0]) == "regression"


def test_a_metric_of_ours_scores_as_scikit_learn_does() -> None:
    names = np.array(["ash", "oak", "yew"])[Y]
    fitted = LogisticRegression(max_iter=500).fit(X[::2], names[::2])
    score = MetricScore(
        metric=metric_for("log_loss", "multiclass"), classes=np.unique(names), by_label=False
    )
    expected = log_loss(names[1::2], fitted.predict_proba(X[1::2]))
    assert score(fitted, X[1::2], names[1::2]) == pytest.approx(expected, rel=1e-6)


def test_a_fold_without_a_class_gives_it_no_probability() -> None:
    fitted = LogisticRegression(max_iter=500).fit(X[Y > 0], Y[Y > 0])
    score = MetricScore(
        metric=metric_for("accuracy", "multiclass"), classes=np.unique(Y), by_label=True
    )
    assert score(fitted, X, Y) == pytest.approx(np.mean(fitted.predict(X) == Y))


def test_labels_alone_do_only_where_the_metric_reads_labels() -> None:
    x, y = make_classification(random_state=0)
    fitted = SVC().fit(x, y)
    recall = MetricScore(metric=metric_for("recall", "binary"), classes=np.unique(y), by_label=True)
    assert recall(fitted, x, y) == pytest.approx(np.mean(fitted.predict(x[y == 1]) == 1))
    loss = MetricScore(
        metric=metric_for("log_loss", "binary"), classes=np.unique(y), by_label=False
    )
    with pytest.raises(ConfigError, match="predict_proba"):
        loss(fitted, x, y)


def test_regression_metrics() -> None:
    x, y = make_regression(40, 3, noise=5.0, random_state=0)
    fitted = LinearRegression().fit(x, y)
    rmse = MetricScore(metric=metric_for("rmse", "regression"), classes=None, by_label=False)
    expected = np.sqrt(np.mean((fitted.predict(x) - y) ** 2))
    assert rmse(fitted, x, y) == pytest.approx(expected)
