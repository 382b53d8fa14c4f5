"""The conformance suite passes the built-in searchers and finds broken ones out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from raymm.plugins import searchers
from raymm.search.asha import Asha
from raymm.search.random import Random
from raymm.search.searcher import Result, Suggestion
from raymm.testing.searchers import (
    EXAMPLE,
    check_climbing,
    check_exhaustion,
    check_failures,
    check_inside,
    check_pending,
    check_replay,
    check_searcher,
    check_seeds,
    check_symmetry,
)

QUICK = {"asha", "bohb", "grid", "hyperband", "random", "tpe"}
ELSEWHERE = {"gp", "gp-ei", "gp-pi", "gp-ucb"}
"""One class, put to the laws in its own test, which takes long."""


def _every() -> list[Any]:
    names = [n for n in searchers.names() if n not in ELSEWHERE and not n.startswith("optuna-")]
    return [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in names]


@pytest.mark.slow
@pytest.mark.parametrize("name", _every())
def test_every_registered_searcher_keeps_the_laws(name: str) -> None:
    check_searcher(searchers.get(name), examples=6 if name in QUICK else 2)


class Repeats(Random):
    def suggest(self, count: int) -> list[Suggestion]:
        made = super().suggest(count)
        return [Suggestion("same", s.config) for s in made]


class Outside(Random):
    def suggest(self, count: int) -> list[Suggestion]:
        return [Suggestion(s.id, {**s.config, "alien": 1}) for s in super().suggest(count)]


class Forgets(Random):
    def __init__(self, space, *, mode, generator) -> None:
        super().__init__(space, mode=mode, generator=np.random.default_rng())


class Stubborn(Random):
    def __init__(self, space, *, mode, generator) -> None:
        super().__init__(space, mode=mode, generator=np.random.default_rng(7))


class OneSided(Random):
    def observe(self, results: Sequence[Result]) -> None:
        for result in results:
            if result.value is not None and result.value > 0:
                self.generator.random()
        super().observe(results)


class GivesUp(Random):
    failed = False

    def observe(self, results: Sequence[Result]) -> None:
        self.failed = self.failed or any(r.value is None for r in results)

    def suggest(self, count: int) -> list[Suggestion]:
        return [] if self.failed else super().suggest(count)


class Deaf(Random):
    """Suggests configurations that it has been told of."""

    told: list[Suggestion] = []  # noqa: RUF012

    def observe(self, results: Sequence[Result]) -> None:
        self.told = [Suggestion(f"again-{r.id}", r.config) for r in results]

    def suggest(self, count: int) -> list[Suggestion]:
        return self.told[:count] or super().suggest(count)


@pytest.mark.parametrize(
    ("broken", "check", "law"),
    [
        (Outside, check_inside, "is not a configuration"),
        (Forgets, check_replay, "replayed"),
        (OneSided, check_symmetry, "maximising"),
    ],
)
def test_each_law_over_spaces_finds_its_breaker(broken, check, law) -> None:
    check(Random, EXAMPLE)
    with pytest.raises(AssertionError, match=law):
        check(broken, EXAMPLE)


@pytest.mark.parametrize(
    ("broken", "law"),
    [(Repeats, "ids of suggestions must differ"), (GivesUp, "failures must not end")],
)
def test_a_broken_searcher_is_found_out(broken: type[Random], law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        check_searcher(broken)


def test_a_searcher_that_repeats_is_found_out() -> None:
    with pytest.raises(AssertionError, match=r"repeated|tried"):
        check_searcher(Deaf)


class NewIds(Asha):
    """Gives a trial that goes on another name."""

    def suggest(self, count: int) -> list[Suggestion]:
        made = super().suggest(count)
        return [Suggestion(f"{s.id}-{s.budget}", s.config, s.budget) for s in made]

    def observe(self, results: Sequence[Result]) -> None:
        super().observe(
            [Result(r.id.rsplit("-", 1)[0], r.config, r.value, r.budget, r.final) for r in results]
        )


class Shrinks(Asha):
    """Asks for what a trial has had already."""

    def suggest(self, count: int) -> list[Suggestion]:
        return [Suggestion(s.id, s.config, 1) for s in super().suggest(count)]


class Waits(Asha):
    """Blocks while more than three results are open."""

    running = 0

    def suggest(self, count: int) -> list[Suggestion]:
        made = super().suggest(count) if self.running < 4 else []
        self.running += len(made)
        return made

    def observe(self, results: Sequence[Result]) -> None:
        self.running -= len(results)
        super().observe(results)


class Unplanned(Random):
    def suggest(self, count: int) -> list[Suggestion]:
        return [Suggestion(s.id, s.config, 5.0) for s in super().suggest(count)]


class Batches(Random):
    """Gives other configurations when asked for several at once."""

    def suggest(self, count: int) -> list[Suggestion]:
        if count > 1:
            self.generator.random()
        return super().suggest(count)


@pytest.mark.parametrize(
    ("broken", "check", "law"),
    [
        (NewIds, check_exhaustion, "repeated while anything is left"),
        (Shrinks, check_climbing, "larger budget only"),
        (Waits, check_pending, "must not wait"),
        (Unplanned, check_climbing, "multi_fidelity = True"),
    ],
)
def test_each_law_of_budgets_finds_its_breaker(broken, check, law) -> None:
    check(Asha)
    with pytest.raises(AssertionError, match=law):
        check(broken)


def test_several_at_once_must_be_the_same_as_one_by_one() -> None:
    with pytest.raises(AssertionError, match="replayed"):
        check_replay(Batches, EXAMPLE)


@pytest.mark.parametrize(("broken", "law"), [(Stubborn, "another seed"), (Forgets, "same seed")])
def test_chance_is_the_generators(broken, law) -> None:
    check_seeds(Random)
    with pytest.raises(AssertionError, match=law):
        check_seeds(broken)


def test_one_law_can_be_run_alone() -> None:
    check_failures(Random)
    assert "solver" in EXAMPLE
