"""The parameters of a search space."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raymm.artifacts.kinds import Scalar

MOST = 2**62
"""Bounds of whole numbers; search goes by floats, which tell those near it apart no more."""


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
        if not math.isfinite(self.high - self.low):
            raise ValueError(
                f"high - low must be a finite number, but got low={self.low}, high={self.high}. "
                "Use log=True, or a narrower range."
            )


@dataclass(frozen=True, slots=True)
class Int:
    """A whole parameter in [low, high], both ends included; ``log`` and ``when`` as in `Float`."""

    low: int
    high: int
    log: bool = False
    when: Mapping[str, Sequence[Scalar]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high, self.log)
        whole = all(float(bound).is_integer() for bound in (self.low, self.high))
        if not whole or max(abs(self.low), abs(self.high)) > MOST:
            raise ValueError(
                f"low and high must be whole numbers of at most {MOST} in size, but got "
                f"low={self.low}, high={self.high}. Use Float for others."
            )


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
    try:
        finite = math.isfinite(low) and math.isfinite(high)
    except OverflowError:
        finite = False
    if not (finite and low <= high):
        raise ValueError(f"low must be at most high, both finite, but got low={low}, high={high}")
    if log and low <= 0:
        raise ValueError(f"low must be above 0 on a logarithmic scale, but got low={low}")
