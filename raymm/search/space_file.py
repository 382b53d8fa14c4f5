"""Space files: parameters written as plain YAML values; `raymm.search.space` shows the format."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raymm.artifacts import Categorical, Float, Int, Parameter, Space
from raymm.errors import ConfigError

EXAMPLE = "learning_rate: {float: [0.001, 0.1], log: true}"


def load(path: str | Path) -> Any:
    """Return the plain values of a YAML file.

    Raises
    ------
    ConfigError
        When the file cannot be read or is not YAML.
    """
    import yaml

    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        folder, name = Path(path).parent, Path(path).name
        there = [one.name for one in folder.glob("*.y*ml")] if folder.is_dir() else []
        near = difflib.get_close_matches(name, there, n=1)
        hint = (
            f'Did you mean "{folder / near[0]}"?' if near else f"It holds lines such as {EXAMPLE}"
        )
        raise ConfigError(f"there is no space file {path}. {hint}") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path} is a folder. Name the space file in it.") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not text in UTF-8. A space file holds lines such as {EXAMPLE}"
        ) from error
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(
            f"{path} is not valid YAML{place}: {problem or error}. A space file holds lines such "
            f"as {EXAMPLE}"
        ) from error


def parameters(raw: Any, source: str) -> Space:
    """Turn plain values into parameters; conditions are not checked against each other here.

    Raises
    ------
    ConfigError
        When a parameter breaks a rule; ``source`` is named with the key, value and remedy.
    """
    if not isinstance(raw, Mapping) or not raw:
        raise ConfigError(f"{source} must map names to parameters, e.g. {EXAMPLE}")
    return {str(name): _parameter(str(name), item, source) for name, item in raw.items()}


_KINDS = ("float", "int", "choice")


def _parameter(name: str, item: Any, source: str) -> Parameter:
    place = f'{source}: parameter "{name}"'
    if not isinstance(item, Mapping):
        raise ConfigError(
            f"{place} must be a mapping such as {{float: [0, 1]}}, but got {item!r}. "
            "Use one of the kinds float, int or choice."
        )
    kinds = [kind for kind in _KINDS if kind in item]
    allowed = (*_KINDS, "log", "when")
    for word in item:
        if word not in allowed:
            near = difflib.get_close_matches(str(word), allowed, n=1)
            hint = f'Did you mean "{near[0]}"?' if near else f"Known keys: {', '.join(allowed)}."
            raise ConfigError(f'{place} has the unknown key "{word}". {hint}')
    if len(kinds) != 1:
        raise ConfigError(
            f"{place} must have exactly one of float, int and choice, but got {dict(item)!r}."
        )
    when = item.get("when", {})
    if not isinstance(when, Mapping):
        raise ConfigError(
            f"{place}: when must map parameters to lists of choices, but got {when!r}. "
            "Write it as when: {solver: [sgd]}."
        )
    try:
        return _typed(kinds[0], item, {str(k): v for k, v in when.items()})
    except ValueError as error:
        raise ConfigError(f"{place}: {error}. Mend it in {source}.") from error


def _typed(kind: str, item: Mapping[str, Any], when: Mapping[str, Any]) -> Parameter:
    values, log = item[kind], item.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"log must be true or false, but got {log!r}")
    if kind == "choice":
        if "log" in item:
            raise ValueError("log must not be set for a choice; remove it")
        if not isinstance(values, list) or any(isinstance(v, list | dict) for v in values):
            raise ValueError(f"choice must be a list of plain values, but got {values!r}")
        return Categorical(values, when)
    if not isinstance(values, list) or len(values) != 2:
        raise ValueError(f"{kind} must be two bounds [low, high], but got {values!r}")
    low, high = (_number(value) for value in values)
    if kind == "float":
        return Float(low, high, log, when)
    if low != int(low) or high != int(high):
        raise ValueError(f"int must have whole bounds, but got {values!r}")
    return Int(int(low), int(high), log, when)


def _number(value: Any) -> float:
    """Read a bound; YAML 1.1 takes 1e-3, which lacks a point, for text."""
    if not isinstance(value, bool):
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if math.isfinite(number):
            return number
    raise ValueError(f"a bound must be a number, but got {value!r}")
