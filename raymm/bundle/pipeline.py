"""What training makes: fitted features and a fitted model, together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Config, Dataset, Indices, Schema, Task, Tensors
from raymm.errors import ConfigError
from raymm.features.pipeline import Features, fit_features
from raymm.models.family import Family, Fitting, Matrix
from raymm.plugins import families


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Raw columns to predictions, in the form it was trained in.

    ``model`` is what ``family.fit`` returned; only the family looks inside. ``share`` below 1
    predicts with that share of its rounds alone; see `Family.predict`.
    """

    schema: Schema
    features: Features
    family: Family
    model: Any
    task: Task
    share: float = 1.0

    def predict(self, tensors: Tensors) -> npt.NDArray[np.float64]:
        """Return probabilities, shape (n, classes), or values, shape (n,)."""
        x = self.features.transform(tensors)
        if self.share == 1.0:
            return self.family.predict(self.model, x)
        return self.family.predict(self.model, x, self.share)


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
    """
    family, own = family_config(config)
    schema = dataset.schema
    tensors, y = dataset.rows(rows), dataset.y[rows]
    features = fit_features(tensors, y, schema, family.encoding)
    train = Matrix(x=features.transform(tensors), y=y, names=features.safe_names)
    how = Fitting(
        task=schema.task, classes=len(schema.classes), seed=seed, rounds=rounds, threads=threads
    )
    model = family.fit(own, train, how)
    return Pipeline(schema=schema, features=features, family=family, model=model, task=schema.task)
