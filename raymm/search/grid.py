"""Grid search: every point once, from coarse to fine, shuffled within each fineness."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Config, Direction, Space
from raymm.plugins import searcher
from raymm.search import space as spaces
from raymm.search.lattice import grid, size
from raymm.search.one_by_one import OneByOne
from raymm.search.seen import COUNTED, TRIES

LEVELS = (1, 3, 5)
"""Values of a number at each fineness; each level's values hold those of the level before."""

SHUFFLED = 10_000
"""Levels of at most this many points are shuffled whole; larger ones are drawn from at random
first, and what remains is then walked through in order."""


@searcher("grid")
class Grid(OneByOne):
    """Exhausts a grid; a finite space of at most 4096 configurations is tried whole.

    The order spreads: middles first, then middles and ends, then five values of each number, and
    within each of these levels at random, so a search that is cut short has looked everywhere.
    """

    def __init__(self, space: Space, *, mode: Direction, generator: np.random.Generator) -> None:
        super().__init__(space, mode=mode, generator=generator)
        self._points = self._walk()

    def _next(self) -> Config | None:
        config = next(self._points, None)
        if config is not None:
            self._seen.add([config])
        return config

    def _walk(self) -> Iterator[Config]:
        whole = size(self.space, COUNTED) is not None
        for level in (*LEVELS, COUNTED) if whole else LEVELS:
            for config in self._level(level):
                if config not in self._seen:
                    yield config

    def _level(self, resolution: int) -> Iterator[Config]:
        points = list(islice(grid(self.space, resolution), SHUFFLED + 1))
        if len(points) <= SHUFFLED:
            for index in self.generator.permutation(len(points)):
                yield points[index]
            return
        repeated = 0
        while repeated < TRIES:
            config = self._draw(resolution)
            repeated = repeated + 1 if config in self._seen else 0
            yield config
        yield from grid(self.space, resolution)

    def _draw(self, resolution: int) -> Config:
        """Draw a point of the grid: each number at a random one of its values."""
        places = self.generator.choice(_places(resolution), size=len(self.space))
        coordinates = [
            self.generator.random() if isinstance(parameter, spaces.Categorical) else place
            for parameter, place in zip(self.space.values(), places.tolist(), strict=True)
        ]
        return spaces.from_unit(self.space, np.array(coordinates))


def _places(resolution: int) -> npt.NDArray[np.float64]:
    return np.linspace(0.0, 1.0, resolution) if resolution > 1 else np.array([0.5])
