"""What training makes: fitted features and a fitted model, together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Config, Dataset, Encoding, Indices, Schema, Task, Tensors
from raymm.errors import ConfigError, SearchError
from raymm.features.dealing import crossing
from raymm.features.nominal import crowded_columns, nominal_columns
from raymm.features.pipeline import Features, fit_training
from raymm.models import targets
from raymm.models.family import Family, Fitting, Matrix
from raymm.models.targets import Curve
from raymm.onnx_builder import GraphBuilder
from raymm.plugins import families

_ATTEMPTS, _APART = 3, 7919
_LOOKED = 500
"""Training rows, evenly spread, whose predictions must be finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Raw columns to predictions, in the form it was trained in.

    ``model`` is what ``family.fit`` returned; only the family looks inside. ``share`` below 1
    predicts with that share of its rounds alone; see `Family.predict`. ``curve`` is what the
    target was bent by before the family saw it.
    """

    schema: Schema
    features: Features
    family: Family
    model: Any
    task: Task
    share: float = 1.0
    curve: Curve | None = None

    def predict(self, tensors: Tensors) -> npt.NDArray[np.float64]:
        """Return probabilities, shape (n, classes), or values, shape (n,)."""
        return self.predict_features(self.features.transform(tensors))

    def predict_features(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return what `predict` does, for what ``features`` made of the rows, shape (n, d)."""
        if self.share == 1.0:
            found = self.family.predict(self.model, x)
        else:
            found = self.family.predict(self.model, x, self.share)
        return found if self.curve is None else self.curve.back(found)

    def to_onnx(self, builder: GraphBuilder, features: str) -> str:
        """Add the model's nodes behind those of its features; see `Family.to_onnx`."""
        result = self.family.to_onnx(self.model, builder, features)
        return result if self.curve is None else self.curve.to_onnx(builder, result)


def family_config(config: Config) -> tuple[Family, dict[str, Any]]:
    """Return the model family that a trial's configuration names, and that family's own part.

    Parameters
    ----------
    config : mapping
        ``{"family": "lightgbm", "lightgbm.learning_rate": 0.1, …}``; keys of other families are
        passed over.

    Raises
    ------
    ConfigError
        When no family is named or the name is not known.
    """
    name = config.get("family")
    if not isinstance(name, str):
        raise ConfigError(f'a configuration must name its "family", but got {dict(config)!r}.')
    prefix = f"{name}."
    own = {
        key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)
    }
    return families.get(name)(), own


class Bench:
    """Some rows of a dataset, ready to train on: each encoding's features are made once.

    Parameters
    ----------
    dataset : Dataset
    rows : int64, shape (n,)
        Row numbers to train on; no other row is looked at.
    """

    def __init__(self, dataset: Dataset, rows: Indices) -> None:
        self.schema = dataset.schema
        self._nominal, self._crowded = nominal_columns(dataset), crowded_columns(dataset)
        self._fold = crossing(dataset, rows)
        self._tensors, self._y = dataset.rows(rows), dataset.y[rows]
        self._y.setflags(write=False)  # what families derive of it may then be shared
        self._made: dict[Encoding, tuple[Features, Matrix]] = {}

    def features(self, encoding: Encoding) -> tuple[Features, Matrix]:
        """Return the fitted features of an encoding and the rows to learn from.

        Raises
        ------
        DataError
            When no feature differs between the rows.
        """
        if encoding not in self._made:
            features, x = fit_training(
                self._tensors,
                self._y,
                self.schema,
                encoding,
                crossed=True,
                nominal=self._nominal,
                crowded=self._crowded,
                fold=self._fold,
            )
            x.setflags(write=False)
            train = Matrix(x=x, y=self._y, names=features.safe_names, nominal=features.nominal)
            self._made[encoding] = features, train
        return self._made[encoding]

    def fit(self, config: Config, *, rounds: int, seed: int, threads: int) -> Pipeline:
        """Fit features and model; arguments and errors are those of `fit`."""
        family, own = family_config(config)
        features, train = self.features(family.encoding)
        bend = targets.curve(config, self.schema.task, train.y)
        train = train if bend is None else targets.bent(train, bend)
        how = Fitting(
            task=self.schema.task,
            classes=len(self.schema.classes),
            seed=seed,
            rounds=rounds,
            threads=threads,
        )
        return Pipeline(
            schema=self.schema,
            features=features,
            family=family,
            model=_fit(family, own, train, how),
            task=self.schema.task,
            curve=bend,
        )


def _fit(family: Family, own: Config, train: Matrix, how: Fitting) -> Any:
    """Train a model, and with another seed where it comes to nothing.

    A network that stayed within bounds on the rows of a trial may grow beyond them on others: the
    order of its batches decides.
    """
    looked = train.x[:: max(1, len(train.x) // _LOOKED)]
    for attempt in range(_ATTEMPTS):
        seeded = replace(how, seed=(how.seed + attempt * _APART) % 2**31)
        try:
            model = family.fit(own, train, seeded)
        except ValueError as error:
            if "finite" not in str(error):
                raise
            if attempt + 1 < _ATTEMPTS:
                continue
            raise SearchError(f"{family.name} could not be trained: {error}") from error
        if np.isfinite(family.predict(model, looked)).all():
            return model
    raise SearchError(
        f"a model of the family {family.name} grew beyond all bounds with each of {_ATTEMPTS} "
        f"seeds. Leave the family out (search.families), or try another seed."
    )


def fit(
    dataset: Dataset, rows: Indices, config: Config, *, rounds: int, seed: int, threads: int
) -> Pipeline:
    """Fit features and model on these rows of a dataset.

    Parameters
    ----------
    dataset : Dataset
    rows : int64, shape (n,)
        Row numbers to train on; no other row is looked at.
    config : mapping
        As for `family_config`.
    rounds : int
        The amount of training.
    seed, threads : int
        As in `Fitting`.

    Raises
    ------
    ConfigError
        When the family is not known.
    DataError
        When no feature differs between the rows.
    SearchError
        When the model predicts what is not finite, whatever the seed.
    """
    return Bench(dataset, rows).fit(config, rounds=rounds, seed=seed, threads=threads)
