"""Puts rows of another length than the header's back in their places while a file streams by.

pyarrow's reader passes over such rows, and tells their text and number; here they are cut into
cells, padded with empty ones, and set between the rows that they stood between.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from raymm.data.dialect import Layout

if TYPE_CHECKING:
    import pyarrow as pa

_TOLD = 11
_WAITING = 100_000
"""Rows that wait for the next whole row at most, where a file has hardly any."""


@dataclass(slots=True)
class Told:
    """Rows to tell of: how many, and the numbers of the first."""

    count: int = 0
    rows: list[int] = field(default_factory=list)

    def add(self, number: int | None) -> None:
        """Count a row of that number in the file, the first line's being 1."""
        self.count += 1
        if number is not None and len(self.rows) < _TOLD:
            self.rows.append(number)


class Ragged:
    """Takes what pyarrow passes over, as its handler of invalid rows.

    Parameters
    ----------
    how : Layout
        Of the file.
    quote : str
        Empty where quotes count as plain characters.

    Attributes
    ----------
    short, left : Told
        Rows that were padded, and rows left out: of more cells than the header, or of a quote that
        is never closed. Comments are in neither.
    lines : int
        The lines that these rows span; many where a lone quote swallows what follows it.
    whole : int
        Rows as long as the header.
    """

    def __init__(self, how: Layout, quote: str) -> None:
        self._dialect = replace(how.dialect, quote=quote)
        self._width = len(how.names)
        self._next = how.above + (1 if how.headless else 2)
        self._waiting: list[tuple[int, list[str] | None]] = []
        self.short, self.left = Told(), Told()
        self.lines = self.whole = 0

    @property
    def count(self) -> int:
        """Rows of another length, without comments."""
        return self.short.count + self.left.count

    def __call__(self, row: Any) -> str:
        """Keep a row, a `pyarrow.csv.InvalidRow`, for `merged`."""
        cells = None
        if not row.text.strip().startswith("#"):
            self.lines += 1 + row.text.count("\n")
            cells = None if row.number is None else self._cells(row.text)
            if cells is None:
                self.left.add(row.number)
            elif row.actual_columns < self._width:
                self.short.add(row.number)
        if row.number is not None:
            self._waiting.append((int(row.number), cells))
        return "skip"

    def _cells(self, text: str) -> list[str] | None:
        """Return a row's cells, as many as the header's; None where it has more or is torn."""
        quote = self._dialect.quote
        if quote and not self._dialect.escape and text.count(quote) % 2:
            return None
        try:
            rows = [row for row in self._dialect.reader(text) if row]
        except csv.Error:
            return None
        if len(rows) != 1 or any(cell.strip() for cell in rows[0][self._width :]):
            return None
        return rows[0][: self._width] + [""] * (self._width - len(rows[0]))

    def merged(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the next whole rows, text, with the padded ones among them.

        The columns are named by their places in the file.
        """
        count, taken = len(batch), 0
        self.whole += count
        late = len(self._waiting) > _WAITING
        for number, _ in self._waiting:
            if number - self._next - taken >= count + late:
                break
            taken += 1
        return self._put(batch, taken)

    @property
    def waits(self) -> bool:
        """Whether rows wait behind the last whole one."""
        return bool(self._waiting)

    def rest(self, names: Sequence[str]) -> pa.RecordBatch:
        """Return the padded rows behind the last whole one."""
        import pyarrow as pa

        none = [pa.array([], pa.string()) for _ in names]
        return self._put(pa.RecordBatch.from_arrays(none, names=list(names)), len(self._waiting))

    def _put(self, batch: pa.RecordBatch, taken: int) -> pa.RecordBatch:
        import pyarrow as pa

        passed, self._waiting[:taken] = self._waiting[:taken], []
        # Numbers count every row, so what lies between two of these are whole rows.
        places = [number - self._next - i for i, (number, _) in enumerate(passed)]
        self._next += len(batch) + taken
        kept = [(place, cells) for place, (_, cells) in zip(places, passed, strict=True) if cells]
        if not kept:
            return batch
        order = np.arange(len(batch), dtype=np.int64)
        added = np.arange(len(kept), dtype=np.int64) + len(batch)
        order = np.insert(order, np.minimum([place for place, _ in kept], len(batch)), added)
        rows = [cells for _, cells in kept]
        names = list(batch.schema.names)
        columns = []
        for name, column in zip(names, batch.columns, strict=True):
            cells = pa.array([row[int(name)] for row in rows], pa.string())
            columns.append(pa.concat_arrays([column, cells]).take(pa.array(order)))
        return pa.RecordBatch.from_arrays(columns, names=names)
