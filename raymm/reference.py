"""A user's function, named as ``MODULE:FUNCTION``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from raymm.errors import ConfigError
from raymm.search.estimator import is_estimator

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
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except ImportError as error:
        raise ConfigError(f"{module_name} cannot be imported: {error}") from error
    except AttributeError as error:
        raise ConfigError(f'{module_name} has no "{attribute}".') from error
    if not callable(found):
        hint = " Call raymm.tune with it, X and y in Python." if is_estimator(found) else ""
        raise ConfigError(
            f"{reference} must be a function, but it is {type(found).__name__}.{hint}"
        )
    return found  # type: ignore[no-any-return]
