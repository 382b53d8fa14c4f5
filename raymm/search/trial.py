"""One trial, without Ray: features once a fold, then models trained step by step.

`prepare` does what all trials share. A `TrialRun` trains one configuration on every fold, a
step of the ladder at a time, and scores it after each full step: that is a rung. A trial whose
last two rungs brought nothing better has ended by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Config, Dataset, Encoding, MetricLike, Task
from raymm.errors import ConfigError
from raymm.search.checkpoint import pack, unpack

if TYPE_CHECKING:
    # A worker that runs a user's own function needs none of these, nor the library for graphs
    # that comes with them.
    from raymm.models.family import Family, Fitting, Matrix
    from raymm.models.targets import Curve

FIRST = 20
GROWTH = 1.3
PATIENCE = 2
"""Of 36 boosters on six tables, a growth of 1.3 and a patience of 2 trained 725 rounds on average
and ended 0.0011 (relative) below the best of all rounds; 1.5 and 3 took 790 and ended 0.0014 below.
Where a booster ends before its last rung, a quarter to two fifths of the rounds are saved."""
FLOOR = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """A full step: the mean over the folds, in the metric's unit, at ``rounds`` of training.

    ``metrics`` are further numbers by name, as a user's function may give them. ``pace`` is how
    far one round gets (`raymm.models.family.Family.pace`).
    """

    rounds: int
    value: float
    fold_values: tuple[float, ...] = ()
    done: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)
    pace: float = 1.0

    @property
    def progress(self) -> int:
        """Rounds times pace, at least 1: what a scheduler compares."""
        return max(1, round(self.rounds * self.pace))


class Run(Protocol):
    """What a worker drives: each call does a short piece of work.

    A run may have two methods more: ``save()``, called after a rung, returns what can be pickled,
    or None; ``restore(state)``, called on a fresh run before anything else, takes what another
    run saved and goes on from there. It may have ``close()``, called last.
    """

    def advance(self) -> Rung | None:
        """Work on; None where a rung is not complete yet. Not called after a rung is done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What all trials of a search share.

    Attributes
    ----------
    folds : mapping of encoding to ((train, valid), ...)
        The matrices of each fold; transforms are fitted on the fold's training rows alone.
    """

    folds: Mapping[Encoding, tuple[tuple[Matrix, Matrix], ...]]
    task: Task
    classes: int


def prepare(dataset: Dataset, families: Iterable[Family | type[Family]]) -> Prepared:
    """Make the matrices that these families train on.

    Parameters
    ----------
    dataset : Dataset
        Only rows of its folds are read; test rows are not.
    families : iterable of Family
        Each encoding that one of them needs is made once.

    Raises
    ------
    ConfigError
        When no family is given, or the dataset has no folds.
    """
    from raymm.features.dealing import crossing
    from raymm.features.nominal import crowded_columns, nominal_columns
    from raymm.features.pipeline import fit_training
    from raymm.models.family import Matrix

    encodings: tuple[Encoding, ...] = tuple(dict.fromkeys(part.encoding for part in families))
    if not encodings or not dataset.folds:
        raise ConfigError(
            "A search needs at least one model family and one fold, but got "
            f"{len(encodings)} encodings and {len(dataset.folds)} folds."
        )
    made: dict[Encoding, tuple[tuple[Matrix, Matrix], ...]] = {}
    decided: dict[str, Any] = {
        "nominal": nominal_columns(dataset),
        "crowded": crowded_columns(dataset),
    }
    for encoding in encodings:
        pairs = []
        for fold in dataset.folds:
            y = _shared(dataset.y[fold.train])
            tensors = dataset.rows(fold.train)
            dealt = crossing(dataset, fold.train)
            features, x_train = fit_training(
                tensors, y, dataset.schema, encoding, crossed=True, fold=dealt, **decided
            )
            names = tuple(features.safe_names)
            train = Matrix(x=_matrix(x_train), y=y, names=names, nominal=features.nominal)
            x_valid = _matrix(features.transform(dataset.rows(fold.valid)))
            y_valid = _shared(dataset.y[fold.valid])
            pairs.append((train, Matrix(x=x_valid, y=y_valid, names=names)))
        made[encoding] = tuple(pairs)
    classes = len(dataset.schema.classes)
    return Prepared(folds=made, task=dataset.schema.task, classes=classes)


def _matrix(x: Any) -> Any:
    return _shared(np.ascontiguousarray(x, dtype=np.float32))


def _shared(values: Any) -> Any:
    """Return an array that no one can change, so that what is made of it can be kept."""
    values.setflags(write=False)
    return values


def ladder(largest: int) -> tuple[int, ...]:
    """Return the amounts of training at which a trial is scored, up to ``largest`` (at least 1).

    >>> ladder(1), ladder(20), ladder(60)
    ((1,), (20,), (20, 26, 34, 44, 57, 60))
    """
    steps: list[int] = []
    step = float(FIRST)
    while round(step) < largest:
        steps.append(round(step))
        step *= GROWTH
    return (*steps, largest)


class Trend:
    """The best rung so far, and whether training on is worth it.

    Training has ended when `PATIENCE` rungs in a row were no better than the best. Below `FLOOR`
    rounds it goes on all the same: a slow learner predicts the same class for every row there,
    and its accuracy stands still.
    """

    def __init__(self, maximize: bool) -> None:
        self._sign = 1.0 if maximize else -1.0
        self.best: Rung | None = None
        self.since = 0

    def add(self, rung: Rung) -> bool:
        """Take in a rung and return whether training on is worth it."""
        if self.best is None or self._sign * rung.value > self._sign * self.best.value:
            self.best, self.since = rung, 0
        else:
            self.since += 1
        return self.since < PATIENCE or rung.rounds < FLOOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a trial stands after a rung: each fold's model as bytes, and the rungs so far.

    ``ended`` says that more training was not worth it.
    """

    config: Config
    models: tuple[bytes, ...]
    last: Rung
    best: Rung
    since: int
    ended: bool


class TrialRun:
    """Trains one configuration on every fold, step by step.

    Parameters
    ----------
    config : mapping
        With the family's name in it, as a searcher suggests it.
    seed, threads : int
        As in `raymm.models.family.Fitting`.
    limit : float or None
        The largest amount of training allowed; None for as much as the family thinks worth it.
    """

    def __init__(
        self,
        prepared: Prepared,
        config: Config,
        metric: MetricLike,
        *,
        seed: int,
        threads: int = 1,
        limit: float | None = None,
    ) -> None:
        from raymm.bundle.pipeline import family_config
        from raymm.models.family import Fitting

        self._given = dict(config)
        self._family, self._config = family_config(config)
        self._folds = prepared.folds[self._family.encoding]
        largest = self._family.max_rounds(self._config)
        if limit is not None:
            largest = max(1, min(largest, math.ceil(limit)))
        self._ladder = ladder(largest)
        self._fitting: Callable[[int], Fitting] = lambda rounds: Fitting(
            task=prepared.task,
            classes=prepared.classes,
            seed=seed,
            rounds=rounds,
            threads=threads,
        )
        self._metric = metric
        self._task = prepared.task
        self._curves: list[Curve | None] = []
        self._models: list[Any] = []
        self._saved: tuple[bytes, ...] = ()
        self._values: list[float] = []
        self._step = 0
        self._trend = Trend(metric.direction == "maximize")
        self._last: Rung | None = None
        self._ended = False

    def save(self) -> Standing | None:
        """Return where the trial stands; None before its first rung."""
        if self._last is None or self._trend.best is None:
            return None
        return Standing(
            config=self._given,
            models=tuple(pack(self._family.state(model)) for model in self._models) or self._saved,
            last=self._last,
            best=self._trend.best,
            since=self._trend.since,
            ended=self._ended,
        )

    def restore(self, state: Standing | None) -> None:
        """Go on from where `save` was called.

        With another configuration the trial begins anew: a value must follow from the
        configuration and the rounds alone, as the final model is trained from them.
        """
        if state is None or dict(state.config) != self._given:
            return
        self._saved, self._last, self._ended = state.models, state.last, state.ended
        self._trend.best, self._trend.since = state.best, state.since
        self._step = sum(rounds <= state.last.rounds for rounds in self._ladder)

    def advance(self) -> Rung | None:
        """Train one fold to the next amount of training; a rung once all folds are there.

        Raises
        ------
        ValueError
            When the metric of a fold is not a finite number.
        """
        if self._ended or self._step == len(self._ladder):
            # A run that was restored has nothing left to do: its best rung is what it came to.
            assert self._trend.best is not None
            return replace(self._trend.best, done=True)
        rounds, fold = self._ladder[self._step], len(self._values)
        valid = self._folds[fold][1]
        self._train(fold, rounds)
        prediction = self._family.predict(self._models[fold], valid.x)
        curve = self._curve(fold)
        if curve is not None:
            prediction = curve.back(prediction)
        value = float(self._metric(valid.y, prediction))
        if not math.isfinite(value):
            raise ValueError(
                f"{self._metric.name} must be finite, but it is {value} on fold {fold}"
                + _why(valid.y)
            )
        self._values.append(value)
        if len(self._values) < len(self._folds):
            return None
        return self._rung(rounds)

    def _curve(self, fold: int) -> Curve | None:
        """Return what the configuration bends the target by, learnt from the training rows."""
        from raymm.models import targets

        while len(self._curves) <= fold:
            y = self._folds[len(self._curves)][0].y
            self._curves.append(targets.curve(self._given, self._task, y))
        return self._curves[fold]

    def _train(self, fold: int, rounds: int) -> None:
        from raymm.models import targets

        how, train = self._fitting(rounds), self._folds[fold][0]
        curve = self._curve(fold)
        if curve is not None:
            train = targets.bent(train, curve)
        if fold < len(self._models):
            self._models[fold] = self._family.extend(self._models[fold], rounds)
        elif self._saved:
            # Another seed: the same draws as in the first rounds would say less.
            other = replace(how, seed=(how.seed + rounds) % 2**31)
            state = unpack(self._saved[fold])
            model = self._family.resume(state, self._config, train, other)
            self._models.append(self._family.extend(model, rounds))
        else:
            self._models.append(self._family.fit(self._config, train, how))

    def _rung(self, rounds: int) -> Rung:
        values, self._values = tuple(self._values), []
        self._last = Rung(
            rounds=rounds,
            value=float(np.mean(values)),
            fold_values=values,
            pace=self._family.pace(self._config),
        )
        self._ended = not self._trend.add(self._last)
        self._step += 1
        return replace(self._last, done=self._ended or self._step == len(self._ladder))


def _why(truth: npt.NDArray[Any]) -> str:
    """Say so where validation rows hold a single class, on which a ranking has no score."""
    if len(truth) == 0 or truth.dtype.kind == "f" or (truth != truth[0]).any():
        return ""
    return (
        f", whose {len(truth)} validation rows are all of one class. Give more rows of the others, "
        "split in another way, or set goal.metric to log_loss."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeTrial:
    """Makes the run of a suggestion, on a worker."""

    prepared: Prepared
    metric: MetricLike
    seed: int
    threads: int

    def __call__(self, number: int, config: Config, budget: float | None) -> Run:
        """Return a run that has not begun."""
        return TrialRun(
            self.prepared,
            config,
            self.metric,
            seed=self.seed,
            threads=self.threads,
            limit=budget,
        )
