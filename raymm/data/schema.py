"""Decides what each column is and what is predicted, with a reason for each column left out."""

from __future__ import annotations

import dataclasses
import difflib
import heapq
import re
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Column, ColumnStatistics, Kind, Role, Schema, Statistics, Table
from raymm.data.guessed import Guessed
from raymm.data.guesses import Guess
from raymm.data.naming import is_key, is_reference, nameless
from raymm.data.schema_file import read, write
from raymm.data.target import target_of
from raymm.errors import DataError, TargetError
from raymm.sections import DataConfig

__all__ = ["infer", "nearest", "read", "write"]

CATEGORIES = 1000
"""The most categories that a schema lists; the most frequent ones."""

_GAPS = 4
"""How many numbers a numbering of rows may span for each row that is there."""

_EPOCH = re.compile(r"timestamp|epoch|unix_?time|(^|_)ts($|_)")


def infer(
    table: Table, statistics: Statistics, config: DataConfig, guessed: Guessed | None = None
) -> Schema:
    """Return the schema of a table.

    Parameters
    ----------
    table : Table
        As `raymm.data.ingest.read` gives it.
    statistics : Statistics
        As `raymm.data.statistics.describe` gives them for this table.
    config : DataConfig
        Names the target and, where wanted, the task, positive class, time and group columns and
        those to exclude.
    guessed : Guessed, optional
        Of this table, with what has been looked at already.

    Raises
    ------
    DataError
        When a column that the configuration names is not there, or nothing can be learnt of the
        target.
    """
    names = [str(name) for name in table.frame.columns]
    named = {"target": config.target, "time": config.time, "group": config.group}
    for key, name in named.items():
        if name is not None and name not in names:
            raise DataError(_absent(key, name, names))
    for name in config.exclude:
        if name not in names:
            raise DataError(_absent("exclude", name, names))
    roles = {str(name): key for key, name in named.items() if name is not None}
    if len(roles) < sum(name is not None for name in named.values()):
        raise DataError(
            "data.target, data.time and data.group must be different columns, but are "
            f"{config.target!r}, {config.time!r} and {config.group!r}."
        )
    if config.target in config.exclude:
        raise DataError(f'data.exclude must not hold the target "{config.target}".')
    guessed = guessed or Guessed(table)
    try:
        target, task, classes = target_of(guessed.target(config.target), config, statistics.rows)
    except TargetError:
        raise
    except DataError as error:  # which may be for what was left out
        ragged = [one.observed for one in table.anomalies if one.rule == "ragged rows"]
        raise DataError(
            " ".join([str(error), *(f"Of the table, {one}." for one in ragged)])
        ) from None
    counts = {column.name: column for column in statistics.columns}
    unnamed = nameless(names)
    columns = []
    for name in names:
        if name == config.target:
            columns.append(target)
            continue
        bare = name in unnamed
        given = roles.get(name)
        columns.append(_column(name, guessed[name], counts[name], given, config, unnamed=bare))
    if not any(column.role == "feature" for column in columns):
        columns = _spared(columns)
    return Schema(columns=tuple(columns), target=config.target, task=task, classes=classes)


def nearest(name: str, names: Collection[str]) -> str:
    """Return the name nearest to one that is not there, capitals not counting, or ""."""
    folded = {known.strip().casefold(): known for known in names}
    near = difflib.get_close_matches(name.strip().casefold(), folded, n=1, cutoff=0.5)
    return folded[near[0]] if near else ""


def _absent(key: str, name: str, names: list[str]) -> str:
    near = nearest(name, names)
    hint = f'Did you mean "{near}"?' if near else ""
    shown = ", ".join(names[:30]) + (", …" if len(names) > 30 else "")
    return f'data.{key} "{name}" is not a column of the table. {hint} Its columns are: {shown}.'


def _column(
    name: str,
    found: Guess,
    counts: ColumnStatistics,
    given: str | None,
    config: DataConfig,
    *,
    unnamed: bool,
) -> Column:
    kind: Kind = found.kind
    style = found.format
    role: Role = "feature"
    reason = ""
    epoch = _epoch(name, found) if found.numeric else ""
    if epoch:
        kind, style = "datetime", epoch
    if given == "time":
        role, reason = "time", "orders the rows (data.time)"
        if kind not in ("number", "datetime"):
            raise DataError(
                f'data.time "{name}" must hold dates or numbers, but holds {kind} such as '
                f"{found.word!r}. Name another column, or mend its dates."
            )
    elif given == "group":
        role, reason = "group", "rows of one group stay together (data.group)"
    elif name in config.exclude:
        role, reason = "ignored", "excluded by data.exclude"
    else:
        reason = _useless(name, found, counts, unnamed=unnamed)
        role = "ignored" if reason else "feature"
    bounds = found.bounds
    if bounds and epoch == "epoch ms":
        bounds = bounds[0] // 1000, bounds[1] // 1000
    return Column(
        name=name,
        kind=kind,
        role=role,
        missing=found.missing,
        minimum=bounds[0] if bounds else None,
        maximum=bounds[1] if bounds else None,
        categories=_categories(found) if kind == "category" else found.pair,
        format=style,
        reason=reason,
        example=_example(found, kind),
    )


def _categories(found: Guess) -> tuple[str, ...]:
    words, rows = found.words, found.rows
    order = heapq.nsmallest(CATEGORIES, range(len(words)), key=lambda i: (-int(rows[i]), words[i]))
    return tuple(words[i] for i in order)


def _example(found: Guess, kind: Kind) -> str | float | bool | None:
    if not found.known:
        return None
    if kind == "number" and found.numeric:
        first = found.first
        return int(first) if first.is_integer() and abs(first) < 2**53 else first
    if kind == "boolean":
        return found.word.casefold() == found.pair[1].casefold()
    return found.word[:200]


def _epoch(name: str, found: Guess) -> str:
    """Return the format of a column that counts seconds or milliseconds since 1970, else ""."""
    if not (_EPOCH.search(name.casefold()) and found.whole and found.known):
        return ""
    low, high = found.bounds or (0.0, 0.0)
    if low > 3e8 and high < 4.2e9:  # 1979 to 2103
        return "epoch"
    return "epoch ms" if low > 3e11 and high < 4.2e12 else ""


def _useless(name: str, found: Guess, counts: ColumnStatistics, *, unnamed: bool) -> str:
    """Return why a column can teach nothing, or an empty string."""
    rows, known, distinct = found.length, found.known, found.distinct
    if known == 0:
        return "empty: every value is missing"
    if distinct == 1 and counts.missing == 0:
        return f"constant: every value is {found.word[:50]!r}"
    if rows >= 100 and known < 0.005 * rows:
        return f"nearly empty: {known} of {rows} rows have a value"
    if found.kind == "category" and known >= 10:
        least = 0.5 if is_key(name) else 0.95
        if distinct >= least * known and distinct >= 10:
            return f"id: {distinct} different values in {known} rows"
    if found.whole and known >= 10 and distinct == known == rows:
        values = found.cells
        if is_key(name) or (is_reference(name) and _filed(values)):
            return "id: whole numbers without repetition, named like a key"
        if unnamed:
            return "id: whole numbers without repetition in a column without a name"
        if values[0] in (0.0, 1.0) and np.all(np.diff(values) == 1.0):
            return f"id: numbers the rows from {values[0]:.0f} to {values[-1]:.0f}"
    return ""


def _filed(values: npt.NDArray[np.float64]) -> bool:
    """Return whether different whole numbers look given out, not measured: at least 20 of them.

    They are in order, or leave few gaps, or are all of one length of five digits or more.
    """
    if len(values) < 20:
        return False
    low, high = values.min(), values.max()
    steps = np.diff(values)
    if np.all(steps > 0) or np.all(steps < 0) or high - low < _GAPS * len(values):
        return True
    return bool(low >= 1e4 and np.floor(np.log10(low)) == np.floor(np.log10(high)))


def _spared(columns: list[Column]) -> list[Column]:
    """Take columns as features after all where there is no other.

    Words of which each row has its own, such as links, domains or formulas, are read as text,
    unless they are named like a key; where there are none, a running number is taken.
    """
    left = [one for one in columns if one.reason.startswith("id:")]
    texts = [one.name for one in left if one.kind == "category" and not is_key(one.name)]
    chosen = texts or [one.name for one in left if "numbers the rows" in one.reason]
    read: dict[str, Any] = {"kind": "text", "categories": ()} if texts else {}
    return [
        dataclasses.replace(one, role="feature", reason="", **read) if one.name in chosen else one
        for one in columns
    ]
