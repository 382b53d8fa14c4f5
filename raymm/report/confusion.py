"""What a classifier takes for what, counted over test rows."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.report.figures import Bar, bars, cut, shown, svg

CLASSES = 10
"""Classes of a matrix; with more, the commonest mistakes are listed instead."""
MISTAKES = 15
_LEFT, _TOP, _CELL, _WIDTH = 130, 58, 34, 480


def counts(
    truth: npt.NDArray[Any], predictions: npt.NDArray[Any], classes: int
) -> npt.NDArray[np.int64]:
    """Return how many rows of each class (down) were taken for each (across).

    ``truth`` holds class codes, shape (n,); ``predictions`` probabilities, (n, classes), of which
    the greatest is taken, the first of equals.
    """
    found = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(found, (truth.astype(np.int64), predictions.argmax(axis=1)), 1)
    return found


def confusion(matrix: npt.NDArray[np.int64], names: Sequence[str]) -> str:
    """Draw the matrix, each row shaded by its share; of many classes the commonest mistakes."""
    if len(names) > CLASSES:
        return _mistakes(matrix, names)
    side = len(names)
    width = max(_CELL, min(90, (_WIDTH - _LEFT - 10) // side))
    told = []
    parts = [
        f'<text x="{_LEFT + side * width / 2}" y="16" text-anchor="middle">predicted</text>',
    ]
    for row, name in enumerate(names):
        y = _TOP + row * _CELL
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 22}" text-anchor="end">{escape(cut(name, 14))}</text>'
            f'<text x="{_LEFT + (row + 0.5) * width:.1f}" y="{_TOP - 10}" text-anchor="middle">'
            f"{escape(cut(name, max(3, width // 8)))}</text>"
        )
        whole = max(1, int(matrix[row].sum()))
        for column, count in enumerate(matrix[row].tolist()):
            parts.append(_cell(_LEFT + column * width, y, width, count, count / whole))
            if row != column and count:
                told.append((count, f"{count} of {name} as {names[column]}"))
    worst = ", ".join(text for _, text in sorted(told, reverse=True)[:3])
    right = int(np.trace(matrix))
    description = f"{right} of {int(matrix.sum())} rows are right; {worst or 'none is mistaken'}."
    return svg("Confusion matrix", description, parts, (_WIDTH, _TOP + side * _CELL + 8))


def _cell(x: float, y: float, width: float, count: int, share: float) -> str:
    return (
        f'<rect class="cell" x="{x + 1}" y="{y + 1}" width="{width - 2}" height="{_CELL - 2}" '
        f'fill-opacity="{0.04 + 0.66 * share:.2f}"/>'
        f'<text class="strong" x="{x + width / 2}" y="{y + 22}" text-anchor="middle">'
        f"{shown(float(count))}</text>"
    )


def _mistakes(matrix: npt.NDArray[np.int64], names: Sequence[str]) -> str:
    off = matrix.copy()
    np.fill_diagonal(off, 0)
    order = np.argsort(-off, axis=None, kind="stable")[:MISTAKES]
    rows, columns = np.unravel_index(order, off.shape)
    found = [
        Bar(label=f"{cut(names[r], 9)} as {cut(names[c], 9)}", value=float(off[r, c]))
        for r, c in zip(rows.tolist(), columns.tolist(), strict=True)
        if off[r, c]
    ]
    return bars(found, title="Commonest mistakes", unit="test rows")
