"""Makes a table ready: encoded, its last rows for the final test put aside, and cut into folds."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import Dataset, Fold, Indices, Schema, Table
from raymm.data import duplicates, enough
from raymm.data.schema import nearest
from raymm.errors import DataError
from raymm.features.columns import encode, encode_target, numbers, times, words
from raymm.sections import DataConfig

HOLDOUT = 0.2
"""The share of training rows that a single fold validates on."""

RARE, MANY = 200, 100_000
"""Rows of the rarer of two classes under which a single fold would be judged by chance: 5 of them
leave a standard error of some 0.1 of the area under the curve, 200 one of 0.02 (Hanley & McNeil
1982). Several folds judge by all rows of the class; from `MANY` training rows on they would take
too long, and too much memory."""

WINDOWS = 3
"""How many windows of time are validated on at most; the share before the first is 40 %."""


def split(table: Table, schema: Schema, config: DataConfig, *, seed: int) -> Dataset:
    """Return the rows whose target is known, encoded and split.

    The test rows are those of scikit-learn's ``train_test_split(test_size=config.test,
    random_state=seed, stratify=y)`` (no stratification for regression), so that scores compare
    with what everyone computes; with ``config.time``, or a column of that role in the schema, the
    latest rows, with ``config.group`` whole groups (see `parting`). Rows whose features are equal
    are then moved to the side of the first of them, unless they are alike by chance or a side would
    lack a class or half of its rows for it; this changes nothing where no row repeats another.
    Folds are made of the training rows only: five below 5,000 of them, three below 12,000, or below
    100,000 where one would validate on fewer than 200 of the rarer of two classes, else one that
    validates on a fifth; with ``config.time`` three at most, on the latest fifth and on the two
    before it, each foretold from what lies before. There are fewer folds where one of two classes
    has too few rows to be in each. Every class that the training rows hold is in every fold's
    training part, unless time or groups part them. What ``config`` excludes is no feature, whatever
    the schema says. Of a very large table a sample is taken first, see `raymm.data.enough`.

    Raises
    ------
    DataError
        When the rows are too few, there are not two groups to part, or schema and configuration
        contradict each other.
    """
    time, group = parting(schema, config)
    config = config.model_copy(update={"time": time, "group": group})
    schema = agreed(schema, config, table.frame)
    table = dataclasses.replace(table, frame=table.frame.reset_index(drop=True))
    table = enough.thinned(table, schema, config, seed=seed)
    y, known = encode_target(table.frame, schema)
    # A frame of every row is shared rather than copied: pandas copies on writing only.
    frame = table.frame if known.all() else table.frame[known]
    origin, frame = frame.index.to_numpy(dtype=np.int64), frame.reset_index(drop=True)
    y = y[known]
    if len(y) < 10:
        raise DataError(
            f'At least 10 rows must have a target "{schema.target}", but {len(y)} do. Give more '
            "rows."
        )
    labels = y if schema.task != "regression" else None
    tensors = encode(frame, schema)
    if config.time:
        train, test, folds = _by_time(frame, schema, config, labels)
    elif config.group:
        train, test, folds = _by_group(frame, schema, config, labels, seed)
    else:
        firsts = duplicates.firsts(tensors)
        train, test = _part(np.arange(len(y)), labels, firsts, config.test, seed)
        folds = [_complete(fold, labels) for fold in _folds(train, labels, firsts, seed)]
    return Dataset(
        tensors=tensors,
        y=y,
        frame=frame,
        schema=schema,
        train=_sorted(train),
        test=_sorted(test),
        folds=tuple(folds),
        sha256=table.sha256,
        source=table.source,
        origin=None if origin[-1] == len(origin) - 1 else origin,
    )


def parting(schema: Schema, config: DataConfig) -> tuple[str | None, str | None]:
    """Return the column that orders the rows and the one whose rows stay together, or None.

    They are ``config.time`` and ``config.group`` or, where the configuration names none, the
    schema's columns of these roles.

    Raises
    ------
    DataError
        When there are two of one role, both roles, or other columns in the configuration.
    """
    found: dict[str, str] = {}
    for role, given in (("time", config.time), ("group", config.group)):
        named = [column.name for column in schema.columns if column.role == role]
        if len(named) > 1:
            raise DataError(
                f"One column at most can have the role {role} in the schema, but "
                f"{', '.join(named)} have it. Give all but one the role ignored."
            )
        if given and named and named != [given]:
            raise DataError(
                f'data.{role} is "{given}", but the schema gives the role {role} to '
                f'"{named[0]}". Change one of them.'
            )
        if given or named:
            found[role] = given or named[0]
    if len(found) == 2:
        raise DataError(
            f'Rows cannot be ordered by the time "{found["time"]}" and parted by the group '
            f'"{found["group"]}" together. Leave one of them out, in data.time and data.group or '
            "in the schema's roles."
        )
    return found.get("time"), found.get("group")


def again(table: Table, schema: Schema, config: DataConfig, *, seed: int) -> Dataset:
    """Split a table as the run did that made a schema, and return what its models were given.

    A run splits rows by all columns that it was offered, and may leave some out afterwards; see
    `Schema.whole`. Arguments and errors are those of `split`.
    """
    dataset = split(table, schema.whole(), config, seed=seed)
    names = {column.name for column in schema.features}
    tensors = {name: values for name, values in dataset.tensors.items() if name in names}
    return dataclasses.replace(dataset, schema=schema, tensors=tensors)


def agreed(schema: Schema, config: DataConfig, frame: pd.DataFrame) -> Schema:
    """Return the schema without the features that the configuration excludes.

    Raises
    ------
    DataError
        When the configuration has another target or task, or names a column that is not there.
    """
    if schema.target != config.target:
        raise DataError(
            f'data.target is "{config.target}", but the schema\'s target is "{schema.target}". '
            "Change one of them."
        )
    if config.task not in ("auto", schema.task):
        raise DataError(
            f'data.task is "{config.task}", but the schema\'s task is "{schema.task}". '
            "Change one of them."
        )
    names = [column.name for column in schema.columns]
    keyed = [("exclude", name) for name in config.exclude]
    keyed += [("time", name) for name in (config.time,) if name]
    keyed += [("group", name) for name in (config.group,) if name]
    for key, name in keyed:
        if name not in names or (key != "exclude" and name not in frame.columns):
            near = nearest(name, names)
            hint = f' Did you mean "{near}"?' if near and near != name else ""
            raise DataError(f'data.{key} "{name}" must be in the table and its schema.{hint}')
        if name == schema.target:
            raise DataError(f'data.{key} must not be the target "{name}". Name another column.')
    columns = tuple(
        dataclasses.replace(column, role="ignored", reason="excluded by data.exclude")
        if column.role == "feature" and column.name in config.exclude
        else column
        for column in schema.columns
    )
    kept = schema.interactions
    if kept is not None:
        names = [column.name for column in columns if column.role == "feature"]
        kept = tuple(one for one in kept if one.first in names and one.second in names)
    return dataclasses.replace(schema, columns=columns, interactions=kept)


def _sorted(rows: npt.NDArray[Any]) -> Indices:
    return np.sort(rows).astype(np.int64)


def _together(
    parts: list[Indices], labels: npt.NDArray[Any] | None, firsts: Indices | None
) -> list[Indices]:
    """Move copies of a row to the part of the first of them; see `split` for when not."""
    if firsts is None:
        return parts
    rows = np.concatenate(parts)
    part = np.repeat(np.arange(len(parts)), [len(one) for one in parts])
    order = np.argsort(rows, kind="stable")
    rows, part = rows[order], part[order]
    _, lead, copy = np.unique(firsts[rows], return_index=True, return_inverse=True)
    moved = [rows[part[lead][copy] == i] for i in range(len(parts))]
    for old, new in zip(parts, moved, strict=True):
        lacks = labels is not None and len(np.setdiff1d(labels[old], labels[new]))
        if lacks or not 0.5 * len(old) <= len(new) <= 1.5 * len(old):
            return parts
    return moved


def _part(
    rows: Indices,
    labels: npt.NDArray[Any] | None,
    firsts: Indices | None,
    share: float,
    seed: int,
) -> tuple[Indices, Indices]:
    """Part rows as scikit-learn does, stratified where the classes' sizes allow it."""
    from sklearn.model_selection import train_test_split

    chosen = None if labels is None else labels[rows]
    try:
        train, rest = train_test_split(rows, test_size=share, random_state=seed, stratify=chosen)
    except ValueError:  # a class of one row, or fewer rows on one side than classes
        train, rest = train_test_split(rows, test_size=share, random_state=seed)
    train, rest = _together([train, rest], labels, firsts)
    whole = _complete(Fold(train=_sorted(train), valid=_sorted(rest)), labels)
    return whole.train, whole.valid


def _folds(
    train: Indices, labels: npt.NDArray[Any] | None, firsts: Indices | None, seed: int
) -> list[Fold]:
    from sklearn.model_selection import KFold, StratifiedKFold

    train = _sorted(train)
    count = _with_both(_fold_count(train, labels), train, labels)
    if count == 1:
        fit, valid = _part(train, labels, firsts, HOLDOUT, seed)
        return [Fold(train=fit, valid=valid)]
    if labels is None or np.bincount(labels[train]).max() < count:
        parts = KFold(count, shuffle=True, random_state=seed).split(train)
    else:
        parts = StratifiedKFold(count, shuffle=True, random_state=seed).split(train, labels[train])
    with warnings.catch_warnings():
        # A class of fewer rows than folds is warned of; `_complete` sees to it.
        warnings.simplefilter("ignore", UserWarning)
        held = _together([train[rows] for _, rows in parts], labels, firsts)
    return [Fold(train=np.setdiff1d(train, rows), valid=rows) for rows in held]


def _fold_count(train: Indices, labels: npt.NDArray[Any] | None) -> int:
    rows = len(train)
    if rows < 2:
        raise DataError(
            f"At least 2 rows must be left for training, but {rows} is. Give more rows, or make "
            "data.test smaller."
        )
    if rows >= 12_000:
        return 3 if rows < MANY and _rare(train, labels) else 1
    return 3 if rows >= 5_000 else min(5, rows)


def _rare(train: Indices, labels: npt.NDArray[Any] | None) -> bool:
    """Say whether a fifth of the rows would hold fewer than `RARE` of the rarer of two classes."""
    if labels is None:
        return False
    have = np.unique(labels[train], return_counts=True)[1]
    return len(have) == 2 and bool(1 < have.min() < RARE / HOLDOUT)


def _with_both(
    count: int,
    train: Indices,
    labels: npt.NDArray[Any] | None,
    units: npt.NDArray[Any] | None = None,
) -> int:
    """Return at most ``count`` folds, so few that each can have both of two classes.

    ``units`` says which rows, of all, stay together. A fold that lacks a class cannot be ranked.
    """
    if labels is None or count == 1:
        return count
    codes = labels[train]
    held = train if units is None else units[train]
    have = [len(np.unique(held[codes == code])) for code in np.unique(codes)]
    return min(count, *have) if len(have) == 2 and min(have) > 1 else count


def _complete(fold: Fold, labels: npt.NDArray[Any] | None) -> Fold:
    """Move one row of each class that only the validation part holds to the training part."""
    if labels is None:
        return fold
    lacking = np.setdiff1d(labels[fold.valid], labels[fold.train])
    moved = [fold.valid[labels[fold.valid] == code][:1] for code in lacking]
    if not moved or len(moved) >= len(fold.valid):
        return fold
    rows = np.concatenate(moved)
    return Fold(
        train=_sorted(np.concatenate([fold.train, rows])),
        valid=_sorted(np.setdiff1d(fold.valid, rows)),
    )


def _by_time(
    frame: pd.DataFrame, schema: Schema, config: DataConfig, labels: npt.NDArray[Any] | None
) -> tuple[Indices, Indices, list[Fold]]:
    """Put the latest rows aside; rows of one time keep their order, undated rows come first."""
    column = schema.column(str(config.time))
    if column.kind not in ("number", "datetime"):
        raise DataError(
            f'data.time, or the role time, "{column.name}" must be of kind number or '
            f"datetime, but is of kind {column.kind}. Name another column, or mend its "
            "kind in the schema."
        )
    # As float64: 20240115 and 20240116 are one number in float32.
    read: Any = numbers if column.kind == "number" else times
    moments = read(frame[column.name], column)
    if column.kind == "number":
        moments = np.nan_to_num(moments, nan=-np.inf)
    order = np.argsort(moments, kind="stable").astype(np.int64)
    cut = len(order) - math.ceil(config.test * len(order))
    train, test = order[:cut], order[cut:]
    return train, test, _windows(train, labels, _fold_count(train, labels))


def _windows(train: Indices, labels: npt.NDArray[Any] | None, count: int) -> list[Fold]:
    """Validate on the latest rows and, where rows are few, on the windows before them too.

    Each window is foretold from all rows before it. The latest comes first; an earlier one is
    left out where it, or what lies before it, lacks a class of the others.
    """
    size = math.ceil(HOLDOUT * len(train))
    folds: list[Fold] = []
    for stop in range(len(train), len(train) - min(count, WINDOWS) * size, -size):
        fit, valid = train[: stop - size], train[stop - size : stop]
        whole = labels is None or all(
            len(np.unique(labels[part])) == len(np.unique(labels[train])) for part in (fit, valid)
        )
        if not folds or (whole and len(fit)):
            folds.append(Fold(train=_sorted(fit), valid=_sorted(valid)))
    return folds


def _by_group(
    frame: pd.DataFrame,
    schema: Schema,
    config: DataConfig,
    labels: npt.NDArray[Any] | None,
    seed: int,
) -> tuple[Indices, Indices, list[Fold]]:
    from sklearn.model_selection import GroupShuffleSplit

    column = schema.column(str(config.group))
    spelled = words(frame[column.name], column)
    groups = pd.factorize(pd.Series(spelled, dtype=object))[0]
    if len(np.unique(groups)) < 3:
        raise DataError(
            f'data.group, or the role group, "{column.name}" must hold at least three '
            f"groups, to train, validate and test on, but holds "
            f"{len(np.unique(groups))}. Name another column, or none."
        )

    def part(rows: Indices, share: float) -> tuple[Indices, Indices]:
        shuffle = GroupShuffleSplit(n_splits=1, test_size=share, random_state=seed)
        first, second = next(shuffle.split(rows, groups=groups[rows]))
        return _sorted(rows[first]), _sorted(rows[second])

    train, test = part(np.arange(len(frame), dtype=np.int64), config.test)
    different = len(np.unique(groups[train]))
    if different < 2:
        raise DataError(
            f'Two groups of "{column.name}" or more must be left for training, but {different} '
            "is. Make data.test smaller."
        )
    count = min(_fold_count(train, labels), different)
    count = _with_both(count, train, labels, groups)
    if count == 1:
        fit, valid = part(train, HOLDOUT)
        return train, test, [Fold(train=fit, valid=valid)]
    return train, test, _group_folds(train, groups, labels, count)


def _group_folds(
    train: Indices, groups: npt.NDArray[Any], labels: npt.NDArray[Any] | None, count: int
) -> list[Fold]:
    """Put whole groups into folds of like sizes and, where they can be had, like classes."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    inner = groups[train]
    parts = list(GroupKFold(count).split(train, groups=inner))
    if labels is not None and np.bincount(labels[train]).max() >= count:
        with warnings.catch_warnings():
            # A class of fewer rows than folds is warned of; it is in as many as it can be.
            warnings.simplefilter("ignore", UserWarning)
            even = list(StratifiedGroupKFold(count).split(train, labels[train], groups=inner))
        parts = even if all(len(fit) and len(valid) for fit, valid in even) else parts
    return [Fold(train=_sorted(train[a]), valid=_sorted(train[b])) for a, b in parts]
