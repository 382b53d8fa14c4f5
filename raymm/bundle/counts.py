"""What a coder saw of symbols so far, and how machine code is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
FEW = 4
"""Counts at most that machine code goes by; see `raymm.bundle.entropy_kernels`."""


@dataclass(slots=True)
class Counts:
    """How often each symbol was seen in each context; what is expected grows out of it.

    Parameters
    ----------
    contexts, symbols : int
    weight : int
        What one sight adds to a symbol's weight.
    spread : int
        What it adds to the weights of the two symbols beside it, which are alike where symbols
        are quantities.
    """

    contexts: int
    symbols: int
    weight: int = 1
    spread: int = 0
    table: Ints = field(init=False)

    def __post_init__(self) -> None:
        self.table = np.zeros((self.contexts, self.symbols), np.int64)

    def see(self, contexts: Ints, symbols: Ints) -> None:
        """Count the symbols of a step."""
        np.add.at(self.table, (contexts, symbols), self.weight)
        if self.spread:
            left, right = symbols > 0, symbols < self.symbols - 1
            np.add.at(self.table, (contexts[left], symbols[left] - 1), self.spread)
            np.add.at(self.table, (contexts[right], symbols[right] + 1), self.spread)


class Steps(NamedTuple):
    """What `raymm.bundle.entropy_kernels` is told of symbols, of shape (n,); see its `code`."""

    first: Ints
    second: Ints
    third: Ints
    fourth: Ints
    contexts: Ints
    weight: Ints
    spread: Ints
    base: int
    low: Ints
    high: Ints

    @classmethod
    def of(
        cls, seen: Sequence[tuple[Counts, Any]], base: int, within: tuple[Ints, Ints] | None
    ) -> Steps:
        """Lay out what `adaptive` is given; at most `FEW` counts.

        Raises
        ------
        IndexError
            When a context is none of its counts', or counts or bounds do not fit each other.
        """
        length, symbols = len(seen[0][1]), seen[0][0].symbols
        contexts = np.zeros((FEW, length), np.int64)
        for row, (counts, given) in zip(contexts, seen, strict=False):
            row[:] = given
            row[row < 0] += counts.contexts
            if length and not (row.min() >= 0 and row.max() < counts.contexts):
                raise IndexError(f"a context must be below {counts.contexts}")
        none = np.zeros((1, symbols), np.int64)
        tables = [counts.table for counts, _ in seen] + [none] * (FEW - len(seen))
        first, second, third, fourth = tables
        added = np.zeros((2, FEW), np.int64)
        added[:, : len(seen)] = np.array([(one.weight, one.spread) for one, _ in seen]).T
        if {counts.symbols for counts, _ in seen} != {symbols}:
            raise IndexError("all counts must be of as many symbols")
        low, high = within or (np.zeros(length, np.int64), np.full(length, symbols))
        low, high = (np.ascontiguousarray(one, np.int64) for one in (low, high))
        if not len(low) == len(high) == length:
            raise IndexError("bounds must be of as many symbols as there are")
        return cls(first, second, third, fourth, contexts, added[0], added[1], base, low, high)
