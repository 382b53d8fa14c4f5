"""Predictions in this process, by a registered model or a bundle file.

No service, no Ray, no training library.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import NO_TIME, Column, Schema, Statistics, Version
from raymm.bundle import on_disk
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.config import default_storage
from raymm.counts import counted
from raymm.data import files, ingest
from raymm.errors import ConfigError, DataError, NotFound
from raymm.features.columns import distinct, encode, gaps, numbers
from raymm.registry.versions import Registry, version_of

_OTHERS = {".parquet", ".xlsx", ".xls", ".json", ".feather", ".arrow", ".gz", ".zip"}
OUTSIDE = 0.1
"""Share of a column's numbers beyond what was trained on from which it is told."""
_SHOWN = 5
"""Classes that are named at most."""
_BLANK = {"", "nan", "none", "null", "na", "n/a", "<na>", "nat", "?", "-"}


class Model:
    """A version of a model, or a bundle file, ready to predict tables.

    Attributes
    ----------
    name : str
        The model's, or the path of the file.
    version : Version or None
        Its record in the registry; None for a file, which is in none.
    schema : Schema
        The columns it takes and the classes it tells apart.
    statistics : Statistics
        What these columns held in training.
    """

    def __init__(self, bundle: Bundle, version: Version | None, name: str) -> None:
        self.name = name
        self.version = version
        self.schema: Schema = bundle.schema
        self.statistics: Statistics = bundle.statistics
        self._data: Mapping[str, Any] = bundle.lineage.configuration.get("data", {})
        self._runner = Runner(bundle, compiled=True)

    def __repr__(self) -> str:
        """Name the model, what it tells and of how many columns."""
        number = "" if self.version is None else f" version {self.version.number}"
        classes = ", ".join(self.schema.classes[:_SHOWN])
        more = ", …" if len(self.schema.classes) > _SHOWN else ""
        kind = f"{self.schema.task} of {self.schema.target}{classes and f' ({classes}{more})'}"
        columns = counted(len(self.schema.features), "column")
        return f"<raymm.Model {self.name}{number}: {kind}, {columns}>"

    def predict(self, data: pd.DataFrame | Sequence[Mapping[str, Any]]) -> list[Any]:
        """Return a label or value for each row.

        ``data`` is a table, or rows as mappings of column to value. Raises DataError where it is
        neither, and where a column is missing.
        """
        return list(self._runner.labels(self._raw(data)))

    def predict_proba(
        self, data: pd.DataFrame | Sequence[Mapping[str, Any]]
    ) -> npt.NDArray[np.float32]:
        """Return probabilities, shape (n, classes), in the order of ``schema.classes``.

        Raises
        ------
        DataError
            For a model of numbers, and where a column is missing.
        """
        if not self.schema.classes:
            raise DataError(f"{self.name} predicts a number; it has no probabilities.")
        return self._raw(data)

    def read(self, source: str) -> pd.DataFrame:
        """Return the rows of a file, read in the way that the training file was said to need.

        Raises DataError where it cannot be read, also by that encoding or delimiter.
        """
        encoding, delimiter = self._data.get("encoding"), self._data.get("delimiter")
        return ingest.read(source, encoding=encoding, delimiter=delimiter).frame

    def _raw(self, data: Any) -> npt.NDArray[np.float32]:
        return self._runner.predict(encode(_table(data), self.schema))


def _table(data: Any) -> pd.DataFrame:
    if isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, Mapping):
        data = [data]
    if not isinstance(data, Sequence) or not all(isinstance(row, Mapping) for row in data):
        raise DataError(
            "predictions are made for a pandas DataFrame, or for rows as mappings of column to "
            f"value, but got {type(data).__name__}."
        )
    return pd.DataFrame(list(data))


def load(name: str | Path, *, version: int | None = None, storage: str | None = None) -> Model:
    """Load the champion of a model, the version asked for, or a bundle file, its hash checked.

    Raises as `found` does.
    """
    bundle, known = found(name, version=version, storage=storage)
    return Model(bundle, known, known.name if known else str(name))


def found(
    name: str | Path, *, version: int | None = None, storage: str | None = None
) -> tuple[Bundle, Version | None]:
    """Return a model's champion, the version asked for, or a bundle file, and what is known of it.

    A file is a Path, or a name that ends in .raymm where such a file exists or no model could be
    called so. ``name`` may name a version, as NAME@NUMBER does.

    Raises
    ------
    NotFound
        When there is no such file, model or version, or no champion.
    ConfigError
        When a version of a file or two versions are asked for, the file cannot be read, or it is
        no bundle.
    BundleError
        When what is stored is damaged.
    """
    path = on_disk.path_of(name)
    if path is not None:
        if version is not None:
            raise ConfigError(f"{path} is one version of a model. Leave out version {version}.")
        return on_disk.read(path), None
    registry, name = Registry(storage or default_storage()), str(name)
    try:
        model, number = version_of(name, version)
        known = champion(registry, model) if number is None else registry.version(model, number)
    except (ConfigError, NotFound) as error:
        file = on_disk.other(name)
        if file and name not in registry.models():
            raise ConfigError(file) from error
        if not name.endswith(on_disk.SUFFIX) or isinstance(error, ConfigError):
            raise
        raise NotFound(f"there is no file {name} in {Path.cwd()}, and {error}") from error
    return Bundle.from_bytes(registry.bundle(known), sha256=known.bundle), known


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
) -> tuple[int, int | None, tuple[str, ...]]:
    """Predict a table's rows and write a CSV file with one line a row, in the same order.

    The column ``prediction`` is followed by one ``probability_CLASS`` a class.

    Returns
    -------
    int, int or None, tuple of str
        How many rows, the version that predicted them (None for a file), and what of the table
        could not be read and was taken for missing, or is unlike what was trained on, a line a
        column; categories that training had not are told in one.
    """
    path = Path(output)
    if path.suffix.lower() in _OTHERS:
        raise ConfigError(f"{output} would hold CSV. Give a name that ends in .csv.")
    if not path.parent.is_dir():
        raise ConfigError(f"{output} cannot be written: {path.parent} is not a folder.")
    require_apart(output, name, source=data)
    model = load(name, version=version, storage=storage)
    frame = model.read(data)
    notes = (*unreadable(frame, model.schema), *outside(frame, model.schema))
    notes += unlisted(frame, model.schema, model.statistics)
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
    return len(frame), model.version.number if model.version else None, notes


def require_apart(output: str, *read: str, source: str = "") -> None:
    """Raise ConfigError where a file that is to be written is one of those that are read.

    ``read`` are paths, or anything else that names no file; ``source`` is a file, folder, glob or
    URL of a table.
    """
    if not os.path.exists(output):
        return
    for one in (*read, *(files.local(source) if source else ())):
        with contextlib.suppress(OSError, ValueError):
            if os.path.samefile(output, one):
                raise ConfigError(f"{output} is what is read. Give another file with -o.")


def unreadable(frame: pd.DataFrame, schema: Schema) -> tuple[str, ...]:
    """Tell which cells are neither missing nor what their column holds; such count as missing.

    Raises
    ------
    DataError
        When a column is missing.
    """
    tensors = encode(frame, schema)
    notes = []
    for column in schema.features:
        values = tensors[column.name]
        if values.dtype == object:
            continue
        gone = np.isnan(values) if values.dtype.kind == "f" else values == NO_TIME
        words = frame[column.name].astype(str).str.strip()
        blank = frame[column.name].isna() | words.str.lower().isin(_BLANK)
        odd = np.flatnonzero(gone & ~blank.to_numpy(bool))
        codes, found = distinct(frame[column.name].iloc[odd])
        odd = odd[~gaps(found, column)[codes]]
        large = _large(frame[column.name].iloc[odd], column)
        for rows, what in (
            (odd[~large], f"no {column.kind}"),
            (odd[large], "too large for a graph's numbers (float32)"),
        ):
            if len(rows):
                are, count = ("is", "counts") if len(rows) == 1 else ("are", "count")
                notes.append(
                    f"{column.name}: {len(rows):,} of {len(frame):,} values {are} {what} and "
                    f"{count} as missing, first {words.iloc[rows[0]]!r} in row {rows[0] + 1}"
                )
    return tuple(notes)


def _large(values: pd.Series[Any], column: Column) -> npt.NDArray[np.bool_]:
    """Tell which of the cells that no tensor holds are finite numbers all the same."""
    if column.kind != "number":
        return np.zeros(len(values), bool)
    return np.isfinite(numbers(values, column))


def outside(frame: pd.DataFrame, schema: Schema) -> tuple[str, ...]:
    """Tell of which columns many numbers lie beyond what was seen in training.

    The first is shown as it was read: another writer may mean something else by points and commas.
    """
    tensors, notes = encode(frame, schema), []
    for column in schema.features:
        low, high = column.minimum, column.maximum
        if column.kind != "number" or low is None or high is None:
            continue
        values = tensors[column.name]
        known = int(np.isfinite(values).sum())
        slack = 1e-6 * max(abs(low), abs(high))  # tensors are float32, and bounds float64
        odd = np.flatnonzero((values < low - slack) | (values > high + slack))
        if len(odd) > max(1, OUTSIDE * known):
            written = str(frame[column.name].iloc[odd[0]]).strip()
            notes.append(
                f"{column.name}: {len(odd):,} of {known:,} numbers lie outside what was trained "
                f"on, {low:.6g} to {high:.6g}; the first is {written!r} in row {odd[0] + 1}, read "
                f"as {float(values[odd[0]]):.6g}"
            )
    return tuple(notes)


def unlisted(frame: pd.DataFrame, schema: Schema, statistics: Statistics) -> tuple[str, ...]:
    """Tell in one line, if any, of which columns how many rows hold categories that are new.

    Columns whose statistics do not list every category of training are passed over.
    """
    tensors = encode(frame, schema)
    known = {one.name: one for one in statistics.columns if one.values and not one.other}
    told = []
    for column in schema.features:
        if column.kind != "category" or column.name not in known:
            continue
        words = tensors[column.name]
        odd = np.flatnonzero(~pd.Series(words).isin(["", *known[column.name].values]))
        if len(odd):
            shown = f"first {words[odd[0]][:40]!r} in row {odd[0] + 1}"
            told.append(f"{column.name} in {len(odd):,} of {len(frame):,} rows ({shown})")
    return (f"categories that training had not: {'; '.join(told)}",) if told else ()
