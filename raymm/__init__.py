"""Automated model management on Ray: tune, prove, compress, serve, watch and tune again.

>>> import raymm
>>> sorted(name for name in dir(raymm) if not name.startswith("_"))
['Categorical', 'Float', 'Int', 'load', 'run', 'tune']
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from raymm.artifacts import Categorical, Float, Int
    from raymm.lifecycle import Run
    from raymm.prediction import Model
    from raymm.tuned import Tuned

__all__ = ["Categorical", "Float", "Int", "load", "run", "tune"]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("raymm")
    if name in ("Categorical", "Float", "Int"):
        from raymm import artifacts

        return getattr(artifacts, name)
    if name == "search":
        from importlib import import_module

        return import_module("raymm.search")
    raise AttributeError(f"module 'raymm' has no attribute {name!r}")


def run(
    data: str | pd.DataFrame | Mapping[str, Any],
    *,
    target: str | None = None,
    name: str | None = None,
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Find the best model for a table, prove it and register it.

    Parameters
    ----------
    data : str, DataFrame or mapping
        A file, folder, glob or URL; a table in memory; or a whole configuration as a mapping or
        as the path of a YAML file.
    target : str
        The column to predict; not needed with a whole configuration.
    name : str, optional
        The model's name; by default made of the file's.
    progress : bool
        Whether to print what is being done.
    **settings
        Configuration keys, dots written as two underscores: ``search__time="3m"``; ``time``,
        ``trials``, ``algorithm``, ``metric``, ``storage``, ``seed`` and ``address`` as on the
        command line.

    Returns
    -------
    Run
        Its attributes are the artefacts: ``trials``, ``bundle``, ``evaluation``, ``blessing``,
        ``version``, …; it predicts tables too.

    Raises
    ------
    ConfigError, DataError, SearchError
        Each says what to do.
    """
    from raymm.api import run as live

    return live(data, target=target, name=name, progress=progress, settings=settings)


def tune(function: Any, space: Any, *, progress: bool = True, **settings: Any) -> Tuned:
    """Search for the configuration at which a function, or a scikit-learn estimator, is best.

    Parameters
    ----------
    function : callable, or scikit-learn estimator or pipeline
        ``f(config)`` returns a number or a mapping of numbers by name; ``f(config, report)`` calls
        ``report(value, checkpoint=…)`` as it trains.
    space : mapping of name to Float, Int or Categorical, or path of a YAML file
    progress : bool
        Whether to show what is being done: a board in a terminal, one line in a notebook.
    **settings
        ``metric`` and ``mode`` ("min" or "max"), or ``objectives`` and ``constraints``; ``trials``,
        ``time``, ``algorithm`` and all that `raymm.tuning.tune` says. Where neither ``mode`` nor
        the metric's name tells where the best is, the highest is sought, with a warning.

    Returns
    -------
    Tuned
        ``best_config``, ``best_value``, ``trials``, ``to_frame()``, ``front``, ``best_estimator``.

    Raises
    ------
    ConfigError, DataError, SearchError
        Each says what to do.
    """
    from raymm.api import tune as search

    return search(function, space, progress=progress, settings=settings)


def load(name: str | Path, *, version: int | None = None, storage: str | None = None) -> Model:
    """Load a registered model's champion, or one version, to predict with in this process.

    ``name`` may name a version, ``NAME@NUMBER``, or a bundle file: a Path, or a string that ends in
    ``.raymm``.

    Raises
    ------
    NotFound
        When there is no such model, version or file, or no champion.
    BundleError
        When what is stored is damaged.
    """
    from raymm.prediction import load as read

    return read(name, version=version, storage=storage)
