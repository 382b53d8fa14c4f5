"""Laws that every search algorithm keeps, to be run on one's own.

In the test of a searcher::

    from raymm.testing.searchers import check_searcher

    def test_laws() -> None:
        check_searcher(MySearcher)

A class with ``multi_fidelity`` is given budgets from `LOW` to `HIGH`, and is told a final result
for each one that it asks for. The spaces are made by Hypothesis (the extra ``dev``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from raymm.artifacts import Categorical, Config, Direction, Float, Int, Parameter, Space
from raymm.errors import MissingExtra
from raymm.search import space as spaces
from raymm.search.lattice import size
from raymm.search.searcher import Result, Searcher, Suggestion


class Make(Protocol):
    """A searcher's class, or a function that makes one."""

    def __call__(
        self, space: Space, *, mode: Direction, generator: np.random.Generator
    ) -> Searcher:
        """Return a fresh searcher."""
        ...


EXAMPLE: Space = {
    "solver": Categorical(("adam", "sgd")),
    "rate": Float(1e-4, 1.0, log=True),
    "momentum": Float(0.0, 1.0, when={"solver": ("sgd",)}),
    "layers": Int(1, 64, log=True),
}
LOW, HIGH = 1, 9
FINITE: Space = {"a": Int(0, 2), "b": Categorical(("x", "y")), "c": Int(1, 2, when={"b": ("y",)})}


def check_searcher(make: Make, *, examples: int = 10) -> None:
    """Check every law of this module; ``examples`` spaces are made for each that needs them.

    Raises
    ------
    AssertionError
        When a law is broken; the law is named.
    MissingExtra
        When Hypothesis is not installed.
    """
    for law in (
        check_nothing,
        check_distinct,
        check_exhaustion,
        check_failures,
        check_strangers,
        check_pending,
        check_climbing,
        check_seeds,
    ):
        law(make)
    try:
        from hypothesis import HealthCheck, given, settings
    except ImportError as error:
        raise MissingExtra("hypothesis", "dev") from error

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(space=made_spaces())
    def over_spaces(space: Space) -> None:
        check_inside(make, space)
        check_replay(make, space)
        check_symmetry(make, space)

    over_spaces()


# ----------------------------------------------------------------------------------------- laws


def check_nothing(make: Make) -> None:
    """Asked for no suggestion, it gives none; told of no result, it does nothing."""
    searcher = _fresh(make, EXAMPLE)
    searcher.observe([])
    _require(searcher.suggest(0) == [], "suggest(0) must return an empty list")


def check_distinct(make: Make) -> None:
    """Suggestions made at once, before any result, have ids and configurations of their own."""
    made = _fresh(make, EXAMPLE).suggest(16)
    _require(len({s.id for s in made}) == len(made) > 0, "ids of suggestions must differ")
    keys = {spaces.key(s.config) for s in made}
    _require(len(keys) == len(made), "suggestions made at once must differ")


def check_exhaustion(make: Make) -> None:
    """It tries a finite space whole before it repeats anything; then it may end.

    A trial that goes on is no repetition; one that starts from another's checkpoint may be.
    """
    searcher = _fresh(make, FINITE)
    made = _run(searcher, rounds=20 if searcher.multi_fidelity else 10, count=3)
    whole = size(FINITE, 100)
    first = {s.id: spaces.key(s.config) for s in reversed(made) if s.parent is None}
    seen = [first[name] for name in dict.fromkeys(s.id for s in made) if name in first]
    if all(s.parent is None for s in made):
        _require(len(seen) >= len(set(seen)) == whole, "a finite space must be tried whole in time")
    early = seen[:whole]
    _require(len(set(early)) == len(early), "nothing may be repeated while anything is left")


def check_failures(make: Make) -> None:
    """It goes on where every trial fails, or gives NaN, and where only some do."""
    for fails in (lambda number: True, lambda number: number % 2 == 0):
        for failure in (None, math.nan):
            searcher = _fresh(make, EXAMPLE)
            failed: set[str] = set()
            for number in range(30):
                made = searcher.suggest(1)
                _require(len(made) == 1, "failures must not end a search")
                again = made[0].id in failed and made[0].parent is None
                _require(not again, "a trial that failed must not go on")
                if fails(number):
                    failed.add(made[0].id)
                value = failure if fails(number) else _value(made[0].config)
                searcher.observe([Result(made[0].id, made[0].config, value, made[0].budget)])


def check_strangers(make: Make) -> None:
    """It takes results of earlier runs, out of order, first looks, and values at budgets."""
    searcher = _fresh(make, EXAMPLE)
    other = np.random.default_rng(1)
    configs = [spaces.sample(EXAMPLE, other) for _ in range(20)]
    searcher.observe([Result(f"old-{n}", c, _value(c)) for n, c in enumerate(configs)])
    made = searcher.suggest(8)
    first = [Result(s.id, s.config, _value(s.config), budget=1.0, final=False) for s in made]
    last = [Result(s.id, s.config, _value(s.config), budget=9.0) for s in reversed(made)]
    searcher.observe(first)
    searcher.observe(last)
    again = searcher.suggest(4)
    _require(len(again) == 4, "results of earlier runs must not end a search")
    known = {spaces.key(c) for c in configs} | {spaces.key(s.config) for s in made}
    new = [s for s in again if s.id not in {s.id for s in made} and s.parent is None]
    repeated = [s.config for s in new if spaces.key(s.config) in known]
    _require(not repeated, f"what was tried must not be tried again, but got {repeated}")


def check_pending(make: Make) -> None:
    """With many trials at once, told out of order, it gives new ones and repeats none of them."""
    searcher = _fresh(make, EXAMPLE)
    order = np.random.default_rng(2)
    running: dict[str, Suggestion] = {}
    for _ in range(60):
        while len(running) < 5:
            made = searcher.suggest(1)
            _require(len(made) == 1, "a search must not wait for what is running")
            twice = made[0].id in running
            _require(not twice, "what is running must not be suggested")
            same = spaces.key(made[0].config) in {spaces.key(s.config) for s in running.values()}
            _require(not same or made[0].parent is not None, "what is running was repeated")
            running[made[0].id] = made[0]
        ended = running.pop(sorted(running)[int(order.integers(len(running)))])
        searcher.observe([Result(ended.id, ended.config, _value(ended.config), ended.budget)])


def check_climbing(make: Make) -> None:
    """Budgets are planned, and from `LOW` to `HIGH`, exactly where it has ``multi_fidelity``.

    An id comes again with a larger budget only; some reach the largest.
    """
    searcher = _fresh(make, EXAMPLE)
    # A population of ten that trains side by side needs ninety.
    made = _run(searcher, rounds=100 if searcher.multi_fidelity else 60, count=1)
    if not searcher.multi_fidelity:
        _require(all(s.budget is None for s in made), "budgets need multi_fidelity = True")
        return
    budgets: dict[str, float] = {}
    for suggestion in made:
        at = suggestion.budget
        if at is None or not LOW <= at <= HIGH:
            raise AssertionError(f"a budget must be from {LOW} to {HIGH}, but got {at}")
        higher = at > budgets.get(suggestion.id, 0.0)
        _require(higher, "an id must come again with a larger budget only")
        budgets[suggestion.id] = at
    _require(max(budgets.values()) == HIGH, "some trial must reach the largest budget in time")


def check_seeds(make: Make) -> None:
    """Its chance is that of the generator it is given: another seed gives another search."""
    first, again, other = (_fresh(make, EXAMPLE, seed=seed) for seed in (0, 0, 1))
    runs = [_run(one, rounds=8, count=3) for one in (first, again, other)]
    _require(runs[0] == runs[1], "the same seed must give the same search")
    keys = [[spaces.key(s.config) for s in made] for made in (runs[0], runs[2])]
    _require(keys[0] != keys[1], "another seed must give another search: use the generator")


def check_inside(make: Make, space: Space) -> None:
    """Every suggestion lies in the space, in plain Python values; ids are never used twice."""
    made = _run(_fresh(make, space), rounds=8, count=3)
    for suggestion in made:
        inside = spaces.contains(space, suggestion.config)
        _require(inside, f"{suggestion.config} is not a configuration of {space}")
        plain = all(type(v) in (str, int, float, bool) for v in suggestion.config.values())
        _require(plain, f"{suggestion.config} must hold plain Python values")
    named = {(s.id, s.budget) for s in made}
    _require(len(named) == len(made) > 0, "ids of suggestions must differ")


def check_replay(make: Make, space: Space) -> None:
    """A search replayed from what was asked and told goes on as one that was never stopped.

    The replay asks for one suggestion at a time, so asking for several must be the same as asking
    as often for one.
    """
    first, again = _fresh(make, space), _fresh(make, space)
    for _ in range(8):
        whole = list(_run(first, rounds=1, count=3))
        replayed = [s for _ in whole for s in again.suggest(1)]
        again.observe([_result(s, 1.0) for s in replayed])
        _require(whole == replayed, "a replayed search must give the same suggestions")


def check_symmetry(make: Make, space: Space) -> None:
    """Maximising -f suggests what minimising f does."""
    low = _run(_fresh(make, space, "minimize"), rounds=6, count=3)
    high = _run(_fresh(make, space, "maximize"), rounds=6, count=3, sign=-1.0)
    _require(low == high, "maximising -f must suggest what minimising f does")


# -------------------------------------------------------------------------------------- material


def made_spaces() -> Any:
    """Return a Hypothesis strategy of search spaces: one to five parameters, some conditional."""
    from hypothesis import strategies as st

    @st.composite
    def strategy(draw: Any) -> Space:
        space: dict[str, Parameter] = {}
        for number in range(draw(st.integers(1, 5))):
            parents = {n: p.choices for n, p in space.items() if isinstance(p, Categorical)}
            when = {}
            if parents and draw(st.booleans()):
                parent = draw(st.sampled_from(sorted(parents)))
                when = {parent: (draw(st.sampled_from(parents[parent])),)}
            space[f"p{number}"] = draw(_parameters(when))
        return space

    return strategy()


def _parameters(when: Any) -> Any:
    from hypothesis import strategies as st

    def numbers(kind: Any, bounds: list[Any], log: bool) -> Parameter:
        made: Parameter = kind(min(bounds), max(bounds), log, when)
        return made

    floats = st.floats(1e-6, 1e6)
    wholes = st.integers(1, 1000)
    scalars = st.one_of(st.text(max_size=3), st.integers(-3, 3), st.booleans())
    return st.one_of(
        st.builds(numbers, st.just(Float), st.lists(floats, min_size=2, max_size=2), st.booleans()),
        st.builds(numbers, st.just(Int), st.lists(wholes, min_size=2, max_size=2), st.booleans()),
        st.builds(
            lambda choices: Categorical(choices, when),
            st.lists(scalars, min_size=1, max_size=4, unique_by=repr),
        ),
    )


def _fresh(make: Make, space: Space, mode: Direction = "minimize", *, seed: int = 0) -> Searcher:
    options: dict[str, Any] = {"mode": mode, "generator": np.random.default_rng(seed)}
    if getattr(make, "multi_fidelity", False):
        options.update(min_budget=LOW, max_budget=HIGH)
    return make(space, **options)


def _run(searcher: Searcher, *, rounds: int, count: int, sign: float = 1.0) -> Sequence[Suggestion]:
    made: list[Suggestion] = []
    for _ in range(rounds):
        asked = searcher.suggest(count)
        _require(len(asked) <= count, f"suggest({count}) gave {len(asked)} suggestions")
        made += asked
        searcher.observe([_result(s, sign) for s in asked])
    return made


def _result(asked: Suggestion, sign: float) -> Result:
    return Result(asked.id, asked.config, sign * _value(asked.config), asked.budget)


def _value(config: Config) -> float:
    """Return a value that depends on every active parameter and has few ties."""
    value = 0.0
    for number, (name, entry) in enumerate(sorted(config.items())):
        known = isinstance(entry, int | float)
        at = float(entry) if isinstance(entry, int | float) and known else float(len(str(entry)))
        value += math.sin(at + number) + 0.01 * len(name)
    return value


def _require(holds: bool, law: str) -> None:
    if not holds:
        raise AssertionError(law)
