"""Covariance matrix adaptation, by the library cmaes, asked and told, restarted as it converges.

Numbers alone are searched by CMA-ES in their unit coordinates. Where there are choices, or whole
numbers of few values, CatCMA with margin searches all of them together: its margin keeps every
whole number and choice within reach. Conditions are passed over: an inactive parameter keeps its
coordinate in the model and has no say in the value. Both algorithms go by order alone, so what
they are told is each result's rank in its generation.

Sources: Hansen & Ostermeier 2001, "Completely derandomized self-adaptation in evolution
strategies"; Auger & Hansen 2005, "A restart CMA evolution strategy with increasing population
size"; Hamano, Uchida, Shirakawa et al. 2025, "CatCMA with margin".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Categorical, Config, Direction, Int, Parameter, Space
from raymm.plugins import searcher
from raymm.search import space as spaces
from raymm.search.one_by_one import OneByOne, Rank, rank
from raymm.search.searcher import Result, Suggestion
from raymm.search.seen import mark

Vector = npt.NDArray[np.float64]

STEP = 1.0 / 6.0
"""The first standard deviation, as a share of each range: the bounds are three of them away."""

FEW = 64
"""Whole numbers of more values than this are searched as real ones."""

STALLED = 64
"""Draws in a row that bring nothing new after which the search starts anew elsewhere."""

LARGEST = 8
"""Restarts double the population this many times at most relative to the first."""


@searcher("cmaes")
class CmaEs(OneByOne):
    """Moves a normal distribution to where results are good, generation by generation.

    Results count towards a generation as they come, whatever their order. A configuration drawn
    again takes its known value without another trial. Results of earlier runs and of others set
    where the search starts. Failures rank last in their generation, and trials stopped early
    below those that were given more. One number a (re)start is drawn from the generator, and
    more where a finite space is all but exhausted.
    """

    def __init__(self, space: Space, *, mode: Direction, generator: np.random.Generator) -> None:
        super().__init__(space, mode=mode, generator=generator)
        self._coordinates = _Coordinates(space)
        self._optimizer: Any = None
        self._starts = 0
        self._open: dict[str, tuple[Any, Any]] = {}
        self._generation: list[tuple[Any, Rank]] = []
        self._known: dict[int, Rank] = {}
        self._best: tuple[Rank, Config] | None = None
        self._point: Any = None

    def observe(self, results: Sequence[Result]) -> None:
        """Learn from final results, in any order, of this run or of earlier ones."""
        for result in results:
            if not result.final or not spaces.contains(self.space, result.config):
                continue
            self._seen.add([result.config])
            reached = rank(result, self.mode)
            self._known[mark(result.config)] = reached
            if not reached[0] and (self._best is None or reached < self._best[0]):
                self._best = reached, result.config
            optimizer, point = self._open.pop(result.id, (None, None))
            if optimizer is not None and optimizer is self._optimizer:
                self._tell(point, reached)

    def _next(self) -> Config | None:
        self._point = None
        if self._coordinates.empty:
            return self._seen.fresh(self._sample)
        if self._optimizer is None:
            self._start()
        for _ in range(STALLED):
            point = self._optimizer.ask()
            config = self._coordinates.config(point)
            if config not in self._seen:
                self._seen.add([config])
                self._point = point
                return config
            known = self._known.get(mark(config))
            if known is not None:
                self._tell(point, known)
        self._optimizer = None
        return self._seen.fresh(self._sample)

    def _await(self, suggestion: Suggestion) -> None:
        if self._point is not None:
            self._open[suggestion.id] = (self._optimizer, self._point)
            self._point = None

    def _sample(self) -> Config:
        return spaces.sample(self.space, self.generator)

    def _start(self) -> None:
        """Begin at the best result so far the first time, and anywhere afterwards."""
        rng = np.random.default_rng(int(self.generator.integers(2**31)))
        mean = np.full(len(self.space), 0.5)
        if self._starts:
            mean = rng.random(len(self.space))
        elif self._best is not None:
            mean = spaces.unit(self.space, self._best[1])
            mean[np.isnan(mean)] = 0.5
        factor = 2 ** min(self._starts, LARGEST)
        self._optimizer = self._coordinates.optimizer(mean, factor, int(rng.integers(2**31)))
        self._generation = []
        self._starts += 1

    def _tell(self, point: Any, reached: Rank) -> None:
        self._generation.append((point, reached))
        if len(self._generation) < self._optimizer.population_size:
            return
        generation, self._generation = self._generation, []
        generation.sort(key=lambda told: told[1])
        if generation[0][1] == generation[-1][1]:
            return  # a generation of equals says nothing of where to go
        self._optimizer.tell([(p, float(place)) for place, (p, _) in enumerate(generation)])
        if self._coordinates.numbers and self._optimizer.should_stop():
            self._start()


class _Coordinates:
    """Which algorithm a space needs, and its points as configurations.

    Attributes
    ----------
    empty : bool
        No parameter varies.
    numbers : bool
        Some number does; the library can tell whether a search has converged then only.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        kinds = [_kind(parameter) for parameter in space.values()]
        self._real, self._whole, self._choice = (
            [at for at, kind in enumerate(kinds) if kind == wanted]
            for wanted in ("real", "whole", "choice")
        )
        parameters = list(space.values())
        self._cells = [_cells(parameters[at]) for at in self._whole]
        self._counts = [len(_cells(parameters[at])) for at in self._choice]
        self.empty = not (self._real or self._whole or self._choice)
        self.numbers = bool(self._real or self._whole)
        self._plain = not (self._whole or self._choice)

    def optimizer(self, mean: Vector, factor: int, seed: int) -> Any:
        """Return the algorithm, ``factor`` times its usual population, around ``mean``."""
        import cmaes

        numbers = [*self._real, *self._whole]
        varied = len(numbers) + len(self._choice)
        size = factor * (4 + math.floor(3 * math.log(varied)))  # Hansen & Ostermeier's default
        if self._plain:
            bounds = np.tile([0.0, 1.0], (len(numbers), 1))
            return cmaes.CMA(mean[numbers], STEP, bounds, seed=seed, population_size=size)
        return cmaes.CatCMAwM(
            x_space=[[0.0, 1.0]] * len(self._real) or None,
            z_space=self._cells or None,
            c_space=self._counts or None,
            population_size=size,
            mean=mean[numbers] if numbers else None,
            cov=np.eye(len(numbers)) * STEP**2 if numbers else None,
            seed=seed,
        )

    def config(self, point: Any) -> Config:
        """Return the configuration at a point that the algorithm asked for."""
        units = np.full(len(self._space), 0.5)
        if self._plain:
            units[self._real] = point
            return spaces.from_unit(self._space, units)
        if self._real:
            units[self._real] = np.clip(point.x, 0.0, 1.0)
        if self._whole:
            units[self._whole] = point.z
        for row, (at, count) in enumerate(zip(self._choice, self._counts, strict=True)):
            units[at] = (int(np.argmax(point.c[row])) + 0.5) / count
        return spaces.from_unit(self._space, units)


def _kind(parameter: Parameter) -> str:
    if isinstance(parameter, Categorical):
        return "choice" if len(parameter.choices) > 1 else "fixed"
    if parameter.low == parameter.high:
        return "fixed"
    if isinstance(parameter, Int) and parameter.high - parameter.low < FEW:
        # the algorithm's authors treat two values as a choice
        return "whole" if parameter.high - parameter.low > 1 else "choice"
    return "real"


def _cells(parameter: Parameter) -> list[float]:
    """Return the coordinates of a discrete parameter's values."""
    if isinstance(parameter, Categorical):
        return [(at + 0.5) / len(parameter.choices) for at in range(len(parameter.choices))]
    assert isinstance(parameter, Int)
    return [spaces.place(parameter, v) for v in range(parameter.low, parameter.high + 1)]
