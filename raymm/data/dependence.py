"""Looks for rows that foretell each other: those of one entity, and those near in time."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from raymm.artifacts import Anomaly, Column
from raymm.data.association import Association, explained
from raymm.data.evidence import Evidence, ranks, there
from raymm.data.findings import anomaly
from raymm.data.naming import is_key, parted
from raymm.features.columns import distinct, tensor

AGREEMENT = 0.3
"""What an entity, named like one, must explain of the target; 0.9 where the name does not say."""

TREND = 0.05
"""What ten stretches of time must explain of the target."""

_CHANCE = 1e-6
_ENTITIES = 20
_MOST = 20_000
_BLOCKS = 10
_OFTEN = 50
"""Rows of each on average above which a column is one of entities only where its name says
nothing else: 50 makes of vehicles, or counts of customers, come back in new rows."""
_WHO = (
    "patient|subject|customer|client|user|member|person|student|employee|household|"
    "account|device|machine|vehicle|session|visitor|player|driver|participant"
)
_ENTITY = re.compile(rf"(^|[_\W])({_WHO})s?([_\W]|$)")
_SINGLE = re.compile(rf"(^|[_\W])({_WHO})[_\W]*(id|no|nr|num|number|key|code|uuid|guid)?[_\W]*$")


def dependences(evidence: Evidence) -> Iterator[Anomaly]:
    """Yield a warning for each column of entities, or of time, that a random split cuts through.

    Columns that the schema leaves out count too: a model that does not see whose row it is can
    still know the entity again by its other features. Nothing is said where a column's role
    already parts the rows by time or group.
    """
    if any(column.role in ("time", "group") for column in evidence.schema.columns):
        return
    for column in evidence.schema.columns:
        if column.role == "target" or column.name not in evidence.frame.columns:
            continue
        if column.kind == "datetime":
            yield from _times(evidence, column)
        elif column.kind in ("category", "number"):
            yield from _entities(evidence, column)


def _entities(evidence: Evidence, column: Column) -> Iterator[Anomaly]:
    name = parted(column.name)
    named = is_key(column.name) or _ENTITY.search(name) is not None
    if column.kind == "number" and not named:
        return
    if not named and 0 < len(column.categories) < _ENTITIES:
        return
    codes = distinct(evidence.frame[column.name])[0]
    held = evidence.known & (codes >= 0)
    rows, entities = int(held.sum()), len(np.unique(codes[held]))
    if entities < _ENTITIES or rows < 1.2 * entities:
        return
    if rows > _OFTEN * entities and not _SINGLE.search(name):
        return
    # Whole entities, as a sample of rows would part them.
    held &= codes < _MOST
    truth = evidence.y[held] if evidence.classes else ranks(evidence.y[held])
    found = explained(codes[held], truth, evidence.classes)
    if found.share >= (AGREEMENT if named else 0.9) and found.chance < _CHANCE:
        yield anomaly(
            "suspected group leak",
            column.name,
            f"{entities} entities of {rows / entities:.1f} rows each, whose rows share "
            f"{found.share:.0%} of the target's variation",
            "the rows of one entity on one side of the split",
            "The split does not keep them together: scores may come from entities known again. Set "
            f'data.group to "{column.name}" if new rows will be of new ones.',
        )


def _times(evidence: Evidence, column: Column) -> Iterator[Anomaly]:
    values = tensor(evidence.frame[column.name].iloc[evidence.rows], column)
    known = there(values, column)
    if known.sum() < 50 or known.mean() < 0.5:
        return
    found = _trend(values[known].astype(np.float64), evidence, known)
    if found.share >= TREND and found.chance < _CHANCE:
        yield anomaly(
            "suspected time leak",
            column.name,
            f"{found.share:.0%} of the target's variation told by when a row was written, in "
            f"{_BLOCKS} stretches of time",
            "no row tested on its past and future",
            "A random split tests rows between their neighbours in time, and scores may be too "
            f'good. Set data.time to "{column.name}" to test on the latest rows.',
        )


def _trend(moments: np.ndarray, evidence: Evidence, known: np.ndarray) -> Association:
    edges = np.unique(np.quantile(moments, np.linspace(0, 1, _BLOCKS + 1)[1:-1]))
    blocks = np.searchsorted(edges, moments, side="right").astype(np.int64)
    return explained(blocks, evidence.ranked[known], evidence.classes)
