"""Several objectives by any searcher for one (ParEGO).

For each suggestion all results are scored anew by one number each, a fresh searcher for one
objective is told those scores, and it is asked once. A model of the value (the Gaussian process)
is told the augmented Tchebycheff function under weights drawn for this suggestion: different
weights look at different parts of the front, so it is approached everywhere. An algorithm that
only compares results (the Parzen estimator) is told their places by front and crowding. An
algorithm that goes on from its own suggestions alone learns nothing this way.

Measured (`tests/benchmarks/bench_pareto.py`, 100 evaluations): on ZDT1 the Gaussian process finds
0.997 of the hypervolume by Tchebycheff and 0.93 by places, the Parzen estimator 0.63 and 0.85.

Source: Knowles 2006, "ParEGO: a hybrid algorithm with on-line landscape approximation for
expensive multiobjective optimization problems", with any searcher in the place of its Gaussian
process, and weights drawn evenly from the simplex instead of from a lattice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from raymm.artifacts import Direction, Space
from raymm.errors import ConfigError
from raymm.plugins import searchers
from raymm.search import space as spaces
from raymm.search.goals import Goals, Values, Vector, broken, places, tchebycheff
from raymm.search.searcher import Result, Searcher, Suggestion

Scoring = Literal["tchebycheff", "rank"]


class Parego(Searcher):
    """Several objectives by a searcher for one, which is made anew for each suggestion.

    Results carry their numbers in `Result.values`; where ``goals`` has one objective alone, the
    value itself does. A result that lacks one of them, or has one that is not finite, is a
    failure. ``mode`` has no say where there are several objectives.

    Parameters
    ----------
    goals : Goals
    algorithm : str
        A registered searcher's name; one that plans budgets itself is refused.
    scoring : "tchebycheff" or "rank", optional
        What the algorithm is told; by default the former for "gp" and the latter for all others.

    Raises
    ------
    ConfigError
        When the algorithm is not known, or plans budgets.
    """

    def __init__(
        self,
        space: Space,
        *,
        mode: Direction,
        generator: np.random.Generator,
        goals: Goals,
        algorithm: str = "gp",
        scoring: Scoring | None = None,
    ) -> None:
        spaces.check(space)
        super().__init__(space, mode=mode, generator=generator)
        self._kind = searchers.get(algorithm)
        if self._kind.multi_fidelity:
            raise ConfigError(
                f"{algorithm} plans budgets for one objective and cannot search several. "
                'Use another algorithm, such as "gp" or "tpe".'
            )
        self.goals = goals
        self._ranked = (scoring or ("tchebycheff" if algorithm == "gp" else "rank")) == "rank"
        self._pending: dict[str, Suggestion] = {}
        self._results: list[Result] = []
        self._count = 0

    def suggest(self, count: int) -> list[Suggestion]:
        """Return ``count`` new configurations; fewer where a finite space is exhausted."""
        made: list[Suggestion] = []
        while len(made) < count:
            found = self._inner().suggest(1)
            if not found:
                break
            suggestion = Suggestion(f"parego-{self._count}", found[0].config, found[0].budget)
            self._pending[suggestion.id] = suggestion
            self._count += 1
            made.append(suggestion)
        return made

    def observe(self, results: Sequence[Result]) -> None:
        """Learn from final results; first looks are passed over."""
        for result in results:
            if result.final:
                self._pending.pop(result.id, None)
                self._results.append(result)

    def expect(self, suggestions: Sequence[Suggestion]) -> None:
        """Do not suggest these."""
        self._pending.update((suggestion.id, suggestion) for suggestion in suggestions)

    def _inner(self) -> Searcher:
        """Return a searcher that has been told a score of every result."""
        seed = int(self.generator.integers(2**63))
        weights = self.generator.dirichlet(np.ones(len(self.goals.objectives)))
        inner = self._kind(self.space, mode="minimize", generator=np.random.default_rng(seed))
        inner.observe(self._scored(weights))
        inner.expect(list(self._pending.values()))
        return inner

    def _scored(self, weights: Vector) -> list[Result]:
        given = [self._values(result) for result in self._results]
        whole = [values for values in given if values is not None]
        if not whole:
            return [Result(r.id, r.config, None, r.budget) for r in self._results]
        losses = np.array([self.goals.losses(values) for values in whole])
        violation = broken([self.goals.violations(values) for values in whole])
        found = (
            places(losses, violation) if self._ranked else tchebycheff(losses, weights, violation)
        )
        scores = iter(found.tolist())
        return [
            Result(r.id, r.config, None if values is None else next(scores), r.budget)
            for r, values in zip(self._results, given, strict=True)
        ]

    def _values(self, result: Result) -> Values | None:
        values = result.values
        if values is None and len(self.goals.names) == 1 and result.value is not None:
            values = {self.goals.names[0]: result.value}
        return values if self.goals.complete(values) else None
