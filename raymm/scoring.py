"""What an estimator is scored by: a scorer of scikit-learn, one of raymm's metrics, or its own."""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np

from raymm import plugins
from raymm.errors import ConfigError
from raymm.evaluation.metrics import metric_for
from raymm.search.estimator import MetricScore, task_of

_BY_LABEL = ("accuracy", "balanced_accuracy", "f1", "mcc", "precision", "recall")
"""Metrics that read the most probable class alone."""

_TWO_CLASSES = ("average_precision", "f1", "precision", "recall", "roc_auc")
"""Scorers of scikit-learn that are defined for two classes only under these names."""


def scorer(estimator: Any, y: Any, scoring: Any, mode: str | None) -> tuple[str, str, Any]:
    """Return a scoring's name, "min" or "max", and what scores a fitted estimator, X and y.

    Parameters
    ----------
    scoring : str, callable or None
        A name of scikit-learn's scorers or of raymm's metrics, a scorer, or None for the
        estimator's own score.
    mode : "min", "max" or None
        What the caller thinks; None leaves it to the scoring, "max" for a scorer.

    Raises
    ------
    ConfigError
        When the scoring is not known, does not suit the target, or is best the other way.
    """
    from sklearn.metrics import check_scoring, get_scorer_names

    if scoring is None or callable(scoring):
        try:
            score = check_scoring(estimator, scoring=scoring)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"scoring cannot be used: {error}") from error
        named = getattr(scoring, "__name__", "score")
        return str(named if scoring is not None else "score"), mode or "max", score
    known = sorted({*get_scorer_names(), *plugins.metrics.names()})
    if scoring not in known:
        near = difflib.get_close_matches(str(scoring), known, n=1)
        hint = f'Did you mean "{near[0]}"?' if near else "Take one of scikit-learn's or raymm's."
        raise ConfigError(f'scoring "{scoring}" is not known. {hint}')
    task = task_of(estimator, y)
    theirs = scoring in get_scorer_names()
    if theirs and not (task == "multiclass" and scoring in _TWO_CLASSES):
        wanted, score = "max", check_scoring(estimator, scoring=scoring)
    else:
        metric = metric_for(scoring, task)
        classes = None if task == "regression" else np.unique(np.asarray(y))
        score = MetricScore(metric=metric, classes=classes, by_label=scoring in _BY_LABEL)
        wanted = "max" if metric.direction == "maximize" else "min"
    if mode not in (None, wanted):
        raise ConfigError(f'{scoring} is best where it is {wanted}: leave mode="{mode}" out.')
    return scoring, wanted, score
