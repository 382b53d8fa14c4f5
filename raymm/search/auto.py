"""The algorithm for those who do not want to choose one: several that share what they learn.

A space of at most `SMALL` configurations is tried whole. Any other is searched by a Gaussian
process and a multivariate Parzen estimator and, for what the two leave, by a strategy that costs
next to nothing: CMA-ES where most parameters are numbers and none is conditional, ageing
evolution where they are choices or hang on each other. Every result goes to all of them. Their
failings differ: the process misjudges plateaus and ragged functions on which the densities do
well, and is far ahead of them on smooth ones.

Turns are shared by credit (Fialho, Da Costa, Schoenauer & Sebag 2010, "Analyzing bandit-based
adaptive operator selection mechanisms"): the rate at which an algorithm's latest suggestions were
better than all before them. The process's share falls with the number of results, so that the
time a suggestion takes falls as well, and the densities' with how many trials run at once.

What a budget buys shows in the shares as results come. Told the number of trials beforehand, a
search does no better with a shorter design: the mean regret after 8, 12 and 20 evaluations is
1.06, 0.84 and 0.55 with the process's own and 1.07, 0.84 and 0.61 with the best shorter one (14
problems, 6 to 10 seeds). Trials of several budgets climb as `raymm.search.promotion` says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raymm.artifacts import Categorical, Direction, Space
from raymm.plugins import searcher, searchers
from raymm.search import space as spaces
from raymm.search.lattice import size
from raymm.search.ordered import Ordered
from raymm.search.searcher import Result, Searcher, Suggestion

SMALL = 30
"""Spaces of at most this many configurations are tried whole."""

START = 10
"""Suggestions at the start, all by the Gaussian process: its quasi-random design."""

LATE = 100
"""Results from which the third algorithm takes turns where nothing is conditional: it learns by
generations, and few evaluations are better spent by the models (35 problems of
``tests/benchmarks/bench_search.py``, 60 evaluations, 4 seeds: a mean regret of 0.30 of random
search's without it, 0.32 with it)."""

MODEL, DENSITY = "gp", "parzen"
BASES = {MODEL: 1.0, DENSITY: 2.0, "cmaes": 0.3, "evolution": 1.0}
"""What each algorithm is credited with in advance, in improvements out of `ADVANCE` tries. The
densities have twice the process's share until it earns more, which it does at once where it fits
(35 problems as above, 60 evaluations: a mean regret of 0.26 so, 0.30 with equal shares). Where
parameters are conditional all are credited with `EQUAL` (six tables joined as families, 120
evaluations, 6 seeds: a mean gap of 0.04 so, 0.07 with these; hyperopt's estimator 0.05)."""

WIDE = 8
"""Trials at once up to which the densities keep that advance; beyond, it falls as their inverse.
Credit comes only with results, and of dozens of suggestions made without any the process's are
far better spread. (64 at once, 192 evaluations, medians of two seeds: a gap of 4 by the process
alone and 456 by the densities on Rosenbrock's function, 15 and 41 on Rastrigin's, 222 and 597 on
the sharp ridge. The mix's own, four seeds: 28 with a fixed advance and 6 so on Rosenbrock's, 357
and 269 on the sharp ridge, 26 and 28 on Rastrigin's.)"""

EQUAL = 1.0
ADVANCE = 2.0
MEMORY = 0.95
"""Earlier tries and improvements count this much less with each new one."""

LEAST = 0.15
"""Every algorithm has at least this share of the share of the best one."""

AFFORDED = 400
"""Results up to which the Gaussian process keeps its full share; it falls as their inverse."""


@dataclass(slots=True)
class _Member:
    """One of the algorithms, with its record."""

    searcher: Searcher
    base: float
    recent: float = 0.0
    tries: float = 0.0
    wins: float = 0.0

    def credit(self, advance: float) -> float:
        """Return the improvements to expect of a try, with so much of what is given in advance."""
        return (self.wins + advance * self.base) / (self.tries + ADVANCE)


@searcher("auto")
class Auto(Searcher):
    """Grid search where the whole space is small, else several algorithms that take turns.

    Choices among three or more numbers are searched in their order (`raymm.search.ordered`). One
    number is drawn from the generator at construction for each algorithm, none afterwards.
    """

    def __init__(self, space: Space, *, mode: Direction, generator: np.random.Generator) -> None:
        spaces.check(space)
        super().__init__(space, mode=mode, generator=generator)
        self._view = Ordered(space)
        self._members: dict[str, _Member] = {}
        plain = _plain(space)
        for name in _names(space):
            own = np.random.default_rng(int(generator.integers(2**62)))
            made = searchers.get(name)(self._view.space, mode=mode, generator=own)
            self._members[name] = _Member(made, BASES.get(name, EQUAL) if plain else EQUAL)
        self._late = LATE if plain else 0
        self._turns: dict[str, str] = {}
        self._parallel = 1
        self._told = 0
        self._best = math.inf

    def suggest(self, count: int) -> list[Suggestion]:
        """Return ``count`` new configurations; fewer where a finite space is exhausted."""
        made: list[Suggestion] = []
        while len(made) < count:
            turn = self._turn()
            found = self._members[turn].searcher.suggest(1)
            if not found:
                break
            self._note(turn, found)
            made += [Suggestion(s.id, self._view.outward(s.config)) for s in found]
        return made

    def observe(self, results: Sequence[Result]) -> None:
        """Learn from final results, and credit whoever suggested them."""
        for result in results:
            if result.final:
                self._credit(result)
        seen = [
            Result(r.id, self._view.inward(r.config), r.value, r.budget, r.final) for r in results
        ]
        for member in self._members.values():
            member.searcher.observe(seen)

    def expect(self, suggestions: Sequence[Suggestion]) -> None:
        """Do not suggest these."""
        seen = [Suggestion(s.id, self._view.inward(s.config), s.budget) for s in suggestions]
        for member in self._members.values():
            member.searcher.expect(seen)

    def plan(self, *, trials: int | None = None, parallel: int = 1) -> None:
        """Take note of how many trials run at once; more are counted where more are open."""
        self._parallel = parallel
        for member in self._members.values():
            member.searcher.plan(trials=trials, parallel=parallel)

    def _turn(self) -> str:
        """Return whose turn it is: the one furthest behind the share that its credit earns."""
        first = next(iter(self._members))
        if len(self._members) == 1 or self._told < START:
            return first
        members = dict(list(self._members.items())[: 2 if self._told < self._late else None])
        crowd = max(self._parallel, len(self._turns) + 1)
        known = {
            name: member.credit(min(1.0, WIDE / crowd) if name == DENSITY else 1.0)
            for name, member in members.items()
        }
        top = max(known.values())
        best, turn = math.inf, first
        for name, member in members.items():
            share = max(known[name], LEAST * top)
            if name == MODEL:
                share *= min(1.0, AFFORDED / self._told)
            behind = (member.recent + 0.5) / share
            if behind < best:
                best, turn = behind, name
        return turn

    def _note(self, turn: str, found: Sequence[Suggestion]) -> None:
        self._turns[found[0].id] = turn
        for name, member in self._members.items():
            member.recent *= MEMORY
            if name != turn:
                member.searcher.expect(found)
        self._members[turn].recent += 1.0

    def _credit(self, result: Result) -> None:
        self._told += 1
        turn = self._turns.pop(result.id, None)
        sign = 1.0 if self.mode == "minimize" else -1.0
        known = result.value is not None and math.isfinite(result.value) and result.budget is None
        loss = sign * float(result.value) if known else math.inf  # type: ignore[arg-type]
        if turn is not None and self._told > START:
            for member in self._members.values():
                member.tries *= MEMORY
                member.wins *= MEMORY
            self._members[turn].tries += 1.0
            self._members[turn].wins += loss < self._best
        self._best = min(self._best, loss)


def _names(space: Space) -> tuple[str, ...]:
    """Return the algorithms for a space, the first of which makes the design."""
    if size(space, SMALL) is not None:
        return ("grid",)
    numbers = sum(not isinstance(parameter, Categorical) for parameter in space.values())
    third = "cmaes" if _plain(space) and 2 * numbers > len(space) else "evolution"
    return (MODEL, DENSITY, third)


def _plain(space: Space) -> bool:
    """Say whether no parameter is conditional."""
    return not any(parameter.when for parameter in space.values())
