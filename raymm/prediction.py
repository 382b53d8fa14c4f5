"""Predictions of a registered model in this process: no service, no Ray, no training library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import Schema, Version
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.config import default_storage
from raymm.data import ingest
from raymm.errors import ConfigError, DataError, NotFound
from raymm.features.columns import encode
from raymm.registry.versions import Registry


class Model:
    """A version of a model, ready to predict tables.

    Attributes
    ----------
    version : Version
        Its record in the registry.
    schema : Schema
        The columns it takes and the classes it tells apart.
    """

    def __init__(self, bundle: Bundle, version: Version) -> None:
        self.version = version
        self.schema: Schema = bundle.schema
        self._runner = Runner(bundle)

    def predict(self, data: pd.DataFrame) -> list[Any]:
        """Return a label or value for each row; raises DataError where a column is missing."""
        return list(self._runner.labels(self._raw(data)))

    def predict_proba(self, data: pd.DataFrame) -> npt.NDArray[np.float32]:
        """Return probabilities, shape (n, classes), in the order of ``schema.classes``.

        Raises
        ------
        DataError
            For a model of numbers, and where a column is missing.
        """
        if not self.schema.classes:
            raise DataError(f"{self.version.name} predicts a number; it has no probabilities.")
        return self._raw(data)

    def _raw(self, data: pd.DataFrame) -> npt.NDArray[np.float32]:
        return self._runner.predict(encode(data, self.schema))


def load(name: str, *, version: int | None = None, storage: str | None = None) -> Model:
    """Load the champion of a model, or the version asked for, its hash checked.

    Raises
    ------
    NotFound
        When there is no such model or version, or no champion.
    """
    registry = Registry(storage or default_storage())
    found = registry.version(name, version) if version else champion(registry, name)
    return Model(Bundle.from_bytes(registry.bundle(found), sha256=found.bundle), found)


def champion(registry: Registry, name: str) -> Version:
    """Return the champion of a model; raises NotFound with what to do when there is none."""
    found = registry.champion(name)
    if found is None:
        registry.versions(name)
        raise NotFound(
            f"{name} has no champion: no version of it is promoted. "
            f"See them with: raymm models {name}. Promote one with: raymm promote {name} VERSION"
        )
    return found


def predict_file(
    storage: str, name: str, data: str, output: str, *, version: int | None = None
) -> tuple[int, int]:
    """Predict a table's rows and write a CSV file with one line a row, in the same order.

    The column ``prediction`` is followed by one ``probability_CLASS`` a class.

    Returns
    -------
    int, int
        How many rows, and the version that predicted them.
    """
    path = Path(output)
    if not path.parent.is_dir():
        raise ConfigError(f"{output} cannot be written: {path.parent} is not a folder.")
    model = load(name, version=version, storage=storage)
    frame = ingest.read(data).frame
    raw = model._raw(frame)
    columns: dict[str, Any] = {"prediction": model._runner.labels(raw)}
    for index, label in enumerate(model.schema.classes):
        columns[f"probability_{label}"] = raw[:, index]
    partial = path.with_name(path.name + ".partial")
    try:
        pd.DataFrame(columns).to_csv(partial, index=False)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ConfigError(f"{output} cannot be written: {error.strerror}.") from error
    return len(frame), model.version.number
