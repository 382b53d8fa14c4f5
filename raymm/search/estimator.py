"""A scikit-learn estimator or pipeline as a function to tune: cross-validated at a configuration.

The names of a search space are those of ``set_params``, such as ``C`` or ``svc__C``. Folds are
drawn once, by the seed, so that every configuration is scored on the same rows.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Config, MetricLike, Task
from raymm.errors import ConfigError, DataError

Score = Callable[[Any, Any, Any], float]
"""A scorer of scikit-learn's kind: takes a fitted estimator, X and y."""
Rows = npt.NDArray[np.int64]


def is_estimator(thing: Any) -> bool:
    """Return whether this is an instance that can be fitted and given parameters."""
    needed = ("fit", "get_params", "set_params")
    return not isinstance(thing, type) and all(hasattr(thing, name) for name in needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossValidation:
    """Takes a configuration and returns the mean score over the folds.

    Attributes
    ----------
    x : array, sparse matrix or table, n rows
    y : array of length n, or None
    folds : tuple of (train, valid)
        Row numbers.
    seed : int
        Given to every ``random_state`` that is None, so that a value follows from its
        configuration.
    """

    estimator: Any
    x: Any
    y: Any
    folds: tuple[tuple[Rows, Rows], ...]
    score: Score
    seed: int

    def __call__(self, config: Config) -> float:
        """Fit and score on every fold.

        Raises
        ------
        Exception
            Whatever the estimator or the scorer raises.
        """
        from sklearn.base import clone
        from sklearn.utils.metaestimators import _safe_split

        made = self.configured(config)
        values = []
        with warnings.catch_warnings():
            # A fit that has not converged is still a fit; its score judges it.
            warnings.simplefilter("ignore")
            for train, valid in self.folds:
                x, y = _safe_split(made, self.x, self.y, train)
                fitted = clone(made).fit(x) if y is None else clone(made).fit(x, y)
                x, y = _safe_split(made, self.x, self.y, valid, train)
                values.append(float(self.score(fitted, x, y)))
        return float(np.mean(values))

    def configured(self, config: Config) -> Any:
        """Return a fresh estimator with a configuration's parameters and the seed."""
        from sklearn.base import clone

        made = clone(self.estimator).set_params(**config)
        known = made.get_params(deep=True)
        blank = [
            name
            for name, value in known.items()
            if value is None and (name == "random_state" or name.endswith("__random_state"))
        ]
        return made.set_params(**dict.fromkeys(blank, self.seed))

    def refit(self, config: Config) -> Any:
        """Return the estimator fitted on all rows at a configuration."""
        made = self.configured(config)
        return made.fit(self.x) if self.y is None else made.fit(self.x, self.y)


def require_parameters(estimator: Any, names: Iterable[str]) -> None:
    """Check that an estimator has every parameter of a search space.

    Raises
    ------
    ConfigError
        When one is not known; the nearest is named.
    """
    known = estimator.get_params(deep=True)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f'Did you mean "{near[0]}"?' if near else f"Known: {', '.join(sorted(known))}."
            kind = type(estimator).__name__
            raise ConfigError(f'"{name}" is not a parameter of {kind}. {hint}')


def folds_of(estimator: Any, x: Any, y: Any, cv: Any, seed: int) -> tuple[tuple[Rows, Rows], ...]:
    """Return the folds of a cross-validation.

    Parameters
    ----------
    cv : int, splitter, or iterable of (train, valid)
        A number of folds is shuffled by ``seed``, and stratified where classes are told apart.

    Raises
    ------
    ConfigError
        When ``cv`` is none of these, or more than the rows allow.
    DataError
        When x and y have different lengths, or none.
    """
    from sklearn.base import is_classifier
    from sklearn.model_selection import KFold, StratifiedKFold, check_cv
    from sklearn.utils import check_consistent_length

    try:
        check_consistent_length(x, y)
    except (TypeError, ValueError) as error:
        raise DataError(f"X and y must have one row each for every example: {error}") from error
    if isinstance(cv, int) and not isinstance(cv, bool):
        if cv < 2:
            raise ConfigError(f"cv must be at least 2, but got {cv}.")
        kind = StratifiedKFold if is_classifier(estimator) else KFold
        cv = kind(cv, shuffle=True, random_state=seed)
    try:
        splitter = check_cv(cv, y, classifier=is_classifier(estimator))
        made = [(np.asarray(train), np.asarray(valid)) for train, valid in splitter.split(x, y)]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"cv cannot split these rows: {error}") from error
    return tuple(made)


def task_of(estimator: Any, y: Any) -> Task:
    """Return what kind of target an estimator predicts."""
    from sklearn.base import is_classifier

    if not is_classifier(estimator):
        return "regression"
    return "binary" if len(np.unique(np.asarray(y))) <= 2 else "multiclass"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricScore:
    """Scores a fitted estimator by one of raymm's metrics.

    Attributes
    ----------
    classes : array or None
        The target's classes, sorted; None for regression.
    by_label : bool
        Whether the metric reads the most probable class alone, so that an estimator without
        probabilities will do.
    """

    metric: MetricLike
    classes: npt.NDArray[Any] | None
    by_label: bool

    def __call__(self, fitted: Any, x: Any, y: Any) -> float:
        """Return the metric.

        Raises
        ------
        ConfigError
            When the metric needs probabilities and the estimator has none.
        """
        if self.classes is None:
            return float(self.metric(np.asarray(y, float), np.asarray(fitted.predict(x), float)))
        made = np.zeros((len(np.asarray(y)), len(self.classes)))
        if hasattr(fitted, "predict_proba"):
            places = np.searchsorted(self.classes, fitted.classes_)
            made[:, places] = fitted.predict_proba(x)
        elif self.by_label:
            made[np.arange(len(made)), np.searchsorted(self.classes, fitted.predict(x))] = 1.0
        else:
            raise ConfigError(
                f"{self.metric.name} needs probabilities, but {type(fitted).__name__} has no "
                "predict_proba. Choose another scoring, or an estimator that has it."
            )
        return float(self.metric(np.searchsorted(self.classes, np.asarray(y)), made))
