"""Tries the best configurations again at a slower rate.

At a third of the learning rate a booster takes three times the rounds and mostly ends a little
better: over three splits of a table of 48,842 rows, 0.02 for 0.05 gave an area under the curve
0.0005 to 0.001 higher. A searcher that learns which rates are good pays three times the time for
each slow trial, most of it for configurations that are no good at any rate. `Slower` lets it
search, and now and then slows the best of what was found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from raymm.artifacts import Config, Float
from raymm.search import space as spaces
from raymm.search.searcher import Result, Searcher, Suggestion

EVERY = 12
"""Trials that end between one slowed configuration and the next."""
FACTOR = 0.4
LEAST = 0.8
"""A rate that cannot fall to this share of what it is stays as it is."""


class Slower(Searcher):
    """Suggests what another searcher suggests, and every `EVERY` trials the best one slowed.

    Parameters
    ----------
    inner : Searcher
        Its space, mode and generator are used. It must not plan budgets itself.
    rates : mapping of family to parameter
        The names in the space; families without one, or with one that is no `Float`, are passed
        over.
    key : str
        The parameter that names the family.
    """

    def __init__(self, inner: Searcher, rates: Mapping[str, str], *, key: str = "family") -> None:
        super().__init__(inner.space, mode=inner.mode, generator=inner.generator)
        self._inner, self._rates, self._key = inner, dict(rates), key
        self._sign = 1.0 if inner.mode == "maximize" else -1.0
        self._tried: list[tuple[float, Config]] = []
        self._known: set[object] = set()
        self._ended = 0
        self._turn = 0
        self._given = 0

    def suggest(self, count: int) -> list[Suggestion]:
        """Return ``count`` configurations; fewer where the other searcher returns fewer."""
        found: list[Suggestion] = []
        if count > 0 and self._ended >= EVERY * (self._turn + 1):
            # what earlier runs tell at once is one turn, however much it is
            self._turn = self._ended // EVERY
            self._given += 1
            made = self._slowed()
            if made is not None:
                found.append(Suggestion(f"slower-{self._given}", made))
                self._inner.expect(found[-1:])
        rest = count - len(found)
        return [*found, *self._inner.suggest(rest)] if rest > 0 else found

    def _slowed(self) -> Config | None:
        """Return the best configuration that can be slowed and was not yet, slowed."""
        for _, config in sorted(self._tried, key=lambda one: -one[0]):
            name = self._rates[str(config[self._key])]
            rate, parameter = float(config[name] or 0.0), self.space[name]
            assert isinstance(parameter, Float)
            slow = max(parameter.low, FACTOR * rate)
            made = {**config, name: slow}
            if slow <= LEAST * rate and spaces.key(made) not in self._known:
                self._known.add(spaces.key(made))
                return made
        return None

    def observe(self, results: Sequence[Result]) -> None:
        """Keep those that were trained whole, and hand all on."""
        for result in results:
            if not result.final:
                continue
            self._ended += 1
            self._known.add(spaces.key(result.config))
            name = self._rates.get(str(result.config.get(self._key)), "")
            rated = name in result.config and isinstance(self.space.get(name), Float)
            whole = rated and result.budget is None
            if result.value is None or not whole or not math.isfinite(result.value):
                continue
            self._tried.append((self._sign * result.value, result.config))
            self._tried = sorted(self._tried, key=lambda one: -one[0])[:EVERY]
        self._inner.observe(results)

    def expect(self, suggestions: Sequence[Suggestion]) -> None:
        """Hand them on."""
        self._known.update(spaces.key(one.config) for one in suggestions)
        self._inner.expect(suggestions)

    def plan(self, *, trials: int | None = None, parallel: int = 1) -> None:
        """Hand it on."""
        self._inner.plan(trials=trials, parallel=parallel)
