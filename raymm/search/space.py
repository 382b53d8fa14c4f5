"""Search spaces: checking, sampling, unit coordinates, joining families, and reading YAML.

A space maps a parameter's name to a `Float`, `Int` or `Categorical`. A parameter with ``when`` is
active only where each categorical parameter named there is active itself and holds one of the
values listed. A configuration holds the active parameters and no others.

A space file is YAML, one parameter a key::

    learning_rate: {float: [0.001, 0.1], log: true}
    layers:        {int: [1, 4]}
    solver:        {choice: [adam, sgd]}
    momentum:      {float: [0, 1], when: {solver: [sgd]}}
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Categorical, Config, Float, Int, Parameter, Scalar, Space
from raymm.errors import ConfigError
from raymm.search.space_file import load, parameters

__all__ = [
    "Categorical",
    "Float",
    "Int",
    "check",
    "contains",
    "from_unit",
    "is_active",
    "join",
    "key",
    "nearest",
    "order",
    "parse",
    "read",
    "sample",
    "split",
    "unit",
]

Vector = npt.NDArray[np.float64]
FAMILY = "family"
"""The parameter of a joined space that chooses the family."""


# ------------------------------------------------------------------------------------ structure


def check(space: Space) -> None:
    """Check that a space can be searched.

    Raises
    ------
    ConfigError
        When it is empty, a name is no text, a ``when`` names an unknown parameter, one that is
        not categorical or a value that is not among its choices, or conditions form a cycle.
    """
    if not space:
        raise ConfigError("a search space needs at least one parameter, but it is empty.")
    for name, parameter in space.items():
        if not isinstance(name, str):
            raise ConfigError(f"names of parameters must be text, but got {name!r}.")
        if not isinstance(parameter, Float | Int | Categorical):
            raise ConfigError(
                f'parameter "{name}" must be a Float, Int or Categorical, but got {parameter!r}.'
            )
        for parent, values in parameter.when.items():
            _check_condition(space, name, parent, values)
    order(space)


def _check_condition(space: Space, name: str, parent: str, values: Sequence[Scalar]) -> None:
    known = space.get(parent)
    if known is None:
        near = difflib.get_close_matches(parent, space, n=1)
        hint = f'Did you mean "{near[0]}"?' if near else f"Known: {', '.join(space)}."
        raise ConfigError(f'"{name}" is conditional on "{parent}", which is not known. {hint}')
    if not isinstance(known, Categorical):
        raise ConfigError(
            f'"{name}" is conditional on "{parent}", which must be categorical, but is '
            f"{type(known).__name__}. Make it a choice, or drop the condition."
        )
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ConfigError(
            f'the condition of "{name}" on "{parent}" must list one or more of its choices, '
            f"but got {values!r}. Write it as a list, e.g. [{known.choices[0]!r}]."
        )
    for value in values:
        if _position(known.choices, value) is None:
            raise ConfigError(
                f'"{name}" is active where "{parent}" is {value!r}, which it can never be. '
                f"Its choices are {list(known.choices)!r}."
            )


def order(space: Space) -> tuple[str, ...]:
    """Return the names so that each comes after those it is conditional on, else as declared.

    Raises
    ------
    ConfigError
        When conditions form a cycle.
    """
    placed: dict[str, None] = {}
    waiting = list(space)
    while waiting:
        ready = [n for n in waiting if all(parent in placed for parent in space[n].when)]
        if not ready:
            raise ConfigError(
                f"conditions form a cycle: none of {', '.join(waiting)} can be set first. "
                "Remove one of their conditions."
            )
        placed.update(dict.fromkeys(ready))
        waiting = [n for n in waiting if n not in placed]
    return tuple(placed)


def is_active(name: str, space: Space, config: Config) -> bool:
    """Say whether a parameter's conditions, and those of its parents, hold in ``config``."""
    asked, waiting = {name}, [name]
    while waiting:
        for parent, values in space[waiting.pop()].when.items():
            if parent not in config or _position(values, config[parent]) is None:
                return False
            if parent not in asked:
                asked.add(parent)
                waiting.append(parent)
    return True


def _position(choices: Sequence[Scalar], value: Scalar) -> int | None:
    """Return the index of ``value``; True, 1 and "1" are three different choices."""
    for index, choice in enumerate(choices):
        if repr(choice) == repr(value):
            return index
    for index, choice in enumerate(choices):  # 1.0 for 1, as JSON or numpy may hand it back
        if choice == value and isinstance(choice, bool) == isinstance(value, bool | np.bool_):
            return index
    return None


def contains(space: Space, config: Config) -> bool:
    """Say whether ``config`` holds every active parameter within its bounds, and nothing else."""
    return all(name in space for name in config) and all(
        is_active(name, space, config) == (name in config)
        and (name not in config or _allowed(parameter, config[name]))
        for name, parameter in space.items()
    )


def _allowed(parameter: Parameter, value: Scalar) -> bool:
    if isinstance(parameter, Categorical):
        return _position(parameter.choices, value) is not None
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    if isinstance(parameter, Int) and value != int(value):
        return False
    return bool(parameter.low <= value <= parameter.high)


def key(config: Config) -> tuple[tuple[str, str], ...]:
    """Return a hashable form: equal for equal configurations, whatever the order of names."""
    return tuple(sorted((name, repr(value)) for name, value in config.items()))


# --------------------------------------------------------------------------------- coordinates


def unit(space: Space, config: Config) -> Vector:
    """Return coordinates in [0, 1], shape (d,), in the space's order; inactive ones are NaN.

    A whole number or a choice stands in the middle of its cell. `from_unit` goes back.
    """
    return np.array(
        [
            place(parameter, config[name]) if name in config else math.nan
            for name, parameter in space.items()
        ],
        dtype=np.float64,
    )


def from_unit(space: Space, vector: Vector) -> Config:
    """Return the configuration at coordinates in [0, 1], shape (d,); `unit` is its inverse.

    Coordinates of inactive parameters are passed over.

    Raises
    ------
    ValueError
        When an active parameter's coordinate is NaN or outside [0, 1].
    """
    coordinates = dict(zip(space, np.asarray(vector, dtype=np.float64).tolist(), strict=True))
    config: dict[str, Scalar] = {}
    for name in order(space):
        if is_active(name, space, config):
            at = coordinates[name]
            if not 0.0 <= at <= 1.0:
                raise ValueError(f"the coordinate of {name} must be in [0, 1], but got {at}")
            config[name] = value_at(space[name], at)
    return {name: config[name] for name in space if name in config}


def _bounds(parameter: Float | Int) -> tuple[float, float]:
    half = 0.5 if isinstance(parameter, Int) else 0.0
    low, high = parameter.low - half, parameter.high + half
    return (math.log(low), math.log(high)) if parameter.log else (low, high)


def place(parameter: Parameter, value: Any) -> float:
    """Return the coordinate in [0, 1] of one parameter's value."""
    if isinstance(parameter, Categorical):
        index = _position(parameter.choices, value)
        if index is None:
            raise ValueError(f"{value!r} is not one of {list(parameter.choices)!r}")
        return (index + 0.5) / len(parameter.choices)
    low, high = _bounds(parameter)
    if low == high:
        return 0.5
    at = math.log(value) if parameter.log else value
    return min(1.0, max(0.0, (at - low) / (high - low)))


def value_at(parameter: Parameter, place: float) -> Scalar:
    """Return one parameter's value at a coordinate in [0, 1]."""
    if isinstance(parameter, Categorical):
        count = len(parameter.choices)
        return parameter.choices[min(int(place * count), count - 1)]
    low, high = _bounds(parameter)
    at = low * (1.0 - place) + high * place
    value = math.exp(at) if parameter.log else at
    if isinstance(parameter, Int):
        return int(min(parameter.high, max(parameter.low, math.floor(value + 0.5))))
    return float(min(parameter.high, max(parameter.low, value)))


def sample(space: Space, generator: np.random.Generator) -> Config:
    """Draw each active parameter evenly in its unit coordinate.

    One number a parameter is drawn whether it is active or not, so the generator's state after
    ``k`` draws does not depend on what came out.
    """
    return from_unit(space, generator.random(len(space)))


def nearest(space: Space, config: Config) -> Config | None:
    """Return the configuration of the space nearest to one that may lie outside it.

    Numbers are clipped, missing ones take the middle of their range, inactive and unknown ones
    are dropped. A switch (False, True) that is missing is off. None where another categorical
    parameter is missing, or one holds no choice of its own.
    """
    found: dict[str, Scalar] = {}
    for name in order(space):
        if not is_active(name, space, found):
            continue
        parameter, value = space[name], config.get(name)
        if isinstance(parameter, Categorical):
            value = config.get(name, False) if parameter.choices == (False, True) else value
            known = name in config or value is False
            index = _position(parameter.choices, value) if known else None
            if index is None:
                return None
            found[name] = parameter.choices[index]
        elif _allowed(parameter, value):
            found[name] = value
        elif isinstance(value, int | float) and math.isfinite(value):
            clipped = min(parameter.high, max(parameter.low, value))
            found[name] = round(clipped) if isinstance(parameter, Int) else float(clipped)
        else:
            found[name] = value_at(parameter, 0.5)
    return {name: found[name] for name in space if name in found}


# ------------------------------------------------------------------------------------ families


def join(spaces: Mapping[str, Space]) -> Space:
    """Return one conditional space of several families.

    The categorical parameter ``family`` chooses among the names in the order given; the parameter
    ``p`` of family ``f`` is named ``f.p`` and is active where ``family`` is ``f`` and its own
    conditions hold. `split` takes a configuration of it apart.

    Raises
    ------
    ConfigError
        When no space is given, or the conditions within one are wrong.
    """
    if not spaces:
        raise ConfigError("a search needs at least one model family, but none is given.")
    joined: dict[str, Parameter] = {FAMILY: Categorical(tuple(spaces))}
    for family, space in spaces.items():
        for name, parameter in space.items():
            inner = {f"{family}.{parent}": values for parent, values in parameter.when.items()}
            when = {FAMILY: (family,), **inner}
            joined[f"{family}.{name}"] = _with(parameter, when)
    check(joined)
    return joined


def _with(parameter: Parameter, when: Mapping[str, Sequence[Scalar]]) -> Parameter:
    if isinstance(parameter, Categorical):
        return Categorical(parameter.choices, when)
    return type(parameter)(parameter.low, parameter.high, parameter.log, when)  # type: ignore[arg-type]


def split(config: Config) -> tuple[str, dict[str, Scalar]]:
    """Return the family of a joined space's configuration, and the family's own configuration.

    >>> split({"family": "svm", "svm.c": 1.0})
    ('svm', {'c': 1.0})
    """
    family = str(config[FAMILY])
    start = f"{family}."
    own = {n.removeprefix(start): v for n, v in config.items() if n.startswith(start)}
    return family, own


# ---------------------------------------------------------------------------------- space files


def read(path: str | Path) -> Space:
    """Read a space file; the module's docstring shows the format.

    Raises
    ------
    ConfigError
        When the file cannot be read, is not YAML, or breaks a rule; key and value are named.
    """
    return parse(load(path), str(path))


def parse(raw: Any, source: str = "the search space") -> Space:
    """Make a space of plain values as a space file holds them; raises ConfigError as `read`."""
    space = parameters(raw, source)
    try:
        check(space)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    return space
