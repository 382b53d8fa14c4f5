"""Search by asking and telling, for loops of one's own: no Ray, no files, no threads.

>>> from raymm.search import Float, create
>>> search = create("random", {"x": Float(-1, 1)}, seed=0, mode="min")
>>> for _ in range(20):
...     for suggestion in search.suggest(1):
...         search.observe(suggestion.id, suggestion.config["x"] ** 2)
>>> search.best.value < 0.1
True
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from raymm.artifacts import Direction, Space
from raymm.errors import ConfigError
from raymm.plugins import searchers
from raymm.search import space as spaces
from raymm.search.searcher import Result, Searcher, Suggestion

REDUCTION = 3
_MODES: dict[str, Direction] = {
    "min": "minimize",
    "max": "maximize",
    "minimize": "minimize",
    "maximize": "maximize",
}


def create(
    algorithm: str,
    space: Mapping[str, Any],
    *,
    seed: int,
    mode: str,
    min_budget: float | None = None,
    max_budget: float | None = None,
) -> AskTell:
    """Return a search to ask and tell.

    Parameters
    ----------
    algorithm : str
        A registered searcher's name: auto, grid, random, tpe, or a plug-in's.
    space : mapping
        Of names to `Float`, `Int` or `Categorical`, or to what a space file holds for them.
    seed : int
        At least 0. The same seed, suggestions and observations give the same search.
    mode : str
        "min", "minimize", "max" or "maximize".
    min_budget, max_budget : float, optional
        With a maximum only, every suggestion has that budget. With both, suggestions start at the
        minimum and the best third of each rung is suggested again, under a new id, with three
        times the budget, up to the maximum (asynchronous successive halving, Li et al. 2020).
        With neither, ``budget`` is None.

    Raises
    ------
    ConfigError
        When an argument breaks its rule; the rule is named.
    """
    direction = _MODES.get(mode) if isinstance(mode, str) else None
    if direction is None:
        raise ConfigError(f'mode must be "min" or "max", but got {mode!r}.')
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ConfigError(f"seed must be a whole number of at least 0, but got {seed!r}.")
    if not isinstance(space, Mapping):
        raise ConfigError(f"space must map names to parameters, but got {space!r}.")
    budgets = _rungs(min_budget, max_budget)
    plain = any(isinstance(parameter, Mapping) for parameter in space.values())
    checked: Space = spaces.parse(space) if plain else space
    spaces.check(checked)
    kind = searchers.get(algorithm)
    made = kind(checked, mode=direction, generator=np.random.default_rng(int(seed)))
    return AskTell(made, budgets)


def _rungs(low: float | None, high: float | None) -> tuple[float | None, ...]:
    """Return the budgets of the rungs, rising; (None,) without budgets."""
    for name, value in (("min_budget", low), ("max_budget", high)):
        if value is not None and not (_is_number(value) and 0 < value < math.inf):
            raise ConfigError(f"{name} must be a number above 0, but got {value!r}.")
    if high is None:
        if low is not None:
            raise ConfigError(f"min_budget is {low}, but max_budget is missing. Give both.")
        return (None,)
    if low is None:
        return (high,)
    if low > high:
        raise ConfigError(
            f"min_budget must be at most max_budget, but got {low} and {high}. Swap them."
        )
    rungs = [low]
    while rungs[-1] * REDUCTION <= high:
        rungs.append(rungs[-1] * REDUCTION)
    return (*rungs[:-1], high)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


class AskTell:
    """A search that is asked for suggestions and told their values; made by `create`.

    Parameters
    ----------
    searcher : Searcher
    budgets : tuple of float or None
        The rungs' budgets, rising; (None,) for full training only.
    """

    def __init__(self, searcher: Searcher, budgets: tuple[float | None, ...] = (None,)) -> None:
        self._searcher = searcher
        self._budgets = budgets
        self._sign = 1.0 if searcher.mode == "minimize" else -1.0
        self._open: dict[str, tuple[Suggestion, str, int]] = {}
        self._closed: set[str] = set()
        self._rungs: list[dict[str, tuple[float, Suggestion]]] = [{} for _ in budgets]
        self._promoted: list[set[str]] = [set() for _ in budgets]

    @property
    def best(self) -> Result | None:
        """The best final result at the largest budget that has any; None before the first."""
        for rung, budget in zip(reversed(self._rungs), reversed(self._budgets), strict=True):
            if rung:
                loss, made = min(rung.values(), key=lambda item: item[0])
                return Result(made.id, made.config, self._sign * loss, budget)
        return None

    def suggest(self, count: int = 1) -> list[Suggestion]:
        """Return up to ``count`` suggestions, with ``id``, ``config`` and ``budget``.

        Fewer, or none, where the space is exhausted. Raises ConfigError where ``count`` is not a
        whole number of at least 0.
        """
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 0:
            raise ConfigError(f"count must be a whole number of at least 0, but got {count!r}.")
        made: list[Suggestion] = []
        while len(made) < count:
            suggestion = self._promote() or self._start()
            if suggestion is None:
                break
            made.append(suggestion)
        return made

    def observe(
        self,
        id: str,  # noqa: A002 - the name of the suggestion's own field
        value: float | None,
        *,
        budget: float | None = None,
        final: bool = True,
    ) -> None:
        """Tell the value of a suggestion.

        Parameters
        ----------
        id : str
            A suggestion's.
        value : float or None
            In the metric's unit; None, NaN or an infinity is a failure.
        budget : float, optional
            What was spent, where that is not what the suggestion asked for.
        final : bool
            False for a first look, more of which may follow.

        Raises
        ------
        ConfigError
            When the id was never suggested, has its final value already, or the value is not a
            number.
        """
        if id in self._closed:
            raise ConfigError(
                f'"{id}" has its final value already; observe each suggestion once with final=True.'
            )
        if id not in self._open:
            raise ConfigError(f'"{id}" was never suggested. Use the id of a suggestion.')
        if value is not None and not _is_number(value):
            raise ConfigError(f"value must be a number or None, but got {value!r}.")
        number = None if value is None or not math.isfinite(value) else float(value)
        suggestion, base, rung = self._open[id]
        top = rung == len(self._budgets) - 1
        spent = budget if budget is not None else None if top else suggestion.budget
        if final:
            self._closed.add(id)
            del self._open[id]
            if number is not None:
                self._rungs[rung][base] = (self._sign * number, suggestion)
        self._searcher.observe([Result(base, suggestion.config, number, spent, final)])

    def _start(self) -> Suggestion | None:
        for found in self._searcher.suggest(1):
            budget = self._budgets[0] if found.budget is None else found.budget
            return self._opened(Suggestion(found.id, found.config, budget), found.id, 0)
        return None

    def _promote(self) -> Suggestion | None:
        for rung in reversed(range(len(self._budgets) - 1)):
            ranked = sorted(self._rungs[rung].items(), key=lambda item: item[1][0])
            for base, (_, made) in ranked[: len(ranked) // REDUCTION]:
                if base not in self._promoted[rung]:
                    self._promoted[rung].add(base)
                    again = Suggestion(
                        f"{base}-rung-{rung + 1}", made.config, self._budgets[rung + 1]
                    )
                    return self._opened(again, base, rung + 1)
        return None

    def _opened(self, suggestion: Suggestion, base: str, rung: int) -> Suggestion:
        self._open[suggestion.id] = (suggestion, base, rung)
        return suggestion
