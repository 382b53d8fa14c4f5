"""Splits of categories into two sets, as columns that a graph looks up.

LightGBM can send any set of a feature's categories left (Fisher 1958, as its documentation says).
An ONNX tree compares numbers with thresholds, so each set becomes a column of its own, above 0
where the row's category is in it. All of a feature's columns are one table that is looked up by
category.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from raymm.onnx_builder import FLOAT, INT64, GraphBuilder

MARK = "raymm.sets/1 "
"""Begins the ``doc_string`` of the Concat that `Sets.to_onnx` adds; the number of features follows.
"""


def appended(x: npt.NDArray[np.float32], places: Sequence[int]) -> npt.NDArray[np.float32]:
    """Return features, shape (n, d), with those at ``places`` once more behind them."""
    return np.concatenate([x, x[:, list(places)]], axis=1) if places else x


def gathered(shares: npt.NDArray[np.float64], places: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return contributions (…, d + k + 1) of appended features as (…, d + 1).

    What the second of a feature's two columns contributes counts for the feature.
    """
    if not places:
        return shares
    width = shares.shape[-1] - 1 - len(places)
    made = np.concatenate([shares[..., :width], shares[..., -1:]], axis=-1)
    for number, place in enumerate(places):
        made[..., place] += shares[..., width + number]
    return made


@dataclass(slots=True)
class Sets:
    """The sets that trees split on, each a column behind those of the features.

    Attributes
    ----------
    width : int
        Features that the graph has.
    places : tuple of int
        Of those, the ones that were `appended` in training.
    """

    width: int
    places: tuple[int, ...]
    _columns: dict[tuple[int, tuple[int, ...]], int] = field(default_factory=dict)

    def column(self, feature: int, words: Sequence[int]) -> int:
        """Return a number for a set's column that serves until all are known; see `placed`.

        Parameters
        ----------
        feature : int
            The column that was split in training, an appended one.
        words : sequence of int
            Bit b of word w says whether category 32 w + b is in the set.
        """
        key = self.places[feature - self.width], tuple(words)
        return self._first + self._columns.setdefault(key, len(self._columns))

    @property
    def _first(self) -> int:
        return self.width + len(self.places)

    def add(self, other: Sets) -> None:
        """Take in the sets of other trees that read the same features."""
        for key in other._columns:
            self._columns.setdefault(key, len(self._columns))

    def holds(self, other: Sets) -> bool:
        """Whether another's sets are all among these."""
        return self._columns.keys() >= other._columns.keys()

    def placed(self, features: npt.NDArray[np.int64], by: Sets) -> npt.NDArray[np.int64]:
        """Return nodes' features with numbers of ``by.column`` replaced by places in `to_onnx`'s.

        ``by`` is this, or another whose sets were taken in.
        """
        order = np.argsort([place for place, _ in self._columns], kind="stable")
        places = np.empty(len(order), np.int64)
        places[order] = self.width + np.arange(len(order))
        known = np.array([places[self._columns[key]] for key in by._columns] + [-1], np.int64)
        sets = features >= by._first
        return np.where(sets, known[np.where(sets, features - by._first, -1)], features)

    def _count(self, place: int) -> int:
        return sum(held == place for held, _ in self._columns)

    def tables(self) -> dict[int, npt.NDArray[np.uint8]]:
        """Return by feature which categories its sets hold, eight sets to a byte.

        Bit b of byte k in the row of a category tells of set 8 k + b. Shape (categories + 1,
        bytes): the last row stands for all other values, which are in none.
        """
        held: dict[int, list[tuple[int, ...]]] = {}
        for place, words in self._columns:
            held.setdefault(place, []).append(words)
        return {place: _table(held[place]) for place in sorted(held)}

    def to_onnx(self, builder: GraphBuilder, features: str) -> str:
        """Add the look-ups to features of shape (n, d); returns them side by side.

        A value counts without its fraction, as LightGBM takes it: from above -1 to 0 it is
        category 0. NaN, and what was never a category, are in no set. Columns hold 0 or a power
        of 2.
        """
        parts = [features]
        for place, table in self.tables().items():
            rest = len(table) - 1
            at = builder.constant([place], np.int64)
            value = builder.node("Gather", [features, at], axis=1)
            above = builder.node("Greater", [value, builder.constant(-1.0)])
            below = builder.node("Less", [value, builder.constant(float(rest))])
            known = builder.node("And", [above, below])
            value = builder.node("Where", [known, value, builder.constant(float(rest))])
            row = builder.node("Cast", [value], to=INT64)
            row = builder.node("Reshape", [row, builder.constant([-1], np.int64)])
            inside = builder.node("Gather", [builder.constant(table, np.uint8), row], axis=0)
            parts.append(_unpacked(builder, inside, self._count(place)))
        if len(parts) == 1:
            return features
        return builder.node("Concat", parts, axis=1, doc_string=f"{MARK}{self.width}")


@dataclass(slots=True)
class _Joint:
    """The sets of all models of a graph that read the same features, and the tensor of both."""

    sets: Sets
    tensor: str = ""


def announce(builder: GraphBuilder, features: str, sets: Sets) -> Sets:
    """Return the sets of a graph whose features, shape (n, d), a model's trees read.

    Those of models announced before any is written are one tensor, so that trees of several
    models read the same. Afterwards none can be added.

    Raises
    ------
    ValueError
        When the tensor is written already and lacks one of the sets.
    """
    joint = builder.shared.setdefault(features, _Joint(Sets(sets.width, ())))
    if joint.tensor and not joint.sets.holds(sets):
        raise ValueError("sets must be announced before any trees are written, but were not")
    joint.sets.add(sets)
    made: Sets = joint.sets
    return made


def wide(builder: GraphBuilder, features: str) -> str:
    """Return the features with the columns of all sets announced; the same where there is none."""
    joint = builder.shared.get(features)
    if joint is None:
        return features
    if not joint.tensor:
        joint.tensor = joint.sets.to_onnx(builder, features)
    return str(joint.tensor)


def _unpacked(builder: GraphBuilder, packed: str, count: int) -> str:
    """Add what takes each of ``count`` bits out of bytes, shape (n, bytes), as a float."""
    places = np.arange(count)
    spread = builder.node("Gather", [packed, builder.constant(places // 8, np.int64)], axis=1)
    mask = builder.constant((1 << places % 8)[None, :], np.uint8)
    return builder.node("Cast", [builder.node("BitwiseAnd", [spread, mask])], to=FLOAT)


def _table(sets: Sequence[tuple[int, ...]]) -> npt.NDArray[np.uint8]:
    longest = max(map(len, sets))
    words = np.zeros((len(sets), longest), dtype="<u4")
    for number, held in enumerate(sets):
        words[number, : len(held)] = held
    bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little").T
    used = np.flatnonzero(bits.any(axis=1))
    size = int(used[-1]) + 1 if len(used) else 1
    return np.packbits(np.pad(bits[:size], ((0, 1), (0, 0))), axis=1, bitorder="little")
