"""The parameters of a search space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from raymm.artifacts.kinds import Scalar


@dataclass(frozen=True, slots=True)
class Float:
    """A real parameter in [low, high]; ``log`` draws it evenly on a logarithmic scale.

    ``when`` makes it conditional: it is active only where each named categorical parameter holds
    one of the values listed.
    """

    low: float
    high: float
    log: bool = False
    when: Mapping[str, Sequence[Scalar]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high, self.log)


@dataclass(frozen=True, slots=True)
class Int:
    """A whole parameter in [low, high], both ends included; ``log`` and ``when`` as in `Float`."""

    low: int
    high: int
    log: bool = False
    when: Mapping[str, Sequence[Scalar]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high, self.log)


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of ``choices`` (at least one, no two equal); ``when`` as in `Float`."""

    choices: Sequence[Scalar]
    when: Mapping[str, Sequence[Scalar]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(self.choices))
        if not self.choices or len(set(map(repr, self.choices))) != len(self.choices):
            raise ValueError(
                f"choices must be one or more different values, but got {list(self.choices)!r}"
            )


Parameter = Float | Int | Categorical
Space = Mapping[str, Parameter]


def _check_bounds(low: float, high: float, log: bool) -> None:
    if not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise ValueError(f"low must be at most high, both finite, but got low={low}, high={high}")
    if log and low <= 0:
        raise ValueError(f"low must be above 0 on a logarithmic scale, but got low={low}")
