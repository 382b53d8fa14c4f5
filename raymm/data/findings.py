"""Keeps what was found out and mended while a table was read, to be told to a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from raymm.artifacts import Anomaly

_SHOWN = 10


def anomaly(
    rule: str,
    column: str,
    observed: str,
    allowed: str,
    remedy: str,
    severity: Literal["error", "warning"] = "warning",
) -> Anomaly:
    """Return an anomaly; ``observed`` and ``allowed`` are phrases, ``remedy`` is a sentence.

    >>> anomaly("few rows", "", "7 rows", "100 rows", "Give more rows.").severity
    'warning'
    """
    return Anomaly(
        rule=rule,
        column=column,
        observed=observed,
        allowed=allowed,
        remedy=remedy,
        severity=severity,
    )


class Findings:
    """Notes and repairs of a table, in the order in which they were made.

    Attributes
    ----------
    notes : list of str
        Everything that was found out, repairs among it.
    anomalies : list of Anomaly
        The repairs: cells, rows or names that are no longer as they were written.
    name : str
        The file that is being read; put before each note once there are several.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.anomalies: list[Anomaly] = []
        self.name = ""

    def note(self, text: str) -> None:
        """Keep something that was found out."""
        told = f"{self.name}: {text}" if self.name else text
        if told not in self.notes:
            self.notes.append(told)

    def repair(self, rule: str, observed: str, remedy: str, *, column: str = "") -> None:
        """Keep a repair; ``observed`` is a clause that says what there was and what was done."""
        self.note(observed)
        self.anomalies.append(
            Anomaly(
                rule=rule,
                column=column,
                observed=f"{self.name}: {observed}" if self.name else observed,
                allowed=_ALLOWED.get(rule, "a table as it stands"),
                remedy=remedy,
                severity="warning",
            )
        )


_ALLOWED = {
    "ragged rows": "as many cells in each row as in the header",
    "column names": "names that are not empty and not twice there",
    "encoding": "text that is whole in one encoding",
    "NUL characters": "text",
    "quotes": "quotes in pairs",
    "columns left out": "numbers, words, dates and truth values",
    "columns of files": "the same columns in every file",
    "sample": "a table that fits the memory",
}


def shown(lines: Sequence[int]) -> str:
    """Return at most ten line numbers as text.

    >>> shown([3, 5])
    '3, 5'
    """
    return ", ".join(map(str, lines[:_SHOWN])) + (", …" if len(lines) > _SHOWN else "")
