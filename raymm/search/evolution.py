"""Regularised (ageing) evolution for discrete, mixed and conditional spaces.

The population is the latest results. Each suggestion is a mutation of the best of a few of them
drawn at random, and the oldest leaves when a new result comes, however good it is: what lasts is
what is found good again by its descendants, so one lucky value cannot hold the search.

Source: Real, Aggarwal, Huang & Le 2019, "Regularized evolution for image classifier architecture
search", Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raymm.artifacts import Categorical, Config, Direction, Float, Parameter, Scalar, Space
from raymm.plugins import searcher
from raymm.search import space as spaces
from raymm.search.one_by_one import Key, OneByOne, rank
from raymm.search.searcher import Result

POPULATION, SAMPLE = 20, 10
"""Results in the population, and how many of them a parent is the best of. The paper's 100 and 25
are for 20,000 evaluations. Of eight pairs tried on the tables of NAS-Bench-201, HPOBench and
HPOLib, with and without noise, these are among the best at both 60 and 200 evaluations."""
AGAIN = 0.1
"""Chance that a mutation is followed by another."""
STEPS = 0.05, 0.3
"""Smallest and largest standard deviation of a number's mutation, as a share of its range."""
TRIES = 8


@searcher("evolution")
class Evolution(OneByOne):
    """Mutates the best of a few of the latest results.

    A mutation changes one active parameter: a choice to any other, a number to one near by, at a
    distance drawn anew on a logarithmic scale. Parameters that become active are drawn evenly.
    Failures are members too, the worst there are, and results of trials stopped early rank below
    those of any trial that was given more.
    """

    def __init__(self, space: Space, *, mode: Direction, generator: np.random.Generator) -> None:
        super().__init__(space, mode=mode, generator=generator)
        self._population: dict[Key, Result] = {}
        self._order = spaces.order(space)
        self._varying = tuple(name for name, entry in space.items() if _varies(entry))

    def observe(self, results: Sequence[Result]) -> None:
        """Let final results into the population; those from outside the space are left out."""
        for result in results:
            if result.final and spaces.contains(self.space, result.config):
                self._seen.add([result.config])
                # A trial that went on with a larger budget is a member once, and young again.
                self._population.pop(spaces.key(result.config), None)
                self._population[spaces.key(result.config)] = result
        while len(self._population) > POPULATION:
            del self._population[next(iter(self._population))]

    def _next(self) -> Config | None:
        return self._seen.fresh(self._draw)

    def _draw(self) -> Config:
        if max(self._count, len(self._population)) < POPULATION or not self._population:
            return spaces.sample(self.space, self.generator)
        members = list(self._population.values())
        size = min(SAMPLE, len(members))
        drawn = self.generator.choice(len(members), size, replace=False).tolist()
        contest = (members[place] for place in drawn)
        return self._mutated(min(contest, key=lambda result: rank(result, self.mode)).config)

    def _mutated(self, config: Config) -> Config:
        child = dict(config)
        while True:
            active = [name for name in self._varying if name in child]
            if not active:
                return child
            name = active[int(self.generator.integers(len(active)))]
            child[name] = self._changed(self.space[name], child[name])
            child = self._completed(child)
            if self.generator.random() >= AGAIN:
                return child

    def _changed(self, parameter: Parameter, value: Scalar) -> Scalar:
        """Return another value of a parameter."""
        if isinstance(parameter, Categorical):
            others = [choice for choice in parameter.choices if repr(choice) != repr(value)]
            return others[int(self.generator.integers(len(others)))]
        assert isinstance(value, int | float)
        at = spaces.place(parameter, value)
        smallest, largest = STEPS
        for _ in range(TRIES):
            step = smallest * (largest / smallest) ** self.generator.random()
            moved = spaces.value_at(parameter, reflected(at + step * self.generator.normal()))
            if moved != value:
                return moved
        if isinstance(parameter, Float):
            return value  # there is no other number so near
        # A whole number of few values, which are far apart on its scale.
        return int(value) + (1 if value < parameter.high else -1)

    def _completed(self, config: Config) -> dict[str, Scalar]:
        """Return the active parameters alone, those without a value drawn evenly."""
        done: dict[str, Scalar] = {}
        for name in self._order:
            if spaces.is_active(name, self.space, done):
                known = name in config
                at = None if known else float(self.generator.random())
                done[name] = config[name] if at is None else spaces.value_at(self.space[name], at)
        return {name: done[name] for name in self.space if name in done}


def reflected(at: float) -> float:
    """Return a coordinate brought back into [0, 1] by mirrors at both ends.

    >>> reflected(-0.25), reflected(1.25), reflected(0.5)
    (0.25, 0.75, 0.5)
    """
    once = abs(at) % 2.0
    return min(once, 2.0 - once)


def _varies(parameter: Parameter) -> bool:
    if isinstance(parameter, Categorical):
        return len(parameter.choices) > 1
    return parameter.low < parameter.high
