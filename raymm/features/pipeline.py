"""All features of a table: of each column, of pairs of numbers and of dates, side by side."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import Column, Encoding, Kind, Schema, Tensors
from raymm.errors import DataError
from raymm.features.combination import Combination
from raymm.features.date_gap import DateGap, date_pairs
from raymm.features.ordinal_category import rare_below
from raymm.features.scaled_numbers import ScaledNumbers, suitable
from raymm.features.target_category import suits
from raymm.features.transform import Transform
from raymm.onnx_builder import GraphBuilder
from raymm.plugins import transforms

_DENSE: Mapping[Kind, str] = {
    "number": "scaled_number",
    "boolean": "scaled_number",
    "category": "onehot_category",
    "datetime": "scaled_datetime",
    "text": "scaled_text",
}
TRANSFORMS: Mapping[Encoding, Mapping[Kind, str]] = {
    "ordinal": {
        "number": "number",
        "boolean": "number",
        "category": "ordinal_category",
        "datetime": "datetime",
        "text": "text",
    },
    "dense": _DENSE,
    "compact": _DENSE,
}
"""Which transform serves which kind of column in each encoding; see also `ScaledNumbers`."""

MANY_LEVELS: Mapping[Encoding, str] = {
    "ordinal": "target_category",
    "dense": "scaled_target_category",
    "compact": "scaled_target_category",
}
"""Which transform serves categories of many levels with few rows each."""

CELLS = 250_000_000
"""Cells of training rows by features (1 GB as float32) up to which every feature is kept."""
FEWEST = 8
"""Features that a column keeps however large the table is."""
_TOLD = 10
"""Columns that an error names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Fitted transforms, and which of their features are kept.

    Attributes
    ----------
    transforms : tuple of Transform
        In the order of the schema, then interactions, differences of dates last; each keeps at
        least one feature.
    kept : tuple of int64 arrays
        For each transform, the sorted positions of the features that differ between training
        rows; on a large table those with most variance.
    names : tuple of str, length d
        For a person.
    safe_names : tuple of str, length d
        The names in ASCII letters, digits and underscores; no two are equal.
    columns : tuple of str, length d
        The raw column that each feature is made of, the first one of two.
    nominal : tuple of (int, int)
        As in `raymm.models.family.Matrix`.
    """

    transforms: tuple[Transform, ...]
    kept: tuple[npt.NDArray[np.int64], ...]
    names: tuple[str, ...]
    safe_names: tuple[str, ...]
    columns: tuple[str, ...]
    nominal: tuple[tuple[int, int], ...] = ()

    @property
    def sources(self) -> tuple[tuple[str, ...], ...]:
        """The raw columns that each feature is made of, length d."""
        pairs = zip(self.transforms, self.kept, strict=True)
        made = ((part.origins, kept.tolist()) for part, kept in pairs)  # each asked for once
        return tuple(origins[place] for origins, kept in made for place in kept)

    def credited(
        self, contributions: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], tuple[str, ...]]:
        """Return features' contributions as those of raw columns.

        What two columns make together is credited to each by half, as neither makes it alone.

        Parameters
        ----------
        contributions : float64, shape (…, d)

        Returns
        -------
        float64, shape (…, e)
            One for each feature and each column that it is made of.
        tuple of str, length e
            That column.
        """
        sources = self.sources
        places = [place for place, names in enumerate(sources) for _ in names]
        shares = np.array([1.0 / len(sources[place]) for place in places])
        columns = tuple(name for names in sources for name in names)
        return contributions[..., places] * shares, columns

    def transform(self, tensors: Tensors) -> npt.NDArray[np.float32]:
        """Return the features, shape (n, d), C order."""
        return self._joined(tensors, lambda part, values: part.transform(values))

    def training(self, tensors: Tensors, y: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return what a model learns from: the rows that the features were fitted on.

        Equal to `transform` but where that would show a row its own target; see
        `raymm.features.target_category`.
        """
        return self._joined(tensors, lambda part, values: part.training(values, y))

    def _joined(
        self, tensors: Tensors, make: Callable[[Transform, npt.NDArray[Any]], npt.NDArray[Any]]
    ) -> npt.NDArray[np.float32]:
        rows = len(self.transforms[0].take(tensors))
        result = np.empty((rows, len(self.names)), dtype=np.float32)
        start = 0
        for part, kept in zip(self.transforms, self.kept, strict=True):
            made = make(part, part.take(tensors))
            result[:, start : start + len(kept)] = _keep(made, kept)
            start += len(kept)
        return result

    def to_onnx(self, builder: GraphBuilder, inputs: Mapping[str, str]) -> str:
        """Add every transform's nodes.

        ``inputs`` names the tensor of shape (n, 1) of each raw column. Returns the name of a
        float32 tensor of shape (n, d).
        """
        parts = []
        for part, kept in zip(self.transforms, self.kept, strict=True):
            made = part.to_onnx(builder, part.take_onnx(builder, inputs))
            if len(kept) < len(part.names):
                made = builder.node("Gather", [made, builder.constant(kept, np.int64)], axis=1)
            parts.append(made)
        return builder.node("Concat", parts, axis=1)


def fit_features(
    tensors: Tensors,
    y: npt.NDArray[Any],
    schema: Schema,
    encoding: Encoding,
    *,
    crossed: bool = False,
    nominal: Collection[str] = (),
    crowded: Collection[str] | None = None,
    fold: npt.NDArray[np.int64] | None = None,
) -> Features:
    """Fit a transform on each feature column and interaction, and on pairs of a few date columns.

    Parameters
    ----------
    tensors : mapping of column name to array, shape (n,)
        Training rows only.
    y : int64 or float64, shape (n,)
        Their class codes or values.
    schema : Schema
    encoding : "ordinal", "dense" or "compact"
        What the model family takes.
    crossed : bool
        Whether the model will learn from `Features.training` rather than from what `transform`
        makes of the same rows. Only then may features be statistics of the target.
    nominal : collection of str
        Columns whose categories or days may be split into sets; see `raymm.features.nominal`.
    crowded : collection of str, optional
        Categories to make statistics of the target, where ``crossed`` allows it; see
        `raymm.features.nominal`. Decided by these rows where it is not given.
    fold : int64, shape (n,), optional
        As `raymm.features.transform.Transform.fold`.

    Returns
    -------
    Features
        Features that are constant in training are left out. Every column may have an even share
        of `CELLS`, which few tables come near; beyond it, say with many columns of words on many
        rows, the features that vary least are left out too.

    Raises
    ------
    DataError
        When the schema has no feature column, or none differs between the rows.
    """
    return fit_training(
        tensors,
        y,
        schema,
        encoding,
        crossed=crossed,
        nominal=nominal,
        crowded=crowded,
        fold=fold,
    )[0]


def fit_training(
    tensors: Tensors,
    y: npt.NDArray[Any],
    schema: Schema,
    encoding: Encoding,
    *,
    crossed: bool = False,
    nominal: Collection[str] = (),
    crowded: Collection[str] | None = None,
    fold: npt.NDArray[np.int64] | None = None,
) -> tuple[Features, npt.NDArray[np.float32]]:
    """Return what `fit_features` does, and its `Features.training`, both made in one go."""
    if not schema.features:
        raise DataError(
            "at least one column must be a feature, but the schema has none. "
            "Look at the roles and reasons that raymm validate prints."
        )
    fitted: list[Transform] = []
    kept: list[npt.NDArray[np.int64]] = []
    columns: list[npt.NDArray[np.float32]] = []
    most = _most(schema, len(y))
    if crowded is None:
        categories = [column for column in schema.features if column.kind == "category"]
        crowded = [column.name for column in categories if crossed and suits(tensors[column.name])]
    for part in _parts(tensors, schema, encoding, crowded if crossed else ()):
        values = part.take(tensors)
        part.fold = fold
        part.fit(values, y)
        made = part.training(values, y)
        varying = _varying(made, most * len(part.sources))
        if varying.size:
            fitted.append(part)
            kept.append(varying)
            columns.append(_keep(made, varying))
    if not fitted:
        raise DataError(_nothing_to_learn(tensors, schema))
    return _describe(fitted, kept, nominal), _beside(columns, len(y))


def _nothing_to_learn(tensors: Tensors, schema: Schema) -> str:
    """Return why none of the columns makes a feature, and which were left out before and why."""
    told = [_useless(tensors[column.name], column) for column in schema.features[:_TOLD]]
    ignored = [column for column in schema.columns if column.role == "ignored"]
    out = [f'"{column.name}" ({column.reason or "ignored"})' for column in ignored[:_TOLD]]
    before = f" Left out before: {'; '.join(out)}." if out else ""
    again = ", or give one that was left out the role feature in the schema" if out else ""
    return (
        "at least one column must make a feature that differs between training rows, but none "
        f"does: {'; '.join(told)}.{before} Add columns or rows{again}."
    )


def _useless(values: npt.NDArray[Any], column: Column) -> str:
    """Say of a column's tensor, shape (n,), why it makes no feature."""
    counts = np.bincount(pd.factorize(values, use_na_sentinel=False)[0])
    rows = len(values)
    if len(counts) < 2:
        return f'"{column.name}" is the same in all {rows:,} training rows'
    told = f'"{column.name}" has {len(counts):,} values in {rows:,} rows'
    if column.kind == "text":
        return f"{told}, whose words are each in too few rows to learn from, or in all"
    if column.kind == "category" and counts.max() < rare_below(rows):
        return f"{told}, none in more than {counts.max()}, which is too rare to learn from"
    return f"{told}, of which no feature can be made"


def _beside(parts: list[npt.NDArray[np.float32]], rows: int) -> npt.NDArray[np.float32]:
    """Put features side by side, each let go once it is there: no table is held twice."""
    result = np.empty((rows, sum(part.shape[1] for part in parts)), dtype=np.float32)
    start = 0
    parts.reverse()
    while parts:
        part = parts.pop()
        result[:, start : start + part.shape[1]] = part
        start += part.shape[1]
    return result


def _parts(
    tensors: Tensors, schema: Schema, encoding: Encoding, crowded: Collection[str]
) -> Iterator[Transform]:
    """Yield the transforms to fit: the columns', then those of two numbers, then of two dates.

    Dates whose difference does not vary are left out.
    """
    beside = suitable(schema.features, tensors) if encoding == "compact" else ()
    if beside:
        yield ScaledNumbers(beside)
    for column in schema.features:
        if column in beside:
            continue
        many = column.kind == "category" and column.name in crowded
        name = MANY_LEVELS[encoding] if many else TRANSFORMS[encoding][column.kind]
        yield transforms.get(name)(column)
    number = transforms.get(TRANSFORMS[encoding]["number"])
    for interaction in schema.interactions or ():
        yield Combination(interaction, schema.column(interaction.first), number)
    for first, second in date_pairs(schema.features):
        gap = DateGap(first, second, number)
        if gap.varies(tensors):
            yield gap


def _most(schema: Schema, rows: int) -> int:
    """Return how many features a column may have.

    Numbers, booleans, interactions and differences of dates need three at most.
    """
    many = sum(column.kind not in ("number", "boolean") for column in schema.features)
    few = len(schema.features) - many + len(date_pairs(schema.features))
    few += len(schema.interactions or ())
    return max(FEWEST, (CELLS // max(1, rows) - 3 * few) // max(1, many))


def _describe(
    fitted: Sequence[Transform], kept: Sequence[npt.NDArray[np.int64]], nominal: Collection[str]
) -> Features:
    pairs = [
        (part, place) for part, keep in zip(fitted, kept, strict=True) for place in keep.tolist()
    ]
    described = {id(part): part.names for part in fitted}
    origins = {id(part): part.origins for part in fitted}
    names = tuple(described[id(part)][place] for part, place in pairs)
    sizes = {id(part): part.nominal for part in fitted if part.column.name in nominal}
    levels = [sizes[id(part)][place] if id(part) in sizes else 0 for part, place in pairs]
    return Features(
        transforms=tuple(fitted),
        kept=tuple(kept),
        names=names,
        safe_names=safe_names(names),
        columns=tuple(origins[id(part)][place][0] for part, place in pairs),
        nominal=tuple((place, size) for place, size in enumerate(levels) if size),
    )


def safe_names(names: Sequence[str], reserved: Sequence[str] = ()) -> tuple[str, ...]:
    """Return names of ASCII letters, digits and underscores, no two equal and none in ``reserved``.

    >>> safe_names(["age", "a b", "a-b", "", "ü"])
    ('age', 'a_b', 'a_b_2', 'column', 'column_2')
    """
    taken = set(reserved)
    result = []
    for name in names:
        stem = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "column"
        stem = f"column_{stem}" if stem[0].isdigit() else stem
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            stem = name
        safe, number = stem, 1
        while safe in taken:
            number += 1
            safe = f"{stem}_{number}"
        taken.add(safe)
        result.append(safe)
    return tuple(result)


def _keep(made: npt.NDArray[np.float32], kept: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    return made if len(kept) == made.shape[1] else made[:, kept]


def _varying(made: npt.NDArray[np.float32], most: int) -> npt.NDArray[np.int64]:
    """Return the positions of columns with two different values, missing counting as one.

    Of more than ``most`` those with the largest variance are returned, in order.
    """
    if made.shape[0] == 0:
        return np.zeros(0, dtype=np.int64)
    first = made[:1]
    differs = (made != first) & ~(np.isnan(made) & np.isnan(first))
    varying = np.flatnonzero(differs.any(axis=0)).astype(np.int64)
    if len(varying) <= most:
        return varying
    spread = np.array([np.nanvar(made[:, place], dtype=np.float64) for place in varying])
    return np.sort(varying[np.argsort(-spread, kind="stable")[:most]])
