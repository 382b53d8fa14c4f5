"""Rows whose label is doubtful, as they are told to a person."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A row whose own label, or value, is implausible.

    Attributes
    ----------
    row : int
        Its number in the table as it was read, the first row is 1.
    given, likelier : str
        The label it has, and the one that models without it say; the values in regression.
    measure : float
        The probability of the label it has; in regression how many times farther it is from the
        predicted value than rows usually are.
    """

    row: int
    given: str
    likelier: str
    measure: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """The doubtful labels of a table.

    Attributes
    ----------
    looked : int
        Rows that were predicted by models that had not seen them.
    found : int
        Rows among them whose label is doubtful.
    worst : tuple of Doubt
        The doubtful rows, the most doubtful first; not all where there are very many.
    """

    looked: int
    found: int
    worst: tuple[Doubt, ...] = ()
