"""Population-based training: configurations that change while their models are trained.

A population trains side by side, an interval at a time. After an interval, a member among the
worst of those that came as far takes over the checkpoint and the configuration of one of the best
(exploit), and changes the configuration a little (explore); the others train on. So a schedule is
found in the time of one training. It suits parameters that may change while a model is trained,
such as learning rates and penalties, not those that decide its shape.

Source: Jaderberg, Dalibard, Osindero et al. 2017, "Population based training of neural networks",
Algorithm 1, with truncation selection and with perturbing or resampling (section 4.1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from raymm.artifacts import Categorical, Config, Direction, Float, Parameter, Scalar, Space
from raymm.errors import ConfigError
from raymm.plugins import searcher
from raymm.search import space as spaces
from raymm.search.searcher import Result, Searcher, Suggestion
from raymm.search.seen import Seen

POPULATION = 10
TRUNCATION = 0.2
"""Share of the population that is replaced, and share that replaces it (section 4.1)."""
RESAMPLE = 0.25
"""Probability with which a parameter is drawn anew rather than changed."""
FACTORS = (0.8, 1.2)
"""What a number is multiplied by (section 4.1)."""
FEWEST = 5
"""Members that must have come as far as one that is judged; all, in a smaller population."""


@dataclass(slots=True)
class _Member:
    """One line of training.

    ``reached`` is how far it has been trained, ``asked`` the budget it works towards (0: none),
    ``losses`` has a loss for each budget asked for. ``copying`` says that it works on from a
    checkpoint that is not its own, ``over`` that it works no more.
    """

    id: str
    generation: int
    config: Config
    reached: float = 0.0
    asked: float = 0.0
    losses: dict[float, float] = field(default_factory=dict)
    copying: bool = False
    over: bool = False


@searcher("pbt")
class Pbt(Searcher):
    """Trains a population and replaces its worst by changed copies of its best.

    Nothing waits: whoever is the least far trains next, and is judged among those that have come
    as far by then. Where every member is busy, or done, a further population is begun, which is
    judged among itself. A member that fails is replaced by a copy of a good one.

    Parameters
    ----------
    min_budget : float
        The interval: training between two judgements.
    max_budget : float
        The whole training of a member.
    population : int
        Members, at least 2.

    Raises
    ------
    ConfigError
        When the budgets or the population break their rules.
    """

    multi_fidelity = True
    schedules = True

    def __init__(
        self,
        space: Space,
        *,
        mode: Direction,
        generator: np.random.Generator,
        min_budget: float,
        max_budget: float,
        population: int = POPULATION,
    ) -> None:
        spaces.check(space)
        super().__init__(space, mode=mode, generator=generator)
        if not 0 < min_budget <= max_budget < math.inf:
            raise ConfigError(
                "min_budget must be above 0 and at most max_budget, but got "
                f"{min_budget} and {max_budget}."
            )
        if population < 2:
            raise ConfigError(f"population must be at least 2, but got {population}.")
        self.population = population
        self._interval, self._whole = float(min_budget), float(max_budget)
        self._sign = 1.0 if mode == "minimize" else -1.0
        self._seen = Seen(space, generator)
        self._members: dict[str, _Member] = {}
        self._ready: list[_Member] = []
        self._generations: list[list[_Member]] = []
        self._room = 0
        self._first: list[Config] = []

    # ------------------------------------------------------------------------- ask and tell

    def suggest(self, count: int) -> list[Suggestion]:
        """Return ``count`` suggestions: new ids, and known ones with a larger budget."""
        return [self._next() for _ in range(count)]

    def observe(self, results: Sequence[Result]) -> None:
        """Take in final values; those of earlier runs only say what not to begin with again."""
        for result in results:
            member = self._members.get(result.id)
            if not result.final:
                continue
            if member is None or not member.asked:
                self._seen.add([result.config])
            else:
                self._take(member, result)

    def expect(self, suggestions: Sequence[Suggestion]) -> None:
        """Begin no member with these."""
        self._seen.add(suggestion.config for suggestion in suggestions)

    def lead(self, configs: Sequence[Config]) -> None:
        """Begin the first members with these; called before anything is asked."""
        self._first = [config for config in configs if spaces.contains(self.space, config)]
        self._seen.add(self._first)

    def _take(self, member: _Member, result: Result) -> None:
        asked, member.asked, member.copying = member.asked, 0.0, False
        spent = asked if result.budget is None else result.budget
        scored = result.value is not None and math.isfinite(result.value)
        # What was stopped before its time has no value that others can be compared with.
        if not scored or spent < asked:
            # It is replaced when those that were to come as far go on.
            member.over, member.reached = True, asked
            self._ready.append(member)
            return
        member.reached = max(asked, spent)
        member.losses[asked] = self._sign * float(result.value or 0.0)
        member.over = member.reached >= self._whole
        if not member.over:
            self._ready.append(member)

    # ----------------------------------------------------------------------- what comes next

    def _next(self) -> Suggestion:
        if not self._ready and not self._room:
            self._room = self.population
            self._generations.append([])
        if self._room:
            self._room -= 1
            return self._begin(self._new(), len(self._generations) - 1, None)
        member = min(self._ready, key=lambda one: (one.reached, one.over))
        self._ready.remove(member)
        if member.over:
            return self._replace(member)
        parent = self._better(member)
        if parent is not None:
            member.config, member.copying = self._explore(parent.config), True
        start = member.reached if parent is None else parent.reached
        member.asked = min(self._whole, start + self._interval)
        name = None if parent is None else parent.id
        return Suggestion(member.id, member.config, member.asked, name)

    def _new(self) -> Config:
        if self._first:
            return self._first.pop(0)
        # A small space may be used up; two members may share a configuration then.
        fresh = self._seen.fresh(lambda: spaces.sample(self.space, self.generator))
        return fresh or spaces.sample(self.space, self.generator)

    def _begin(self, config: Config, generation: int, parent: _Member | None) -> Suggestion:
        member = _Member(f"pbt-{len(self._members)}", generation, config)
        self._members[member.id] = member
        self._generations[generation].append(member)
        start = 0.0 if parent is None else parent.reached
        member.asked = min(self._whole, start + self._interval)
        if parent is None:
            return Suggestion(member.id, config, member.asked)
        member.copying = True
        return Suggestion(member.id, config, member.asked, parent.id)

    def _replace(self, failed: _Member) -> Suggestion:
        """Put a copy of one of those that stand best in the place of one that failed."""
        peers = [p for p in self._generations[failed.generation] if p.losses and self._alive(p)]
        peers.sort(key=lambda peer: peer.losses[max(peer.losses)])
        if not peers:
            return self._begin(self._new(), failed.generation, None)
        parent = self._one_of(peers[: self._cut(len(peers))])
        return self._begin(self._explore(parent.config), failed.generation, parent)

    def _better(self, member: _Member) -> _Member | None:
        """Return whom to copy; None where the member is not among the worst."""
        at = max(member.losses)
        started = [p for p in self._generations[member.generation] if p.losses or not p.over]
        peers = [p for p in started if at in p.losses]
        if len(peers) < min(FEWEST, len(started)):
            return None
        peers.sort(key=lambda peer: peer.losses[at])
        cut = self._cut(len(peers))
        worst = [peer.id for peer in peers[-cut:]]
        best = [p for p in peers[:cut] if self._alive(p) and p.losses[at] < member.losses[at]]
        if member.id not in worst or not best:
            return None
        return self._one_of(best)

    def _alive(self, peer: _Member) -> bool:
        """Whether its last checkpoint is its own and can be trained on."""
        return not peer.over and not peer.copying

    def _cut(self, count: int) -> int:
        return max(1, math.ceil(TRUNCATION * count))

    def _one_of(self, members: Sequence[_Member]) -> _Member:
        return members[int(self.generator.integers(len(members)))]

    def _explore(self, config: Config) -> Config:
        """Return a configuration near another: each parameter changed a little, or drawn anew."""
        drawn = spaces.unit(self.space, config)
        places = self.generator.random((len(self.space), 3))
        found: dict[str, Scalar] = {}
        at = dict(zip(self.space, zip(drawn.tolist(), places.tolist(), strict=True), strict=True))
        for name in spaces.order(self.space):
            if not spaces.is_active(name, self.space, found):
                continue
            known, (chance, side, anew) = at[name]
            parameter = self.space[name]
            if math.isnan(known) or chance < RESAMPLE:
                found[name] = spaces.value_at(parameter, anew)
            else:
                found[name] = perturbed(parameter, config[name], up=side < 0.5)
        return {name: found[name] for name in self.space if name in found}


def perturbed(parameter: Parameter, value: Scalar, *, up: bool) -> Scalar:
    """Return a number times one of `FACTORS`, within its bounds; a choice stays.

    A whole number moves by one at least. Where a range holds 0, a number moves by a tenth of the
    range, as no factor would lead away from 0.

    >>> from raymm.artifacts import Float, Int
    >>> perturbed(Float(0.1, 10.0), 1.0, up=True), perturbed(Int(1, 8), 2, up=False)
    (1.2, 1)
    >>> perturbed(Float(-1.0, 1.0), 0.0, up=True)
    0.2
    """
    if isinstance(parameter, Categorical):
        return value
    assert isinstance(value, int | float)
    if parameter.low > 0:
        moved = value * FACTORS[int(up)]
    else:
        moved = value + (0.1 if up else -0.1) * (parameter.high - parameter.low)
    if isinstance(parameter, Float):
        return float(min(parameter.high, max(parameter.low, moved)))
    least = value + (1 if up else -1)
    whole = max(least, round(moved)) if up else min(least, round(moved))
    return int(min(parameter.high, max(parameter.low, whole)))
