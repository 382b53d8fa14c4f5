"""A user's function, named as ``MODULE:FUNCTION``."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from raymm.errors import ConfigError
from raymm.search.estimator import is_estimator
from raymm.search.objective import describe

Function = Callable[..., Any]


def load(reference: str) -> Function:
    """Import ``MODULE:FUNCTION``, looked for in the current folder too.

    Raises
    ------
    ConfigError
        When it is not written so, cannot be imported, or cannot be called.
    """
    module_name, colon, attribute = reference.partition(":")
    if not colon or not attribute:
        raise ConfigError(f'a function is written MODULE:FUNCTION, not "{reference}".')
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    module = _module(module_name)
    try:
        found = getattr(module, attribute)
    except AttributeError as error:
        raise ConfigError(
            f'{module_name} has no "{attribute}". {_near(module, attribute)}'
        ) from error
    if not callable(found):
        hint = " Call raymm.tune with it, X and y in Python." if is_estimator(found) else ""
        raise ConfigError(
            f"{reference} must be a function, but it is {type(found).__name__}.{hint}"
        )
    return found  # type: ignore[no-any-return]


def _module(name: str) -> ModuleType:
    if name.endswith(".py"):
        raise ConfigError(f'a module is named without its ending: "{name[:-3]}", not "{name}".')
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0] and error.name != name:
            raise ConfigError(f"{name} cannot be imported: it needs {error.name}.") from error
        there = [path.stem for path in Path.cwd().glob("*.py")]
        near = difflib.get_close_matches(name, there, n=1)
        hint = f'Did you mean "{near[0]}"?' if near else f"It is looked for in {Path.cwd()} too."
        raise ConfigError(f'there is no module "{name}". {hint}') from error
    except Exception as error:  # whatever a person's own module raises as it is read
        raise ConfigError(f"{name} cannot be imported: {describe(error)}") from error


def _near(module: ModuleType, attribute: str) -> str:
    """Return the functions of a module that could have been meant."""
    own = {
        name: value
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", "") == module.__name__
    }
    near = difflib.get_close_matches(attribute, own, n=1)
    if near:
        return f'Did you mean "{near[0]}"?'
    return f"Its functions: {', '.join(own)}." if own else "It has no function at all."
