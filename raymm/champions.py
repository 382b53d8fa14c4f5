"""The reigning champion as an opponent: its predictions, on rows that it was not trained on.

A champion that is judged on rows it has learned by heart looks better than it is, and no
challenger could take its place. Every version therefore keeps a hash of each row it was trained
on, and is compared on the others alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import Dataset, Indices, Schema, Version
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.errors import NotFound
from raymm.features.columns import encode
from raymm.registry.versions import Registry

TRAIN_ROWS = "train-rows.bin"
"""The part of a version that holds the sorted hashes of its training rows."""

PROVEN, PROVEN_ROWS = "proven.raymm", "proven-rows.bin"
"""Parts of a version that was trained on all rows once it was proven: the bundle that was proven,
and the sorted hashes of that one's training rows."""

LEAST_ROWS = 30
"""Fewer rows say nothing of two models."""

_KEY = "raymm-row-hash-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """A champion to be compared with.

    Attributes
    ----------
    name : str
        ``NAME@NUMBER``.
    predictions : array, shape (n, classes) or (n,)
        On all n test rows; empty where it cannot make any.
    unseen : bool, shape (n,)
        The test rows it was not trained on, or the challenger was too.
    reason : str
        Why it cannot be compared, with the remedy; empty where it can.
    decision : tuple of float
        How it weighs the classes, see `raymm.artifacts.Schema`.
    """

    name: str
    predictions: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    unseen: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))
    reason: str = ""
    decision: tuple[float, ...] = ()


def fingerprints(frame: pd.DataFrame, schema: Schema) -> npt.NDArray[np.uint64]:
    """Return a hash of each row's features and target as they were read, shape (n,)."""
    names = sorted({*(column.name for column in schema.features), schema.target})
    cells = frame[names].astype(str)
    hashes = pd.util.hash_pandas_object(cells, index=False, hash_key=_KEY)
    return np.asarray(hashes, dtype=np.uint64)


def every_row(dataset: Dataset) -> Indices:
    """Return the numbers of the training and the test rows together, sorted."""
    return np.sort(np.concatenate([dataset.train, dataset.test]))


def train_rows(dataset: Dataset, rows: Indices) -> bytes:
    """Return the sorted hashes of these rows, eight bytes a row, little-endian."""
    hashes = fingerprints(dataset.frame.iloc[rows], dataset.schema)
    return np.sort(hashes).astype("<u8").tobytes()


def proven_of(version: Version) -> str:
    """Return the SHA-256 of the bundle that a version's scores are of."""
    return str(version.summary.get("proven_bundle") or version.bundle)


def rival(registry: Registry, champion: Version, dataset: Dataset) -> Rival:
    """Let a champion predict the test rows of a dataset.

    Of one that was trained on all rows once it was proven, the bundle that was proven predicts
    them, where it leaves at least twice as many rows that were not trained on; its name says so.

    Raises
    ------
    RegistryError
        When its bundle is damaged.
    """
    name = f"{champion.name}@{champion.number}"
    bundle = Bundle.from_bytes(registry.bundle(champion), sha256=champion.bundle)
    reason = _differs(bundle.schema, dataset)
    if reason:
        return Rival(name=name, reason=f"The champion {name} cannot be compared: {reason}. {_HAND}")
    frame = dataset.frame.iloc[dataset.test]
    unseen = _unseen(registry, champion, TRAIN_ROWS, dataset, bundle.schema)
    if PROVEN in champion.parts:
        before = _unseen(registry, champion, PROVEN_ROWS, dataset, bundle.schema)
        if 2 * unseen.sum() <= before.sum():
            content, seen = registry.part(champion, PROVEN), len(unseen) - unseen.sum()
            bundle = Bundle.from_bytes(content, sha256=champion.parts[PROVEN])
            name += f" (as it was proven: what serves has since seen {seen:,} of the test rows)"
            unseen = before
    if unseen.sum() < min(LEAST_ROWS, len(unseen)):
        told = f"it was trained on all but {unseen.sum()} of the {len(unseen)} test rows"
        return Rival(
            name=name,
            reason=f"The champion {name} cannot be compared: {told}. Add newer rows. {_HAND}",
        )
    predictions = Runner(bundle).predict(encode(frame, bundle.schema))
    decision = bundle.schema.decision
    return Rival(name=name, predictions=predictions, unseen=unseen, decision=decision)


_HAND = "Or look at both and decide: raymm promote NAME VERSION --force --reason WHY."


def _differs(theirs: Schema, dataset: Dataset) -> str:
    ours = dataset.schema
    if ours.task != theirs.task:
        return f"its task is {theirs.task}, not {ours.task}"
    if ours.classes != theirs.classes:
        return f"it tells {len(theirs.classes)} other classes apart"
    missing = [one.name for one in theirs.features if one.name not in dataset.frame.columns]
    return f'the table lacks its column "{missing[0]}"' if missing else ""


def _unseen(
    registry: Registry, champion: Version, part: str, dataset: Dataset, schema: Schema
) -> npt.NDArray[np.bool_]:
    frame = dataset.frame.iloc[dataset.test]
    try:
        known = np.frombuffer(registry.part(champion, part), "<u8")
    except NotFound:  # a version of another origin; nothing is known of its rows
        return np.ones(len(frame), np.bool_)
    if schema.target not in frame.columns:
        return np.ones(len(frame), np.bool_)
    hashes = fingerprints(frame, schema)
    # A row that both were trained on (a copy of it, that is) favours neither.
    ours = fingerprints(dataset.frame.iloc[dataset.train], schema)
    return ~np.isin(hashes, known) | np.isin(hashes, ours)
