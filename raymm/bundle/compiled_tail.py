"""What comes behind the trees of a graph, as steps in numpy; for `raymm.bundle.compiled`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

Floats = npt.NDArray[np.float32]
Tail = Callable[[Floats], Floats]


WIDEST = 0xFFFF
"""Numbers of a row at most: beside each other, again and again, they would take all memory."""


class Unknown(Exception):
    """The graph holds something that is not known here."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Numbers behind the trees, shape (n, width).

    Attributes
    ----------
    place : int
        0 for what all trees sum up to, else the number of the step that makes them, from 1.
    width : int
    """

    place: int
    width: int


@dataclass(frozen=True, slots=True)
class _Step:
    """A function, and what it is called with: constants, and values of steps before it."""

    operator: str
    function: Callable[..., Any]
    given: tuple[Any, ...]
    width: int


@dataclass(slots=True)
class Steps:
    """Steps in the order in which they are taken."""

    steps: list[_Step] = field(default_factory=list)
    outputs: int = 0

    def trees(self, outputs: int) -> Sums:
        """Add what an ensemble of so many outputs sums up to, beside those before it."""
        start = self.outputs
        self.outputs += outputs
        taken = slice(start, start + outputs)
        return self._step(_TAKE, lambda sums: sums[:, taken], [Sums(0, 0)], outputs)

    def add(self, operator: str, given: Sequence[Any], held: Mapping[str, Any]) -> Sums:
        """Add what an operator with these attributes makes of numbers and constants.

        Raises
        ------
        Unknown
            When it is none that is known, or its operands have other shapes than (n, k), (1, k),
            (k,) and ().
        """
        if operator == "Identity":
            return _as_sums(given[0])
        width = max(_width(one) for one in given)
        if any(_width(one) not in (1, width) for one in given) and operator != "Concat":
            raise Unknown
        if _EACH.get(operator, (0,))[0] == len(given):
            return self._step(operator, _EACH[operator][1], given, width)
        if operator == "Sum":
            return self._step(operator, _summed, given, width)
        if operator == "Softmax" and held.get("axis", -1) in (1, -1):
            return self._step(operator, _softmax, given, width)
        if operator == "Concat" and held.get("axis") in (1, -1):
            if (margins := self._sides(given)) is not None:
                return self._step(operator, _both, [margins], 2)
            parts = [_as_sums(one) for one in given]
            if sum(one.width for one in parts) > WIDEST:
                raise Unknown
            return self._step(operator, _beside, parts, sum(one.width for one in parts))
        raise Unknown

    def tail(self, last: Sums) -> Tail:
        """Return what takes the steps that the last numbers need."""
        needed, waiting = set(), [last.place]
        while waiting:
            place = waiting.pop()
            if place and place not in needed:
                needed.add(place)
                given = self.steps[place - 1].given
                waiting += [one.place for one in given if isinstance(one, Sums)]
        places = {0: 0}
        calls = []
        for place in sorted(needed):
            step = self.steps[place - 1]
            if step.operator == _TAKE and step.width == self.outputs:
                places[place] = 0
                continue
            calls.append(_call(step, places))
            places[place] = len(calls)
        end = places[last.place]
        loud = any(self.steps[place - 1].operator in _LOUD for place in needed)

        def tail(sums: Floats) -> Floats:
            values = [sums]
            for call in calls:
                values.append(call(values))
            return values[end]

        def quiet(sums: Floats) -> Floats:
            with np.errstate(all="ignore"):
                return tail(sums)

        return quiet if loud else tail

    def _step(
        self, operator: str, function: Callable[..., Any], given: Sequence[Any], width: int
    ) -> Sums:
        self.steps.append(_Step(operator, function, tuple(given), width))
        return Sums(len(self.steps), width)

    def _sides(self, given: Sequence[Any]) -> Sums | None:
        """Return the margins of which this is a sigmoid of the negative beside one as they are."""
        before = [self._maker(one) for one in given]
        if [one and one.operator for one in before] != ["Sigmoid", "Sigmoid"]:
            return None
        negative, margins = (one.given[0] for one in before if one)
        turned = self._maker(negative)
        if turned is None or turned.operator != "Neg" or turned.given[0] != margins:
            return None
        found: Sums = margins
        return found if found.width == 1 else None

    def _maker(self, given: Any) -> _Step | None:
        return self.steps[given.place - 1] if isinstance(given, Sums) and given.place else None


def _as_sums(given: Any) -> Sums:
    if not isinstance(given, Sums):
        raise Unknown
    return given


def _width(given: Any) -> int:
    if isinstance(given, Sums):
        return given.width
    if not isinstance(given, np.ndarray) or given.dtype != np.float32 or given.ndim > 2:
        raise Unknown
    if given.ndim == 2 and given.shape[0] != 1:
        raise Unknown
    return given.shape[-1] if given.ndim else 1


def _call(step: _Step, places: Mapping[int, int]) -> Callable[[list[Floats]], Floats]:
    """Return what calls a step's function with the values that it needs."""
    function = step.function
    parts = [(places[one.place], None) if isinstance(one, Sums) else (0, one) for one in step.given]
    first, constant = parts[0][0], parts[-1][1]
    if len(parts) == 1:
        return lambda values: function(values[first])
    if len(parts) == 2 and parts[0][1] is None and constant is not None:
        return lambda values: function(values[first], constant)

    def call(values: list[Floats]) -> Floats:
        given = [values[place] if fixed is None else fixed for place, fixed in parts]
        made: Floats = function(*given)
        return made

    return call


_SIDES = np.array([[-1.0, 1.0]], np.float32)


def _both(margins: Floats) -> Floats:
    made: Floats = expit(margins * _SIDES)
    return made


def _softmax(x: Floats) -> Floats:
    power: Floats = np.exp(x - x.max(axis=1, keepdims=True))
    made: Floats = power / power.sum(axis=1, keepdims=True)
    return made


def _summed(*parts: Floats) -> Floats:
    total = parts[0]
    for one in parts[1:]:
        total = total + one
    return total


def _beside(*parts: Floats) -> Floats:
    return np.concatenate(parts, axis=1)


_TAKE = ""
_LOUD = ("Exp", "Log", "Div")
"""Operators that numpy warns of where a result is infinite or none."""
_EACH: Mapping[str, tuple[int, Callable[..., Any]]] = {
    "Neg": (1, np.negative),
    "Sigmoid": (1, expit),
    "Exp": (1, np.exp),
    "Log": (1, np.log),
    "Add": (2, np.add),
    "Sub": (2, np.subtract),
    "Mul": (2, np.multiply),
    "Div": (2, np.divide),
    "Clip": (3, np.clip),
}
"""What is done to each number by itself, and with how many others."""
