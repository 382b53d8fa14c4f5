"""Search with several objectives: ask and tell, and stopping early.

>>> from raymm.search import Float
>>> search = Several({"x": Float(0, 2)}, objectives={"a": "min", "b": "min"}, algorithm="random")
>>> for suggestion in search.suggest(8):
...     x = suggestion.config["x"]
...     search.observe(suggestion.id, {"a": x**2, "b": (x - 2) ** 2})
>>> len(search.front())
8

What is suggested comes from `raymm.search.parego`, which turns any searcher for one objective
into one for several.

Source of the halving: Schmucker, Donini, Zafar, Salinas & Archambeau 2021, "Multi-objective
asynchronous successive halving".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from raymm.artifacts import Config
from raymm.errors import ConfigError
from raymm.search import pareto
from raymm.search import space as spaces
from raymm.search.goals import Bounds, Goals, Values, broken, numbers_of
from raymm.search.halving import Halving
from raymm.search.parego import Parego
from raymm.search.searcher import Result, Suggestion


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """A configuration that was tried, and what it gave."""

    id: str
    config: Config
    values: Values
    budget: float | None = None


class Several:
    """A search with several objectives to ask and tell.

    Parameters
    ----------
    space : mapping
        Of names to `Float`, `Int` or `Categorical`, or to what a space file holds for them.
    objectives : mapping of str to "min" or "max"
    constraints : mapping of str to (low, high), optional
        Bounds, either of them None, on objectives or on further values.
    algorithm : str
        A registered searcher for one objective; see `raymm.search.parego`.
    seed : int
        At least 0. The same seed, suggestions and observations give the same search.

    Raises
    ------
    ConfigError
        When an argument breaks its rule; the rule is named.
    """

    def __init__(
        self,
        space: Mapping[str, Any],
        *,
        objectives: Mapping[str, str],
        constraints: Mapping[str, Bounds] | None = None,
        algorithm: str = "gp",
        seed: int = 0,
    ) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise ConfigError(f"seed must be a whole number of at least 0, but got {seed!r}.")
        if not isinstance(space, Mapping):
            raise ConfigError(f"space must map names to parameters, but got {space!r}.")
        plain = any(isinstance(parameter, Mapping) for parameter in space.values())
        self.goals = Goals(objectives=objectives, constraints=constraints or {})
        self._searcher = Parego(
            spaces.parse(space) if plain else space,
            mode="minimize",
            generator=np.random.default_rng(int(seed)),
            goals=self.goals,
            algorithm=algorithm,
        )
        self._open: dict[str, Suggestion] = {}
        self._done: dict[str, Solution | None] = {}

    def suggest(self, count: int = 1) -> list[Suggestion]:
        """Return up to ``count`` suggestions, with ``id`` and ``config``; fewer where exhausted.

        Raises ConfigError where ``count`` is not a whole number of at least 0.
        """
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 0:
            raise ConfigError(f"count must be a whole number of at least 0, but got {count!r}.")
        made = self._searcher.suggest(int(count))
        self._open.update((suggestion.id, suggestion) for suggestion in made)
        # The caller may change what it gets.
        return [replace(suggestion, config=dict(suggestion.config)) for suggestion in made]

    def observe(
        self,
        id: str,  # noqa: A002 - the name of the suggestion's own field
        values: Values | None,
        *,
        budget: float | None = None,
        final: bool = True,
    ) -> None:
        """Tell what a suggestion gave.

        Parameters
        ----------
        values : mapping of str to float, or None
            Every objective and constrained value by name, more are allowed; None, or one that is
            missing its number (None, NaN, an infinity), is a failure.
        budget : float, optional
            What was spent where that was less than full training; such a result counts for less
            with the searcher, and is not in the front.
        final : bool
            False for a first look, which is passed over.

        Raises
        ------
        ConfigError
            When the id was never suggested or has its values already, or a name is missing.
        """
        if id in self._done:
            raise ConfigError(f'"{id}" has its values already; observe each suggestion once.')
        if id not in self._open:
            raise ConfigError(f'"{id}" was never suggested. Use the id of a suggestion.')
        known = numbers_of(values, self.goals.names)
        if not final:
            return
        suggestion = self._open.pop(id)
        given = known if self.goals.complete(known) else None
        self._searcher.observe([Result(id, suggestion.config, None, budget, values=given)])
        self._done[id] = (
            None
            if given is None
            else Solution(id=id, config=dict(suggestion.config), values=given, budget=budget)
        )

    def solutions(self) -> list[Solution]:
        """Return what was tried in full, did not fail and breaks no constraint, in order."""
        whole = [one for one in self._done.values() if one is not None and one.budget is None]
        return [one for one in whole if not self.goals.violations(one.values).any()]

    def front(self) -> list[Solution]:
        """Return the solutions that no other dominates, in the order of the first objective."""
        found = self.solutions()
        losses = [self.goals.losses(one.values) for one in found]
        best = [one for one, kept in zip(found, pareto.front(losses), strict=True) if kept]
        return sorted(best, key=lambda one: tuple(self.goals.losses(one.values)))

    def hypervolume(self, reference: Values) -> float:
        """Return the volume that the front dominates, down to a reference value of each objective.

        Raises ConfigError where an objective has no reference.
        """
        corner = numbers_of(reference, tuple(self.goals.objectives)) or {}
        losses = [self.goals.losses(one.values) for one in self.front()]
        return pareto.hypervolume(losses, self.goals.losses(corner))


class SeveralHalving:
    """Asynchronous successive halving for several objectives.

    A trial goes on where it is among the best 1/``reduction`` of those that reached the rung so
    far, by non-dominated rank under the constraints and then by how little crowded it is
    (Schmucker et al. 2021). Everything else is as in `raymm.search.halving.Halving`.

    Parameters
    ----------
    goals : Goals
    minimum, reduction : int
        As in `Halving`.
    """

    several = True
    """It judges values by name; see `raymm.search.session.Scheduler`."""

    def __init__(self, goals: Goals, *, minimum: int, reduction: int = 3) -> None:
        self.goals = goals
        self._ladder = Halving("minimize", minimum=minimum, reduction=reduction)
        self._rungs: dict[tuple[str, int], dict[str, Values]] = {}

    def decide(self, trial_id: str, budget: int, values: Values, *, group: str = "") -> bool:
        """Record values and say whether the trial should go on; see `Halving.decide`.

        A trial that lacks an objective or a constrained value stops and is not recorded.
        """
        if not self.goals.complete(values):
            return False
        number = self._ladder.rung(budget)
        if number is None:
            return True
        known = self._rungs.setdefault((group, number), {})
        if trial_id in known:
            return True
        known[trial_id] = dict(values)
        if len(known) < self._ladder.reduction:
            return True
        losses = [self.goals.losses(one) for one in known.values()]
        violation = broken([self.goals.violations(one) for one in known.values()])
        best = pareto.order(losses, violation)[: math.ceil(len(known) / self._ladder.reduction)]
        # The newest is the last; one equal to a kept one goes on as that one does.
        newest = losses[-1], violation[-1]
        return any(
            i == len(known) - 1
            or (np.array_equal(losses[i], newest[0]) and violation[i] == newest[1])
            for i in best
        )
