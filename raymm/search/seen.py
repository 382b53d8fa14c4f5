"""What a searcher has suggested already, so that no configuration is tried twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from raymm.artifacts import Config, Space
from raymm.search import space as spaces
from raymm.search.lattice import grid, size

TRIES = 32
"""Draws before a searcher is taken to have run out of new ideas of its own."""

COUNTED = 4096
"""Spaces of at most this many configurations are counted, so that they can be exhausted."""


class Seen:
    """The configurations of a space that were suggested, by whomever.

    Parameters
    ----------
    space : mapping of name to parameter
    generator : numpy.random.Generator
        Chooses among what is left where drawing finds nothing new.
    """

    def __init__(self, space: Space, generator: np.random.Generator) -> None:
        self._space = space
        self._generator = generator
        self._keys: set[int] = set()
        self._finite = size(space, COUNTED) is not None

    def __contains__(self, config: Config) -> bool:
        return mark(config) in self._keys

    def add(self, configs: Iterable[Config]) -> None:
        """Take note of configurations."""
        self._keys.update(map(mark, configs))

    def fresh(self, draw: Callable[[], Config], *, tries: int = TRIES) -> Config | None:
        """Return a configuration not seen before, and take note of it.

        ``draw`` is asked ``tries`` times at most. Then a countable space is searched for what is
        left, and a larger one is sampled; None where a countable space is exhausted. In a space
        too large to count, and only there, a repetition is possible, when sampling too finds
        nothing new.
        """
        config = self._draw(draw, tries)
        if config is None and self._finite:
            left = [c for c in grid(self._space, COUNTED) if c not in self]
            if not left:
                return None
            config = left[int(self._generator.integers(len(left)))]
        if config is None:
            config = self._draw(lambda: spaces.sample(self._space, self._generator), TRIES)
        if config is None:
            config = draw()
        self.add([config])
        return config

    def _draw(self, draw: Callable[[], Config], tries: int) -> Config | None:
        for _ in range(tries):
            config = draw()
            if config not in self:
                return config
        return None


def mark(config: Config) -> int:
    """Return 64 bits that stand for a configuration, a tenth of what its key takes.

    Of a million configurations, two have the same ones with a chance of 1 in 37 million.
    """
    return hash(spaces.key(config))
