"""Spends trials on the families that lead, and looks at the others now and then.

A space over families of models is one conditional space, and a model of it learns which family
leads; but it does not know that a trial of another family may take twenty times as long, and its
curiosity is paid for in time. On a table of 13,900 rows, perceptrons and forests that were a tenth
worse took two thirds of a search of a minute.

`Focus` counts values alone, no seconds, so that a search goes the same way on any machine. A family
is *behind* when the best that it has reached, after at least `LEAST` trials, is worse than the
median of the leading family's trials. A family that is behind gets one trial in `REST`; of each
other suggestion of it the searcher is told that it came to the family's median so far, and it is
asked again; where it insists, a configuration is drawn from the families that are not behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from raymm.search.searcher import Result, Searcher, Suggestion
from raymm.search.space import sample

LEAST = 2
LEADING = 4
"""Trials of the leading family from which its median counts."""
REST = 20
TRIES = 8
"""Suggestions in a row that are passed over at most."""
_DRAWS = 200


class Focus(Searcher):
    """Passes most suggestions over that belong to families that are behind.

    Parameters
    ----------
    inner : Searcher
        Its space, mode and generator are used. It must not plan budgets itself.
    key : str
        The parameter that names the family.
    """

    def __init__(self, inner: Searcher, *, key: str = "family") -> None:
        super().__init__(inner.space, mode=inner.mode, generator=inner.generator)
        self._inner, self._key = inner, key
        self._sign = 1.0 if inner.mode == "maximize" else -1.0
        self._values: dict[str, list[float]] = {}
        self._failed: dict[str, int] = {}
        self._given: dict[str, int] = {}

    def suggest(self, count: int) -> list[Suggestion]:
        """Return ``count`` configurations; fewer where the other searcher returns fewer."""
        found: list[Suggestion] = []
        while len(found) < count:
            one = self._next()
            if one is None:
                break
            found.append(one)
        return found

    def _next(self) -> Suggestion | None:
        for _ in range(TRIES):
            asked = self._inner.suggest(1)
            if not asked:
                return None
            (one,) = asked
            family = str(one.config.get(self._key))
            given = self._given.get(family, 0)
            if given * REST <= sum(self._given.values()) or not self.behind(family):
                return self._counted(one)
            known = self._values.get(family)
            told = None if not known else self._sign * median(known)
            self._inner.observe([Result(one.id, one.config, told)])
        return self._counted(self._drawn(one))

    def _drawn(self, last: Suggestion) -> Suggestion:
        """Return a configuration of a family that is not behind; ``last`` where none is met."""
        for _ in range(_DRAWS):
            config = sample(self.space, self.generator)
            if not self.behind(str(config.get(self._key))):
                made = Suggestion(f"focus-{sum(self._given.values())}", config)
                self._inner.expect([made])
                return made
        return last

    def _counted(self, one: Suggestion) -> Suggestion:
        family = str(one.config.get(self._key))
        self._given[family] = self._given.get(family, 0) + 1
        return one

    def behind(self, family: str) -> bool:
        """Whether a family's best is worse than the median of the leading family's trials."""
        tried = self._values.get(family, [])
        if len(tried) + self._failed.get(family, 0) < LEAST or not self._values:
            return False
        leading = max(self._values.values(), key=max)
        if len(leading) < LEADING or leading is tried:
            return False
        return not tried or max(tried) < median(leading)

    def observe(self, results: Sequence[Result]) -> None:
        """Count the final ones by their families, and hand all on."""
        for result in results:
            family = str(result.config.get(self._key))
            if result.value is None:
                self._failed[family] = self._failed.get(family, 0) + result.final
            elif result.final:
                self._values.setdefault(family, []).append(self._sign * result.value)
        self._inner.observe(results)

    def expect(self, suggestions: Sequence[Suggestion]) -> None:
        """Count them and hand them on."""
        for one in suggestions:
            family = str(one.config.get(self._key))
            self._given[family] = self._given.get(family, 0) + 1
        self._inner.expect(suggestions)

    def plan(self, *, trials: int | None = None, parallel: int = 1) -> None:
        """Hand it on."""
        self._inner.plan(trials=trials, parallel=parallel)
