"""The tree-structured Parzen estimator, by hyperopt, asked and told.

hyperopt's model treats every parameter apart: it ranks all results, and compares the density of
the best ones with that of the rest over those results in which the parameter was active. A
nested ``hp.choice`` space therefore gives what asking for one active parameter after the other
gives, when a result carries a value for its active parameters only. The latter also takes
conditions on several parents, and its cost grows with the active parameters alone. Numbers are
handed over in unit coordinates, choices as indices.

Sources: Bergstra, Bardenet, Bengio & Kégl 2011, "Algorithms for hyper-parameter optimization";
hyperopt 0.3, ``hyperopt.tpe.suggest``.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Categorical, Config, Direction, Parameter, Scalar, Space
from raymm.plugins import searcher
from raymm.search import space as spaces
from raymm.search.one_by_one import OneByOne, Rank, name_of, rank
from raymm.search.searcher import Result, Suggestion

Array = npt.NDArray[np.float64]

STARTUP = 10
"""Random draws before there is anything to model."""

NUMBER = {"prior_weight": 0.1, "n_EI_candidates": 24}
CHOICE = {"prior_weight": 1.0, "n_EI_candidates": 4}
GAMMA = 1.0
"""hyperopt's own settings (prior_weight 1, gamma 0.25: two of sixty results are good) do hardly
better than random search. These more than halve its median gap on Rosenbrock and bring sphere
from 4.1 to 3.0 (5 dimensions, 60 evaluations, 20 seeds). A choice is the best of few draws, as
the best of many is always the same family."""

BEST, LATEST = 60, 180
"""Results that are modelled: the best of all and the latest, so that the time a suggestion takes
stays bounded. hyperopt counts at most 25 results as good."""


@searcher("tpe")
class Tpe(OneByOne):
    """Suggests where good results are dense and bad ones are not.

    Failures, and configurations still being tried, are taken for the worst results there are, so
    suggestions made at once differ and regions that fail are left. Results of trials stopped
    early rank below those of any trial that was given more. Looks that are not final are passed
    over. One number a suggestion is drawn from the generator to seed hyperopt.
    """

    def __init__(self, space: Space, *, mode: Direction, generator: np.random.Generator) -> None:
        super().__init__(space, mode=mode, generator=generator)
        self._pending: dict[str, Array] = {}
        self._ranks: list[Rank] = []
        self._units: list[Array] = []
        self._places: dict[int, int] = {}
        self._order: list[tuple[Rank, int]] = []
        self._models = {name: _Model(parameter) for name, parameter in space.items()}

    def observe(self, results: Sequence[Result]) -> None:
        """Learn from final results, in any order, of this run or of earlier ones.

        Results whose configuration lies outside the space, as those of an earlier run may, are
        passed over.
        """
        for result in results:
            if not result.final:
                continue
            self._pending.pop(result.id, None)
            if spaces.contains(self.space, result.config):
                self._seen.add([result.config])
                self._take_in(result)

    def _take_in(self, result: Result) -> None:
        """Put a result at its place in time and by rank; one known already is replaced."""
        place = self._places.setdefault(name_of(result), len(self._ranks))
        reached, units = rank(result, self.mode), spaces.unit(self.space, result.config)
        if place == len(self._ranks):
            self._ranks.append(reached)
            self._units.append(units)
        else:
            del self._order[bisect_left(self._order, (self._ranks[place], place))]
            self._ranks[place], self._units[place] = reached, units
        insort(self._order, (reached, place))

    def _next(self) -> Config | None:
        return self._seen.fresh(self._draw, tries=8)

    def _await(self, suggestion: Suggestion) -> None:
        self._pending[suggestion.id] = spaces.unit(self.space, suggestion.config)

    def _draw(self) -> Config:
        rng = np.random.default_rng(int(self.generator.integers(2**31)))
        tids = self._ranked()
        successes = sum(not self._ranks[place][0] for place in tids)
        pending = list(self._pending.values())[-LATEST:]
        units = [self._units[place] for place in tids] + pending
        if len(units) < STARTUP or successes == 0:
            return spaces.sample(self.space, rng)
        gamma = min(GAMMA, successes / 2 / math.sqrt(len(units)))
        now = len(self._ranks)
        tids += range(now, now + len(pending))
        columns = dict(zip(self.space, np.array(units).T.tolist(), strict=True))
        chosen: dict[str, Scalar] = {}
        for name in spaces.order(self.space):
            if spaces.is_active(name, self.space, chosen):
                parameter = self.space[name]
                values = [
                    (tid, order, None if math.isnan(at) else at)
                    for order, (tid, at) in enumerate(zip(tids, columns[name], strict=True))
                ]
                model = self._models[name]
                at = model.ask(values, gamma=gamma, seed=int(rng.integers(2**31)))
                chosen[name] = spaces.value_at(parameter, at)
        return {name: chosen[name] for name in self.space if name in chosen}

    def _ranked(self) -> list[int]:
        """Return the places in time of the results to model, best first.

        Failures are at the end, ties as they came.
        """
        count = len(self._ranks)
        chosen = [place for _, place in self._order[:BEST]]
        if count > BEST + LATEST:
            best = set(chosen)
            late = [place for place in range(count - LATEST, count) if place not in best]
            chosen += sorted(late, key=self._ranks.__getitem__)
        else:
            chosen += [place for _, place in self._order[BEST:]]
        return chosen


class _Model:
    """hyperopt's model of one parameter."""

    def __init__(self, parameter: Parameter) -> None:
        self._parameter = parameter
        self._domain: Any = None

    def ask(
        self, values: Sequence[tuple[int, int, float | None]], *, gamma: float, seed: int
    ) -> float:
        """Return the coordinate in [0, 1] to try next.

        ``values`` are triples of trial number, loss and coordinate (None: inactive then).
        """
        choices = _choices(self._parameter)
        if choices == 1:
            return 0.5
        from hyperopt import tpe
        from hyperopt.base import trials_from_docs

        documents = [
            _document(tid, loss, at if at is None or choices is None else int(at * choices))
            for tid, loss, at in values
        ]
        found = tpe.suggest(
            [max(tid for tid, _, _ in values) + 1],
            self._built(choices),
            trials_from_docs(documents, validate=False),
            seed,
            n_startup_jobs=0,
            verbose=False,
            gamma=gamma,
            **(NUMBER if choices is None else CHOICE),
        )
        value = found[0]["misc"]["vals"][_LABEL][0]
        return float(value) if choices is None else (float(value) + 0.5) / choices

    def _built(self, choices: int | None) -> Any:
        if self._domain is None:
            from hyperopt import hp
            from hyperopt.base import Domain

            label = (
                hp.uniform(_LABEL, 0.0, 1.0)
                if choices is None
                else hp.choice(_LABEL, list(range(choices)))
            )
            self._domain = Domain(lambda spec: 0.0, label)
        return self._domain


_LABEL = "x"


def _choices(parameter: Parameter) -> int | None:
    """Return how many choices there are, None for a number, 1 for a number that is fixed."""
    if isinstance(parameter, Categorical):
        return len(parameter.choices)
    return 1 if parameter.low == parameter.high else None


def _document(tid: int, loss: float, value: float | int | None) -> dict[str, Any]:
    known = value is not None
    return {
        "tid": tid,
        "state": 2,  # hyperopt's JOB_STATE_DONE
        "result": {"status": "ok", "loss": float(loss)},
        "misc": {
            "tid": tid,
            "cmd": None,
            "idxs": {_LABEL: [tid] if known else []},
            "vals": {_LABEL: [value] if known else []},
        },
        "spec": None,
    }
