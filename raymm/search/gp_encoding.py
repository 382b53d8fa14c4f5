"""Configurations as the features that a kernel compares, with conditions and choices.

A number is one feature, its coordinate in [0, 1]. A choice of k is k features, 1/√2 at the one
chosen, so any two different choices are at distance 1 and the kernel need not take them to be in
an order; where the choices are numbers that rise or fall, their rank is one more feature, with a
length of its own, so that the kernel may. An inactive number stands at the middle of its range,
and an inactive choice at none: where its parent differs, the distance between the parent's choices
tells the two apart, so the values that an active parameter takes matter among configurations that
have it only.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Categorical, Config, Float, Int, Parameter, Space
from raymm.search import space as spaces

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class _Whole:
    """A whole number's values and coordinates as `raymm.search.space` has them, for arrays."""

    def __init__(self, parameter: Int) -> None:
        self._low, self._high = float(parameter.low), float(parameter.high)
        self._log = parameter.log
        ends = np.array([self._low - 0.5, self._high + 0.5])
        self._start, self._end = (np.log(ends) if parameter.log else ends).tolist()

    def values(self, places: Vector) -> Vector:
        """Return the whole numbers at coordinates."""
        at = self._start * (1.0 - places) + self._end * places
        return self._clip(np.floor((np.exp(at) if self._log else at) + 0.5))

    def places(self, values: Vector) -> Vector:
        """Return the coordinates of whole numbers, those beyond the bounds brought there."""
        inside = self._clip(values)
        at = np.log(inside) if self._log else inside
        return np.asarray((at - self._start) / (self._end - self._start))

    def _clip(self, values: Vector) -> Vector:
        return np.clip(values, self._low, self._high)


def _ordered(parameter: Parameter) -> bool:
    """Say whether a choice is among three numbers or more that rise or fall."""
    if not isinstance(parameter, Categorical) or len(parameter.choices) < 3:
        return False
    numbers = [
        float(value)
        for value in parameter.choices
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    if len(numbers) < len(parameter.choices):
        return False
    steps = np.diff(numbers)
    return bool((steps > 0).all() or (steps < 0).all())


class Encoding:
    """Turns unit coordinates of a space's configurations into features and back.

    Attributes
    ----------
    groups : intp, shape (p,)
        Which length of the kernel each feature has: one a parameter that varies, and one more for
        the ranks of ordered choices.
    count : int
        How many lengths there are.
    varying : int
        How many parameters have more than one value.
    choices : int, shape (d,)
        How many choices each parameter has; 0 for numbers.
    fixed : bool, shape (d,)
        Parameters of one value only; they have no feature.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._names = list(space)
        parameters = list(space.values())
        self.choices = np.array(
            [len(p.choices) if isinstance(p, Categorical) else 0 for p in parameters],
            dtype=int,
        )
        self.fixed = np.array(
            [
                len(p.choices) == 1 if isinstance(p, Categorical) else p.low == p.high
                for p in parameters
            ],
            dtype=bool,
        )
        self.whole = np.array([isinstance(p, Int) for p in parameters], dtype=bool)
        self.smooth = (
            np.array([isinstance(p, Float | Int) for p in parameters], dtype=bool) & ~self.fixed
        )
        self._wholes = {at: _Whole(p) for at, p in enumerate(parameters) if isinstance(p, Int)}
        self._parents = self._conditions()
        self._order = [self._names.index(name) for name in spaces.order(space)]
        self.ordered = np.array([_ordered(p) for p in parameters], dtype=bool)
        widths = np.where(self.fixed, 0, np.maximum(self.choices, 1) + self.ordered)
        self._starts = np.cumsum(widths) - widths
        self.columns = int(widths.sum())
        leaders = np.zeros(self.columns, dtype=np.intp)
        leaders[self._starts[~self.fixed]] = 1
        leaders[(self._starts + widths - 1)[self.ordered]] = 1
        self.groups = np.cumsum(leaders) - 1
        self.count = int(leaders.sum())
        self.varying = int((~self.fixed).sum())

    def _conditions(self) -> list[list[tuple[int, Mask]]]:
        found: list[list[tuple[int, Mask]]] = []
        for parameter in self._space.values():
            own = []
            for parent, values in parameter.when.items():
                known = self._space[parent]
                assert isinstance(known, Categorical)
                at = [spaces.place(known, value) * len(known.choices) for value in values]
                mask = np.zeros(len(known.choices), dtype=bool)
                mask[np.array(at, dtype=int)] = True
                own.append((self._names.index(parent), mask))
            found.append(own)
        return found

    def index(self, units: Matrix, column: int) -> npt.NDArray[np.intp]:
        """Return which choice each row, shape (n, d), holds for one categorical parameter."""
        count = int(self.choices[column])
        return np.minimum((units[:, column] * count).astype(np.intp), count - 1)

    def active(self, units: Matrix) -> Mask:
        """Return which parameters are active in each row, shape (n, d)."""
        found = np.ones(units.shape, dtype=bool)
        for column in self._order:
            for parent, allowed in self._parents[column]:
                found[:, column] &= found[:, parent] & allowed[self.index(units, parent)]
        return found

    def snap(self, units: Matrix) -> Matrix:
        """Return the coordinates of the nearest configurations, shape (n, d).

        Whole numbers and choices go to the middle of their cells, what is inactive or fixed to
        0.5, so equal configurations have equal coordinates.
        """
        found = np.clip(units, 0.0, 1.0)
        for column in range(len(self._names)):
            if self.choices[column]:
                count = int(self.choices[column])
                found[:, column] = (self.index(found, column) + 0.5) / count
            elif self.whole[column]:
                whole = self._wholes[column]
                found[:, column] = whole.places(whole.values(found[:, column]))
        found[~self.active(found)] = 0.5
        found[:, self.fixed] = 0.5
        return found

    def steps(self, units: Matrix, column: int) -> Matrix:
        """Return the cells beside those of one whole number, shape (2, n): below, then above."""
        values = self._wholes[column].values(units[:, column])
        return np.stack([self._wholes[column].places(values + step) for step in (-1.0, 1.0)])

    def features(self, units: Matrix) -> Matrix:
        """Return the features, shape (n, p), of coordinates as `snap` returns them."""
        active = self.active(units)
        found = np.zeros((len(units), self.columns))
        rows = np.arange(len(units))
        for column in np.flatnonzero(~self.fixed).tolist():
            start = self._starts[column]
            if self.choices[column]:
                here = active[:, column]
                at = start + self.index(units, column)
                found[rows[here], at[here]] = math.sqrt(0.5)
                if self.ordered[column]:
                    place = np.where(here, units[:, column], 0.5)
                    found[:, start + int(self.choices[column])] = place
            else:
                found[:, start] = np.where(active[:, column], units[:, column], 0.5)
        return found

    def places(self, columns: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Return the features' positions of numeric parameters given by their positions."""
        return self._starts[columns].astype(np.intp)

    def units(self, configs: list[Config]) -> Matrix:
        """Return the coordinates of configurations, shape (n, d), as `snap` would."""
        if not configs:
            return np.empty((0, len(self._names)))
        found = np.array([spaces.unit(self._space, config) for config in configs])
        found[np.isnan(found)] = 0.5
        found[:, self.fixed] = 0.5
        return found

    def config(self, units: Matrix) -> Config:
        """Return the configuration at coordinates of shape (d,)."""
        return spaces.from_unit(self._space, units)
