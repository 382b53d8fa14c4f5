"""Random search: the honest control for every other algorithm."""

from __future__ import annotations

from raymm.artifacts import Config
from raymm.plugins import searcher
from raymm.search import space as spaces
from raymm.search.one_by_one import OneByOne


@searcher("random")
class Random(OneByOne):
    """Independent draws, even in each active parameter's scale, without repetition.

    Source: Bergstra & Bengio 2012, "Random search for hyper-parameter optimization".
    """

    def _next(self) -> Config | None:
        return self._seen.fresh(lambda: spaces.sample(self.space, self.generator))
