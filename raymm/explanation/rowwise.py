"""Shapley values of single rows, computed with nothing but the bundle that is served.

Every graph is a black box here, compressed ones too. With few columns all coalitions are run, so
the values are exact for the background; with more, random orders of the columns and their reverses
are walked as in `raymm.explanation.attribution.shapley`. Either way base and contributions add up
to the prediction: the changes along each walk telescope.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Schema, Statistics, Tensors
from raymm.explanation.background import background
from raymm.explanation.explainer import Contributions
from raymm.plugins import explainer

RUNS = 8192
"""Rows that the graph is run on for one that is explained; a walk of a wide table may take more."""
_MOST = 128
"""Background rows; the error falls with their root."""
_CELLS = 1_000_000
"""Rows times columns in one call."""
_EXACT = 8
"""Columns of which all 256 coalitions are run."""

Predict = Callable[[Tensors], npt.NDArray[Any]]


@explainer("shapley")
class Shapley:
    """Interventional Shapley values against a background of independent columns.

    The background and the orders are drawn when it is made, so a row is explained the same way
    whatever stands beside it.

    Raises
    ------
    ValueError
        From `explain`, when a prediction is not finite.
    """

    name: str

    def __init__(
        self, predict: Predict, schema: Schema, statistics: Statistics | None, *, seed: int
    ) -> None:
        generator = np.random.default_rng(seed)
        self._predict = predict
        self._names = tuple(column.name for column in schema.features)
        columns = len(self._names)
        self._exact = columns <= _EXACT
        runs = 2**columns if self._exact else 2 * (columns + 1)
        self._rows = max(1, min(_MOST, RUNS // runs))
        self._background = background(schema, statistics, self._rows, generator=generator)
        self._orders = [generator.permutation(columns) for _ in range(self._rows)]

    def explain(self, tensors: Tensors) -> Contributions:
        """Return the contributions to n rows."""
        count = len(tensors[self._names[0]]) if self._names else 0
        found = [
            (self._coalitions if self._exact else self._walks)(
                {name: tensors[name][row] for name in self._names}
            )
            for row in range(count)
        ]
        values = np.array([one[0].T for one in found])
        outputs = _table(self._predict({name: tensors[name] for name in self._names}))
        made = (found[0][2] + values.sum(axis=2), outputs, values)
        if not all(np.isfinite(one).all() for one in made):
            raise ValueError("the model's prediction is not a finite number")
        how = (
            f"all {2 ** len(self._names)} coalitions of columns"
            if self._exact
            else f"{2 * self._rows} orders of the columns, half of them the others' reverses"
        )
        return Contributions(
            columns=self._names,
            values=values,
            errors=np.array([one[1].T for one in found]),
            base=found[0][2],
            outputs=outputs,
            method=(
                f"Interventional Shapley values over {how}, against {self._rows} background rows "
                "drawn from the training data's statistics column by column."
            ),
        )

    def _coalitions(self, row: dict[str, Any]) -> _Found:
        """Run every set of columns taken from the row, the others from each background row."""
        columns, rows = len(self._names), self._rows
        sets = np.arange(2**columns)
        each = np.repeat(sets, rows)
        worth = self._run(
            row, lambda part, place: (each[part] >> place) & 1 == 1, np.tile(range(rows), len(sets))
        )
        means = worth.reshape(len(sets), rows, -1).mean(axis=1)
        sizes = ((sets[:, None] >> np.arange(columns)) & 1).sum(axis=1)
        weights = np.array(
            [factorial(k) * factorial(columns - k - 1) / factorial(columns) for k in range(columns)]
        )
        values = np.zeros((columns, means.shape[1]))
        for place in range(columns):
            without = sets[(sets >> place) & 1 == 0]
            values[place] = weights[sizes[without]] @ (
                means[without | (1 << place)] - means[without]
            )
        return values, np.zeros_like(values), means[0]

    def _walks(self, row: dict[str, Any]) -> _Found:
        """Walk from each background row to the row, column by column, there and back."""
        columns, rows = len(self._names), self._rows
        walks = np.array([walk for order in self._orders for walk in (order, order[::-1])])
        turns = np.argsort(walks, axis=1)  # the step at which each column is taken from the row
        each, steps = np.divmod(np.arange(len(walks) * (columns + 1)), columns + 1)
        worth = self._run(
            row, lambda part, place: steps[part] > turns[each[part], place], each // 2
        ).reshape(len(walks), columns + 1, -1)
        changes = np.diff(worth, axis=1)
        gained = np.take_along_axis(changes, turns[:, :, None], axis=1)
        pairs = gained.reshape(rows, 2, columns, -1).mean(axis=1)
        spread = pairs.std(axis=0, ddof=1) if rows > 1 else np.zeros(pairs.shape[1:])
        return pairs.mean(axis=0), spread / np.sqrt(rows), worth[:, 0].mean(axis=0)

    def _run(
        self,
        row: dict[str, Any],
        taken: Callable[[slice, int], npt.NDArray[np.bool_]],
        starts: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.float64]:
        """Predict mixed rows; returns shape (m, outputs).

        Parameters
        ----------
        taken : callable
            Of a slice of the m rows and a column's place: where it is the row's own.
        starts : int64, shape (m,)
            The background row that gives the others.
        """
        step = max(1, _CELLS // max(1, len(self._names)))
        found = []
        for start in range(0, len(starts), step):
            part = slice(start, start + step)
            mixed = {
                name: np.where(taken(part, place), row[name], self._background[name][starts[part]])
                for place, name in enumerate(self._names)
            }
            found.append(_table(self._predict(mixed)))
        return np.concatenate(found)


_Found = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Values and their errors, each of shape (columns, outputs), and the base, shape (outputs,)."""


def _table(predictions: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    made = np.asarray(predictions, dtype=np.float64)
    return made.reshape(len(made), -1)
