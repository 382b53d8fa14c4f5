"""What the columns of one table seem to hold, each looked at once for all who ask."""

from __future__ import annotations

from functools import cached_property

from raymm.artifacts import Table
from raymm.data.guesses import Guess
from raymm.data.kinds import decimal_commas, guess

BYTES = 200_000_000
"""What is remembered at most; of a larger table the other columns are looked at again."""


class Guessed:
    """Guesses the kinds of a table's columns.

    Parameters
    ----------
    table : Table
        Not to be changed while this is in use.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._known: dict[str, Guess] = {}
        self._left = BYTES

    def __getitem__(self, name: str) -> Guess:
        """Return the guess of a column; see `raymm.data.kinds.guess`."""
        if name in self._known:
            return self._known[name]
        found = self._guess(name)
        size = 8 * len(self._table.frame)
        if size <= self._left:
            self._left -= size
            self._known[name] = found
        return found

    def target(self, name: str) -> Guess:
        """Return the guess of a column to predict, in which ``None`` may be a class."""
        return self._guess(name, keep_none=True)

    def _guess(self, name: str, *, keep_none: bool = False) -> Guess:
        return guess(
            self._table.frame[name],
            keep_none=keep_none,
            decimal_comma=self._decimal_comma,
            written=self._table.written.get(name),
        )

    @cached_property
    def _decimal_comma(self) -> bool:
        return decimal_commas(self._table.frame)
