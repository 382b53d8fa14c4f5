"""Strong configurations first, then another algorithm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from raymm.artifacts import Config
from raymm.search import space as spaces
from raymm.search.searcher import Result, Searcher, Suggestion


class Portfolio(Searcher):
    """Suggests given configurations in their order, then what another searcher suggests.

    The other searcher learns from the results of the given ones too. A given configuration that
    lies outside the space is brought to the nearest point of it (`raymm.search.space.nearest`);
    one without such a point, and repetitions, are left out.

    Parameters
    ----------
    inner : Searcher
        Its space, mode and generator are used.
    configs : sequence of configurations
        The best known one first.
    """

    def __init__(self, inner: Searcher, configs: Sequence[Config]) -> None:
        super().__init__(inner.space, mode=inner.mode, generator=inner.generator)
        self._inner = inner
        near = [spaces.nearest(inner.space, config) for config in configs]
        unique: Mapping[object, Config] = {spaces.key(c): c for c in near if c is not None}
        self._given = [
            Suggestion(f"portfolio-{number}", config)
            for number, config in enumerate(unique.values())
        ]

    def suggest(self, count: int) -> list[Suggestion]:
        """Return ``count`` configurations; fewer where the other searcher returns fewer."""
        first, self._given = self._given[:count], self._given[count:]
        if first:
            self._inner.expect(first)
        rest = count - len(first)
        return [*first, *self._inner.suggest(rest)] if rest > 0 else first

    def observe(self, results: Sequence[Result]) -> None:
        """Hand the results on."""
        self._inner.observe(results)

    def expect(self, suggestions: Sequence[Suggestion]) -> None:
        """Do not suggest these, here or in the other searcher."""
        known = {spaces.key(suggestion.config) for suggestion in suggestions}
        self._given = [s for s in self._given if spaces.key(s.config) not in known]
        self._inner.expect(suggestions)

    def plan(self, *, trials: int | None = None, parallel: int = 1) -> None:
        """Hand it on."""
        self._inner.plan(trials=trials, parallel=parallel)
