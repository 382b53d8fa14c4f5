"""Choices among numbers, seen as whole numbers, so that algorithms may use their order.

Users often list the values that a number may take: ``Categorical((16, 32, 64, 128))``. To an
algorithm these are names without an order; as places in the sorted list they have one.
"""

from __future__ import annotations

from collections.abc import Mapping

from raymm.artifacts import Categorical, Config, Int, Parameter, Scalar, Space
from raymm.search import space as spaces

LEAST = 3
"""Choices of fewer numbers than this have no order to speak of."""


class Ordered:
    """A space, the same with ordered choices as whole numbers, and the way between them.

    A choice of three or more numbers becomes its place in their rising order, unless a condition
    hangs on it.

    Parameters
    ----------
    space : mapping of name to parameter

    Attributes
    ----------
    space : mapping of name to parameter
        What an algorithm is to search.
    """

    def __init__(self, space: Space) -> None:
        parents = {parent for parameter in space.values() for parent in parameter.when}
        self._values: Mapping[str, list[Scalar]] = {
            name: sorted(parameter.choices)  # type: ignore[type-var]
            for name, parameter in space.items()
            if isinstance(parameter, Categorical) and name not in parents and _ordered(parameter)
        }
        self._plain = space
        self.space: Space = {name: self._seen(name, parameter) for name, parameter in space.items()}

    def _seen(self, name: str, parameter: Parameter) -> Parameter:
        if name not in self._values:
            return parameter
        return Int(0, len(self._values[name]) - 1, when=parameter.when)

    def inward(self, config: Config) -> Config:
        """Return a configuration as the algorithm is to see it.

        One that lies outside the space is returned as it is.
        """
        if not self._values or not spaces.contains(self._plain, config):
            return config
        return {
            name: self._values[name].index(value) if name in self._values else value
            for name, value in config.items()
        }

    def outward(self, config: Config) -> Config:
        """Return what `inward` was given."""
        if not self._values:
            return config
        return {
            name: self._values[name][int(value)] if name in self._values else value  # type: ignore[arg-type]
            for name, value in config.items()
        }


def _ordered(parameter: Categorical) -> bool:
    """Say whether the choices are three or more numbers, all different."""
    numbers = all(
        isinstance(choice, int | float) and not isinstance(choice, bool)
        for choice in parameter.choices
    )
    return numbers and len(set(parameter.choices)) == len(parameter.choices) >= LEAST
