"""What two columns of numbers make together: a sum, a difference, a product or a ratio.

A tree compares one column at a time with a constant, so the rooms of a flat by its people, or how
far two prices are apart, take it many splits, and rows for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Column, Interaction, Operation, Tensors
from raymm.features.transform import Transform
from raymm.onnx_builder import GraphBuilder

Floats = npt.NDArray[np.float32]

OPERATIONS: Mapping[Operation, tuple[str, str, Callable[[Floats, Floats], Floats]]] = {
    "sum": ("+", "Add", np.add),
    "difference": ("-", "Sub", np.subtract),
    "product": ("*", "Mul", np.multiply),
    "ratio": ("/", "Div", np.divide),
}
"""How each is written, its operator in ONNX and in numpy; both round float32 alike."""


def candidates(names: Sequence[str]) -> tuple[Interaction, ...]:
    """Return all that columns can make of each other, ratios both ways.

    >>> [(one.first, one.operation, one.second) for one in candidates(["a", "b"])][-2:]
    [('a', 'ratio', 'b'), ('b', 'ratio', 'a')]
    """
    found = []
    for first, second in combinations(names, 2):
        found += [Interaction(first=first, second=second, operation=one) for one in OPERATIONS]
        found.append(Interaction(first=second, second=first, operation="ratio"))
    return tuple(found)


def combined(interaction: Interaction, tensors: Tensors) -> Floats:
    """Return an interaction's values, shape (n,), NaN where a number is missing.

    Each is rounded to float32 once. A number divided by 0 and what is beyond the range of float32
    are infinite, 0 by 0 is NaN.
    """
    first = np.asarray(tensors[interaction.first], dtype=np.float32)
    second = np.asarray(tensors[interaction.second], dtype=np.float32)
    with np.errstate(all="ignore"):
        return OPERATIONS[interaction.operation][2](first, second)


def finite(values: Floats) -> Floats:
    """Return values with NaN in place of what is infinite."""
    return np.where(np.isinf(values), np.float32(np.nan), values)


class Combination(Transform):
    """What an interaction makes of each row, taken as a number.

    Parameters
    ----------
    interaction : Interaction
    first : Column
        The first of its columns.
    number : type of Transform
        What the encoding takes numbers by; it is given the result.

    Attributes
    ----------
    mends : bool
        Whether infinite results are missing, as training rows had some. Where they had none, an
        infinite one is the largest or smallest number: most columns are never 0, and a node for
        each of them would take as long as the division.
    """

    mends = False

    def __init__(self, interaction: Interaction, first: Column, number: type[Transform]) -> None:
        super().__init__(first)
        self.interaction = interaction
        self.number = number(Column(name=label(interaction), kind="number"))

    @property
    def sources(self) -> tuple[str, ...]:
        """Both columns."""
        return (self.interaction.first, self.interaction.second)

    def take(self, tensors: Tensors) -> Floats:
        """Return the results, shape (n,); see `combined`."""
        return combined(self.interaction, tensors)

    def take_onnx(self, builder: GraphBuilder, inputs: Mapping[str, str]) -> str:
        """Add the operator, and what `mends` asks for."""
        pair = [inputs[self.interaction.first], inputs[self.interaction.second]]
        made = builder.node(OPERATIONS[self.interaction.operation][1], pair)
        if not self.mends:
            return made
        endless = builder.node("IsInf", [made])
        return builder.node("Where", [endless, builder.constant(np.nan), made])

    def fit(self, values: npt.NDArray[Any], y: npt.NDArray[Any]) -> Self:
        """Learn from the results what a number's transform learns."""
        self.mends = bool(np.isinf(values).any())
        self.number.fit(finite(values), y)
        return self

    def transform(self, values: npt.NDArray[Any]) -> Floats:
        """Return what is made of results, shape (n, k)."""
        return self.number.transform(finite(values) if self.mends else values)

    def to_onnx(self, builder: GraphBuilder, tensor: str) -> str:
        """Add the number's nodes; ``tensor`` names the results that `take_onnx` made."""
        return self.number.to_onnx(builder, tensor)

    @property
    def names(self) -> tuple[str, ...]:
        """``first / second`` or the like, and what the number's transform adds to it."""
        return self.number.names


def label(interaction: Interaction) -> str:
    """Return an interaction as a person writes it.

    >>> label(Interaction(first="rooms", second="people", operation="ratio"))
    'rooms / people'
    """
    sign = OPERATIONS[interaction.operation][0]
    return f"{interaction.first} {sign} {interaction.second}"
