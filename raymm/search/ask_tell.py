"""Search by asking and telling, for loops of one's own: no Ray, no files, no threads.

>>> from raymm.search import Float, create
>>> search = create("random", {"x": Float(-1, 1)}, seed=0, mode="min")
>>> for _ in range(20):
...     for suggestion in search.suggest(1):
...         search.observe(suggestion.id, suggestion.config["x"] ** 2)
>>> search.best.value < 0.1
True

With budgets an id comes again with a larger one where it is worth going on:

>>> search = create("bohb", {"x": Float(-1, 1)}, seed=0, mode="min", min_budget=1, max_budget=9)
>>> for _ in range(40):
...     for suggestion in search.suggest(1):
...         search.observe(suggestion.id, suggestion.config["x"] ** 2 + 1 / suggestion.budget)
>>> search.best.budget
9
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from raymm.artifacts import Direction, Space
from raymm.errors import ConfigError
from raymm.plugins import searchers
from raymm.search import space as spaces
from raymm.search.asha import Ladder
from raymm.search.promotion import Promoting, rungs
from raymm.search.searcher import Result, Searcher, Suggestion

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
        A registered searcher's name, such as auto, random, tpe, asha or bohb, or a plug-in's.
    space : mapping
        Of names to `Float`, `Int` or `Categorical`, or to what a space file holds for them.
    seed : int
        At least 0. The same seed, suggestions and observations give the same search.
    mode : str
        "min", "minimize", "max" or "maximize".
    min_budget, max_budget : float, optional
        Of one trial, in any unit: epochs, rounds, rows. Multi-fidelity methods (asha, hyperband,
        bohb) need both and plan the budgets between them. With both, any other method's
        suggestions start at the minimum, and the best third of each rung is suggested again,
        under the same id, with about three times the budget, up to the maximum (asynchronous
        successive halving, Li et al. 2020). With a maximum only, every suggestion has that
        budget; with neither, ``budget`` is None.

    Raises
    ------
    ConfigError
        When an argument breaks its rule; the rule is named.
    """
    if not isinstance(algorithm, str):
        raise ConfigError(f"algorithm must be a searcher's name, but got {algorithm!r}.")
    direction = _MODES.get(mode) if isinstance(mode, str) else None
    if direction is None:
        raise ConfigError(f'mode must be "min" or "max", but got {mode!r}.')
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ConfigError(f"seed must be a whole number of at least 0, but got {seed!r}.")
    if not isinstance(space, Mapping):
        raise ConfigError(f"space must map names to parameters, but got {space!r}.")
    _check_budgets(min_budget, max_budget)
    plain = any(isinstance(parameter, Mapping) for parameter in space.values())
    checked: Space = spaces.parse(space) if plain else space
    spaces.check(checked)
    kind = searchers.get(algorithm)
    options = {"mode": direction, "generator": np.random.default_rng(int(seed))}
    made = _searcher(kind, checked, options, (min_budget, max_budget))
    return AskTell(made, max_budget)


def _searcher(
    kind: type[Searcher],
    space: Space,
    options: Mapping[str, Any],
    budgets: tuple[float | None, float | None],
) -> Searcher:
    low, high = budgets
    if kind.multi_fidelity:
        for name, value, other in (("min_budget", low, high), ("max_budget", high, low)):
            if value is None:
                known = "neither is given" if other is None else f"{name} is missing"
                raise ConfigError(
                    f'"{kind.name}" plans budgets itself and needs min_budget and max_budget, '
                    f"but {known}. Give both, such as min_budget=1, max_budget=27."
                )
        made: Any = kind
        planned: Searcher = made(space, min_budget=low, max_budget=high, **options)
        return planned
    inner = kind(space, **options)
    if low is None or high is None:
        return inner
    return Promoting(inner, Ladder(rungs(low, high)), rungs(low, high))


def _check_budgets(low: float | None, high: float | None) -> None:
    """Check each budget that is given, and both together."""
    for name, value in (("min_budget", low), ("max_budget", high)):
        if value is not None and not (_is_number(value) and 0 < value < math.inf):
            raise ConfigError(f"{name} must be a number above 0, but got {value!r}.")
    if low is not None and high is None:
        raise ConfigError(f"min_budget is {low}, but max_budget is missing. Give both.")
    if low is not None and high is not None:
        rungs(low, high)


def _finite(value: float) -> float | None:
    """Return a number as a float; None where it is not finite, or too large to be one."""
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


class AskTell:
    """A search that is asked for suggestions and told their values; made by `create`.

    Parameters
    ----------
    searcher : Searcher
    budget : float, optional
        What is asked for where the searcher names no budget; None is full training.
    """

    def __init__(self, searcher: Searcher, budget: float | None = None) -> None:
        self._searcher = searcher
        self._budget = budget
        self._sign = 1.0 if searcher.mode == "minimize" else -1.0
        self._open: dict[str, Suggestion] = {}
        self._closed: dict[str, float | None] = {}
        self._best: Result | None = None

    @property
    def searcher(self) -> Searcher:
        """The algorithm itself, to look at."""
        return self._searcher

    @property
    def best(self) -> Result | None:
        """The best final result at the largest budget that has any; None before the first."""
        # The caller may change what it gets.
        return self._best and replace(self._best, config=dict(self._best.config))

    def suggest(self, count: int = 1) -> list[Suggestion]:
        """Return up to ``count`` suggestions, with ``id``, ``config`` and ``budget``.

        A multi-fidelity method may suggest an id again with a larger budget: that trial goes on
        where it stood, or, where ``parent`` names another id, from that one's last checkpoint and
        with the configuration given (only "pbt" does so). What has no final value yet is never
        waited for. Fewer suggestions, or none, are returned where the space is exhausted.

        Raises
        ------
        ConfigError
            When ``count`` is not a whole number of at least 0.
        """
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 0:
            raise ConfigError(f"count must be a whole number of at least 0, but got {count!r}.")
        made: list[Suggestion] = []
        for found in self._searcher.suggest(int(count)):
            asked = found if found.budget is not None else replace(found, budget=self._budget)
            self._open[asked.id] = asked
            # The caller may change what it gets.
            made.append(replace(asked, config=dict(asked.config)))
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
            What was spent in all on this id, where that is not what the suggestion asked for.
        final : bool
            False for a first look, more of which may follow. After the final value at one budget
            the id may be suggested again with a larger one, and is then told again.

        Raises
        ------
        ConfigError
            When the id was never suggested, has the final value of what was asked for already, or
            a number is none.
        """
        asked = self._asked(id)
        if value is not None and not _is_number(value):
            raise ConfigError(f"value must be a number or None, but got {value!r}.")
        if budget is not None and not (_is_number(budget) and 0 < budget < math.inf):
            raise ConfigError(f"budget must be a number above 0 or None, but got {budget!r}.")
        number = None if value is None else _finite(value)
        spent = asked.budget if budget is None else budget
        if self._budget is not None and spent is not None:
            spent = min(spent, self._budget)  # more than the maximum counts as the maximum
        result = Result(id, asked.config, number, spent, final)
        if final:
            del self._open[id]
            self._closed[id] = asked.budget
            self._keep(result)
        if asked.budget is not None and asked.budget == self._budget == spent:
            result = replace(result, budget=None)  # a maximum alone: all are trained in full
        self._searcher.observe([result])

    def _asked(self, name: str) -> Suggestion:
        if not isinstance(name, str):
            raise ConfigError(f"id must be a suggestion's, but got {name!r}.")
        if name in self._open:
            return self._open[name]
        if name in self._closed:
            budget = self._closed[name]
            at = "" if budget is None else f" at budget {budget}"
            raise ConfigError(
                f'"{name}" has its final value already{at}; observe it once with final=True, and '
                "again only after it is suggested again."
            )
        raise ConfigError(f'"{name}" was never suggested. Use the id of a suggestion.')

    def _keep(self, result: Result) -> None:
        if result.value is None:
            return
        known = self._best
        if known is None or self._rank(result) < self._rank(known):
            self._best = result

    def _rank(self, result: Result) -> tuple[float, float]:
        assert result.value is not None
        spent = math.inf if result.budget is None else result.budget
        return (-spent, self._sign * result.value)
