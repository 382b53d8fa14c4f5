"""One catalogue for every kind of part: a name leads to a class.

A part joins by a decorator on its class, or from another package by an entry point in the group
``raymm.KIND`` (say ``raymm.searcher``). Built-in parts are found by importing the package that
holds them at the first look-up, so a new part is one new file. Two parts of one name are an error.

>>> colours: Catalogue[type] = Catalogue("colour", "raymm.errors")
>>> @colours.register("red")
... class Red: ...
>>> colours.get("red").__name__
'Red'
>>> colours.get("reed")
Traceback (most recent call last):
    ...
raymm.errors.ConfigError: colour "reed" is not known. Did you mean "red"? Known: red.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import threading
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from raymm.errors import ConfigError

if TYPE_CHECKING:
    from raymm.compression.compressor import Compressor
    from raymm.evaluation.metrics import Metric
    from raymm.explanation.explainer import Explainer
    from raymm.features.transform import Transform
    from raymm.models.family import Family
    from raymm.monitoring.monitor import Monitor
    from raymm.search.searcher import Searcher

Part = TypeVar("Part", bound=type)
Made = TypeVar("Made", bound=type)


class Catalogue(Generic[Part]):
    """Names of one kind of part, each leading to its class.

    Parameters
    ----------
    kind : str
        The part's kind in messages and in the entry-point group ``raymm.KIND``.
    home : str
        The module, or the package whose modules, hold the built-in parts.
    skip : tuple of str
        Modules of the package that hold no part and import Ray.
    """

    def __init__(self, kind: str, home: str, *, skip: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self._home = home
        self._skip = skip
        self._parts: dict[str, Part] = {}
        self._traits: dict[str, dict[str, Any]] = {}
        self._loaded = False
        self._loading = threading.RLock()

    def register(self, name: str, **traits: Any) -> Callable[[Made], Made]:
        """Return a decorator that files a class under ``name`` and sets its ``name`` attribute.

        ``traits`` are remarks that a user of the part needs before making one, such as
        ``scheduler="asha"``; see `traits`.

        Raises
        ------
        ConfigError
            From the decorator, when another class holds the name.
        """

        def file(part: Made) -> Made:
            known = self._parts.get(name)
            if known is not None and known.__qualname__ != part.__qualname__:
                raise ConfigError(
                    f'{self.kind} "{name}" is already {known.__module__}.{known.__qualname__}; '
                    f"{part.__module__}.{part.__qualname__} must take another name."
                )
            part.name = name  # type: ignore[attr-defined]
            self._parts[name] = part  # type: ignore[assignment]
            self._traits[name] = traits
            return part

        return file

    def get(self, name: str) -> Part:
        """Return the class filed under ``name``.

        Raises
        ------
        ConfigError
            When no part has the name; the nearest known name is given.
        """
        self._load()
        if name in self._parts:
            return self._parts[name]
        near = difflib.get_close_matches(name, self._parts, n=1)
        hint = f' Did you mean "{near[0]}"?' if near else ""
        known = ", ".join(sorted(self._parts))
        raise ConfigError(f'{self.kind} "{name}" is not known.{hint} Known: {known}.')

    def traits(self, name: str) -> dict[str, Any]:
        """Return the remarks that were filed with ``name``; raises ConfigError as `get` does."""
        self.get(name)
        return dict(self._traits[name])

    def names(self) -> tuple[str, ...]:
        """Return every known name, sorted."""
        self._load()
        return tuple(sorted(self._parts))

    def _load(self) -> None:
        with self._loading:  # another thread waits until every part is there
            if self._loaded:
                return
            self._loaded = True
            home = importlib.import_module(self._home)
            for module in pkgutil.iter_modules(getattr(home, "__path__", ())):
                if module.name not in self._skip:
                    importlib.import_module(f"{self._home}.{module.name}")
            for point in entry_points(group=f"raymm.{self.kind}"):
                self.register(point.name)(point.load())


families: Catalogue[type[Family]] = Catalogue("family", "raymm.models")
transforms: Catalogue[type[Transform]] = Catalogue("transform", "raymm.features")
searchers: Catalogue[type[Searcher]] = Catalogue("searcher", "raymm.search", skip=("tune",))
metrics: Catalogue[type[Metric]] = Catalogue("metric", "raymm.evaluation")
compressors: Catalogue[type[Compressor]] = Catalogue("compressor", "raymm.compression")
monitors: Catalogue[type[Monitor]] = Catalogue("monitor", "raymm.monitoring", skip=("actor",))
explainers: Catalogue[type[Explainer]] = Catalogue("explainer", "raymm.explanation")

family = families.register
transform = transforms.register
searcher = searchers.register
metric = metrics.register
compressor = compressors.register
monitor = monitors.register
explainer = explainers.register
