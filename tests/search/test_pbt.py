"""Population-based training: who goes on, who copies whom, and what is changed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import Categorical, Config, Float, Int, Parameter, Space
from raymm.errors import ConfigError
from raymm.search import space as spaces
from raymm.search.lattice import grid
from raymm.search.ledger import Ledger
from raymm.search.limits import Limits
from raymm.search.objective import FunctionRun, Report, Saved
from raymm.search.pbt import Pbt, perturbed
from raymm.search.searcher import Result, Suggestion
from raymm.search.session import Session
from raymm.testing.searchers import check_searcher

SPACE: Space = {
    "rate": Float(1e-4, 1.0, log=True),
    "kind": Categorical(("plain", "heavy")),
    "momentum": Float(0.0, 1.0, when={"kind": ("heavy",)}),
    "batch": Int(8, 256, log=True),
}


def fresh(space: Space = SPACE, **how: Any) -> Pbt:
    budgets = {"min_budget": 1.0, "max_budget": 8.0, **how}
    return Pbt(space, mode="minimize", generator=np.random.default_rng(0), **budgets)


def distance(config: Config) -> float:
    return abs(math.log(float(config["rate"])) - math.log(0.1))


def live(
    searcher: Pbt,
    asks: int,
    value: Callable[[Suggestion], float | None] = lambda made: distance(made.config),
    workers: int = 1,
) -> list[Suggestion]:
    """Ask and tell, ``workers`` at a time; the first in is the first out."""
    made: list[Suggestion] = []
    running: list[Suggestion] = []
    for _ in range(asks):
        running += searcher.suggest(1)
        made.append(running[-1])
        if len(running) == workers:
            done = running.pop(0)
            searcher.observe([Result(done.id, done.config, value(done), done.budget)])
    return made


@pytest.mark.slow
def test_laws() -> None:
    check_searcher(Pbt, examples=5)


@pytest.mark.parametrize("workers", [1, 3, 16])
def test_budgets_of_an_id_grow_to_the_whole(workers: int) -> None:
    reached: dict[str, float] = {}
    for made in live(fresh(), 200, workers=workers):
        assert made.budget is not None
        assert reached.get(made.id, 0.0) < made.budget <= 8.0
        reached[made.id] = made.budget
    assert max(reached.values()) == 8.0


def test_the_worst_copy_the_best_and_the_others_go_on() -> None:
    searcher = fresh(population=10)
    first = live(searcher, 10)
    assert {made.budget for made in first} == {1.0}
    ranked = [made.id for made in sorted(first, key=lambda made: distance(made.config))]
    second = {made.id: made for made in searcher.suggest(10)}
    assert len(second) == 10
    for made in first:
        again = second[made.id]
        assert again.budget == 2.0
        if made.id in ranked[-2:]:
            assert again.parent in ranked[:2]
            assert again.config != made.config
        else:
            assert (again.parent, again.config) == (None, made.config)


def test_a_copy_starts_where_its_parent_stands() -> None:
    """What copies a member further on is asked for an interval beyond that member."""
    searcher, running, copies = fresh(), [], 0
    reached: dict[str, float] = {}
    for _ in range(300):
        (made,) = searcher.suggest(1)
        assert made.budget == min(8.0, reached.get(made.parent or made.id, 0.0) + 1.0)
        copies += made.parent is not None
        running.append(made)
        if len(running) == 4:
            done = running.pop(0)
            reached[done.id] = done.budget
            searcher.observe([Result(done.id, done.config, distance(done.config), done.budget)])
    assert copies > 10


def test_it_begins_with_what_it_is_led_by() -> None:
    searcher = fresh()
    known = {"rate": 0.1, "kind": "plain", "batch": 8}
    searcher.lead([known, {"rate": 7.0}])
    configs = [made.config for made in searcher.suggest(10)]
    assert configs[0] == known
    assert known not in configs[1:]
    assert {"rate": 7.0} not in configs


def test_nothing_waits() -> None:
    made = fresh(population=4).suggest(30)
    assert len({suggestion.id for suggestion in made}) == 30


def test_a_failure_is_replaced_by_a_copy_of_a_good_one() -> None:
    searcher = fresh(population=5)

    def value(made: Suggestion) -> float | None:
        return None if made.id == "pbt-2" else distance(made.config)

    made = live(searcher, 10, value)
    assert [one.id for one in made].count("pbt-2") == 1
    turn = next(turn for turn, one in enumerate(made) if one.id == "pbt-5")
    known = {one.id: distance(one.config) for one in made[:turn] if one.id != "pbt-2"}
    parent = min(known, key=lambda name: known[name])
    assert made[turn].parent == parent
    stood = max(one.budget or 0.0 for one in made[:turn] if one.id == parent)
    assert made[turn].budget == stood + 1.0


def test_where_no_more_may_be_started_the_others_go_on() -> None:
    """A session that has started all its trials tells of new ones as failures."""
    searcher = fresh(population=10)
    known: set[str] = set()
    reached: dict[str, float] = {}
    for _ in range(120):
        (made,) = searcher.suggest(1)
        refused = made.id not in known and len(known) == 4
        if not refused:
            known.add(made.id)
            assert made.budget is not None
            reached[made.id] = made.budget
        value = None if refused else distance(made.config)
        searcher.observe([Result(made.id, made.config, value, made.budget)])
    assert len(reached) == 4
    assert set(reached.values()) == {8.0}


def test_copies_stay_in_the_space_and_hold_what_is_active() -> None:
    kinds = set()
    for made in live(fresh(), 300):
        assert spaces.contains(SPACE, made.config)
        kinds.add(made.config["kind"])
    assert kinds == {"plain", "heavy"}


def test_a_stopped_member_is_not_compared() -> None:
    searcher = fresh(population=5, min_budget=2.0)
    made = live(searcher, 5)
    (again,) = searcher.suggest(1)
    searcher.observe([Result(again.id, again.config, -1.0, 3.0)])  # asked for 4
    later = live(searcher, 20)
    assert again.id not in {one.id for one in later} | {one.parent for one in later}
    assert len(made) == 5


PARAMETERS = st.one_of(
    st.builds(lambda a, b: Float(min(a, b), max(a, b)), *[st.floats(-1e6, 1e6)] * 2),
    st.builds(lambda a, b: Int(min(a, b), max(a, b)), *[st.integers(-1000, 1000)] * 2),
)


@given(PARAMETERS, st.floats(0, 1), st.booleans())
def test_a_perturbed_number_stays_in_bounds_and_moves(
    parameter: Parameter, place: float, up: bool
) -> None:
    value = spaces.value_at(parameter, place)
    moved = perturbed(parameter, value, up=up)
    assert spaces.contains({"x": parameter}, {"x": moved})
    assert type(moved) is type(value)
    assert moved >= value if up else moved <= value
    edge = parameter.high if up else parameter.low  # type: ignore[union-attr]
    if isinstance(parameter, Int):
        assert (moved == value) == (value == edge)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"min_budget": 9.0}, "at most max_budget"),
        ({"min_budget": 0.0}, "above 0"),
        ({"population": 1}, "population"),
    ],
)
def test_wrong_settings_are_refused(how: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        fresh(**how)


def test_a_schedule_is_found() -> None:
    """Where the best rate falls with progress, a population beats all that keep their rates.

    A model's error shrinks by its distance from the rate that suits its progress; a constant
    rate is right for one step in eight.
    """

    def grown(error: float, config: Config, step: int) -> float:
        away = abs(math.log10(float(config["rate"])) + step / 2)
        return error * min(1.0, 0.2 + 0.6 * away)

    space: Space = {"rate": Float(1e-4, 1.0, log=True)}
    constant = []
    for config in grid(space, 50):
        error = 1.0
        for step in range(8):
            error = grown(error, config, step)
        constant.append(error)
    found = []
    for seed in range(5):
        searcher = Pbt(
            space,
            mode="minimize",
            generator=np.random.default_rng(seed),
            min_budget=1,
            max_budget=8,
        )
        errors: dict[str, float] = {}
        for _ in range(80):
            (made,) = searcher.suggest(1)
            assert made.budget is not None
            start = errors.get(made.parent or made.id, 1.0)
            errors[made.id] = grown(start, made.config, int(made.budget) - 1)
            searcher.observe([Result(made.id, made.config, errors[made.id], made.budget)])
        found.append(min(errors.values()))
    assert np.median(found) < min(constant)


def summing(config: Config, report: Report) -> None:
    total = report.checkpoint or 0.0
    for _ in range(report.step, 100):
        total += float(config["x"])
        report(total, checkpoint=total)


@pytest.mark.slow
@pytest.mark.parametrize("trials", [4, 10, 13])
def test_a_session_trains_a_population_on_from_its_checkpoints(tmp_path: Path, trials: int) -> None:
    """Each interval is one report: nothing is trained twice, and all reach the whole."""
    space: Space = {"x": Float(0.1, 1.0)}
    searcher = Pbt(
        space, mode="maximize", generator=np.random.default_rng(0), min_budget=1, max_budget=6
    )
    limits = Limits(metric="sum", direction="maximize", trials=trials)
    states: dict[str, Saved | None] = {}
    reports = asked = 0
    with Ledger.open(str(tmp_path), "run") as ledger, ledger.searching():
        session = Session(searcher, None, ledger, limits=limits)
        while (opened := session.next()) is not None:
            made, asked = opened.suggestion, asked + 1
            run = FunctionRun(summing, made.config, "sum", budget=made.budget)
            run.restore(states.get(made.parent or made.id))
            done = False
            while not done:
                rung, reports = run.advance(), reports + 1
                session.rung(opened.number, rung)
                done = rung.done
            states[made.id] = run.save()
            session.end(opened.number, "finished")
        found = session.result("trials")
    assert reports == asked
    assert len(found.trials) == trials
    assert {trial.rounds for trial in found.trials} == {6}
