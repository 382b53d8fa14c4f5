"""Finds rows that are copies of each other, and copies that contradict each other's target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import Anomaly, Indices, Schema, Tensors
from raymm.data.evidence import Evidence
from raymm.data.findings import anomaly

_ROWS = 5_000
_CONTRADICTING = 0.005
_NEARLY = 0.995
"""Share of a target's variance from which on equal rows that differ in it bound no model."""
_TOGETHER = 0.01
_ODD = 0x9E3779B97F4A7C15

Keys = npt.NDArray[np.uint64]


def keys(columns: Iterable[Any]) -> Keys:
    """Return a hash of each row, uint64, shape (n,), of the columns' values in their order.

    Rows of equal hashes are taken to be equal: among ten million different rows, two share one
    with a probability of three in a million.
    """
    result: Keys | None = None
    for values in columns:
        part = _hashes(values)
        result = part if result is None else _mixed(result * np.uint64(_ODD) + part)
    return np.zeros(0, dtype=np.uint64) if result is None else result


def _hashes(values: Any) -> Keys:
    """Return a hash of each cell; NaN equals NaN, and 0 equals -0."""
    if isinstance(values, pd.Series) and isinstance(values.dtype, np.dtype):
        values = values.to_numpy()
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        # Adding 0 turns -0 into 0; every NaN has the same bits after it is set anew.
        cells = values.astype(np.float64) + 0.0
        cells[np.isnan(cells)] = np.nan
        return _mixed(cells.view(np.uint64))
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        return _mixed(values.astype(np.int64).view(np.uint64))
    codes, found = pd.factorize(values)
    text = np.array([str(word) for word in found], dtype=object)
    hashed = pd.util.hash_array(text, categorize=False) if len(text) else np.zeros(0, np.uint64)
    return np.append(hashed, np.uint64(0))[codes]


def _mixed(cells: Keys) -> Keys:
    """Return the finaliser of SplitMix64 (Steele, Lea & Flood 2014), which spreads every bit."""
    cells = (cells ^ (cells >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    cells = (cells ^ (cells >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return cells ^ (cells >> np.uint64(31))


def firsts(tensors: Tensors) -> Indices | None:
    """Return for each row the first one of the same features, or None where none need stay close.

    Rows that are alike by chance (see `by_chance`) are not copies. Neither are rows of which there
    are more than ten and more than one in a hundred: they cannot all be on one side of a split
    without making that side odd.
    """
    made = keys(tensors.values())
    if not len(made):
        return None
    codes, found = pd.factorize(made)
    if len(found) == len(made) or by_chance(tensors, made):
        return None
    counts = np.bincount(codes)
    first = np.full(len(found), len(made), dtype=np.int64)
    rows = np.arange(len(made), dtype=np.int64)
    np.minimum.at(first, codes, rows)
    few = counts <= max(10, int(_TOGETHER * len(made)))
    return np.where(few[codes], first[codes], rows)


def by_chance(tensors: Tensors, made: Keys) -> bool:
    """Whether rows are alike because the columns have few values.

    That is where independent columns of the same frequencies would make a tenth of the pairs of
    equal rows, or more. A column of more values than a quarter of the rows, as texts have, does
    not repeat by chance. Frequencies are taken from at most 5,000 rows.
    """
    rows = len(made)
    counts = np.unique(made, return_counts=True)[1].astype(np.float64)
    pairs = float(np.sum(counts * (counts - 1)))
    chosen = np.arange(rows)
    if rows > _ROWS:
        chosen = np.random.default_rng(2).choice(rows, _ROWS, replace=False)
    chance = 1.0
    for values in tensors.values():
        codes, found = pd.factorize(values[chosen], use_na_sentinel=False)
        if 4 * len(found) > len(chosen):
            return False
        each = np.bincount(codes).astype(np.float64)
        chance *= float(np.sum(each * (each - 1))) / (len(chosen) * max(1, len(chosen) - 1))
    return chance * rows * (rows - 1) >= 0.1 * pairs


def duplicates(
    frame: pd.DataFrame, schema: Schema, tensors: Tensors, *, parted: bool = False
) -> Iterator[Anomaly]:
    """Yield a warning where rows repeat another in features, target, time and group.

    ``parted`` says that rows are split by time or group though no column has that role.
    """
    if not tensors:
        return
    others = [c for c in schema.columns if c.role in ("target", "time", "group")]
    rest = [frame[column.name] for column in others if column.name in frame.columns]
    made = keys(tensors.values())
    whole = keys([made, *(_plain(values) for values in rest)])
    twice = int(pd.Series(whole).duplicated().sum())
    if not twice:
        return
    if parted or any(column.role in ("time", "group") for column in others):
        remedy = (
            "They are split by data.time, data.group or the schema's roles as they are. If they "
            "are one observation written twice, drop them: a copy among the test rows makes scores "
            "too good."
        )
    elif by_chance(tensors, made):
        remedy = (
            "They are left as they are: with so few different values, rows are alike by chance. "
            "If they are one observation written twice, drop them."
        )
    else:
        remedy = (
            "Copies are kept on one side of the split, where each is of one row in a hundred at "
            "most. If they are one observation written twice, drop them."
        )
    told = "1 row that repeats" if twice == 1 else f"{twice:,} rows that repeat"
    yield anomaly(
        "duplicate rows",
        "",
        f"{told} another ({twice / len(frame):.1%})",
        "each row once",
        remedy,
    )


def _plain(values: pd.Series[Any]) -> Any:
    try:
        pd.factorize(values.iloc[:100])
    except TypeError:  # lists or dictionaries in a cell
        return values.map(str)
    return values


def contradictions(evidence: Evidence) -> Iterator[Anomaly]:
    """Yield a warning where rows of the same features have different targets.

    No model can be right in all of them: the majority of each set of equal rows bounds accuracy,
    their spread bounds R squared.
    """
    if not evidence.tensors or not evidence.known.any():
        return
    made = keys(evidence.tensors.values())[evidence.known]
    y = evidence.y[evidence.known]
    codes, found = pd.factorize(made)
    if len(found) == len(made):
        return
    values, targets = pd.factorize(y)
    pairs, rows = np.unique(codes * len(targets) + values, return_counts=True)
    owner = pairs // len(targets)
    kinds = np.bincount(owner, minlength=len(found))
    torn = (kinds > 1)[codes]
    share = float(torn.mean())
    if share < _CONTRADICTING:
        return
    if evidence.classes:
        most = np.zeros(len(found))
        np.maximum.at(most, owner, rows)
        bound = f"no model is right in more than {most.sum() / len(y):.1%} of the rows"
    else:
        means = np.bincount(codes, y) / np.bincount(codes)
        total = float(np.sum((y - y.mean()) ** 2)) or 1.0
        best = 1.0 - float(np.sum((y - means[codes]) ** 2)) / total
        if best > _NEARLY:
            return
        bound = f"no model explains more than {best:.1%} of its variance (R²)"
    yield anomaly(
        "contradicting rows",
        evidence.schema.target,
        f"{int(torn.sum())} rows ({share:.1%}) whose features equal those of a row with another "
        f"target: {bound}",
        "one target for rows of the same features",
        "They are kept. Look for wrong labels among them, or add the column that tells them apart.",
    )
