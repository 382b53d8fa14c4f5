"""The pool: whatever dies, hangs or is lost, every trial ends once and the search goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raymm.artifacts import Config, Float, Space, Trials
from raymm.errors import SearchError
from raymm.search.desk import Desk
from raymm.search.ledger import Ledger
from raymm.search.limits import Limits
from raymm.search.searcher import Result, Searcher, Suggestion
from raymm.search.session import Session
from raymm.search.trial import Rung
from raymm.search.workers import Pool, Worker

SPACE: Space = {"x": Float(0.0, 1.0)}


class Steps:
    """A run of ``budget`` steps (three without one) whose state is the count of them."""

    def __init__(self, config: Config, budget: float | None) -> None:
        self.count, self.end = 0, int(budget or 3)
        self.x = float(config["x"] or 0.0)

    def advance(self) -> Rung:
        self.count += 1
        value = self.x + 1 / self.count
        return Rung(rounds=self.count, value=value, done=self.count >= self.end)

    def save(self) -> int:
        return self.count

    def restore(self, state: int) -> None:
        self.count = state


def make(number: int, config: Config, budget: float | None) -> Steps:
    return Steps(config, budget)


class Again(Searcher):
    """Suggests each of three configurations with budgets 2 and 4, the second time from itself,
    and the last time from the first one's checkpoint."""

    multi_fidelity = True

    def __init__(self) -> None:
        super().__init__(SPACE, mode="minimize", generator=np.random.default_rng(0))
        self.asked: list[Suggestion] = [
            Suggestion(f"a{n}", {"x": n / 10}, budget, parent)
            for budget, parent in ((2.0, None), (4.0, None), (6.0, "a0"))
            for n in range(3)
        ]
        self.told: list[Result] = []

    def suggest(self, count: int) -> list[Suggestion]:
        if self.asked and self.asked[0].id not in {r.id for r in self.told} | self._new():
            return []
        made, self.asked = self.asked[:count], self.asked[count:]
        return made

    def _new(self) -> set[str]:
        return {s.id for s in self.asked if s.budget == 2.0}

    def observe(self, results: Sequence[Result]) -> None:
        self.told += [result for result in results if result.final]


class Line(Searcher):
    def __init__(self) -> None:
        super().__init__(SPACE, mode="minimize", generator=np.random.default_rng(0))
        self.count = 0

    def suggest(self, count: int) -> list[Suggestion]:
        self.count += 1
        return [Suggestion(f"l{self.count}", {"x": self.count / 100})]

    def observe(self, results: Sequence[Result]) -> None:
        return None


def go(
    storage: Path,
    backend: Any,
    searcher: Searcher | None = None,
    *,
    trials: int = 6,
    size: int = 2,
    timeout: float | None = None,
) -> Trials:
    with Ledger.open(str(storage), "run") as ledger, ledger.searching():
        limits = Limits(metric="loss", direction="minimize", trials=trials)
        session = Session(searcher or Line(), None, ledger, limits=limits)
        desk = Desk(session, timeout=timeout, grace=0.0, kill=backend.kill)
        Pool(desk, backend, size=size, max_failures=2).run()
        assert desk.fault is None, desk.fault
        return session.result("trials")


def test_every_trial_ends_once_and_no_worker_is_left(tmp_path: Path, here: Any) -> None:
    backend = here(make)
    done = go(tmp_path, backend)
    assert [trial.number for trial in done.trials] == list(range(6))
    assert {(trial.status, trial.rounds) for trial in done.trials} == {("finished", 3)}
    assert backend.started == 2
    assert not backend.alive


def test_no_more_workers_are_started_than_there_are_trials(tmp_path: Path, here: Any) -> None:
    backend = here(make)
    go(tmp_path, backend, trials=2, size=16)
    assert backend.started == 2


@pytest.mark.slow
def test_a_trial_begins_again_when_its_worker_dies_and_its_rungs_count_once(
    tmp_path: Path, here: Any
) -> None:
    calm = go(tmp_path / "calm", here(make))
    shaken = go(tmp_path / "shaken", here(make, deaths=[0, 5, 6, 13, 20]))
    kept = [(t.number, t.value, t.rungs, t.status) for t in shaken.trials]
    assert kept == [(t.number, t.value, t.rungs, t.status) for t in calm.trials]


def test_a_trial_that_kills_its_worker_each_time_fails_alone(tmp_path: Path, here: Any) -> None:
    # One worker: the calls 0, 1 and 2 are all the first trial's.
    done = go(tmp_path, here(make, deaths=[0, 1, 2]), size=1)
    assert [t.status for t in done.trials] == ["failed"] + ["finished"] * 5
    assert done.trials[0].error.startswith("the worker process died 3 times")


def test_workers_that_never_stand_end_the_search(tmp_path: Path, here: Any) -> None:
    with pytest.raises(SearchError, match="died before they were ready: killed"):
        go(tmp_path, here(make, stillborn=100))
    assert len(go(tmp_path, here(make, stillborn=4)).trials) == 6


def test_a_trial_goes_on_from_its_state_and_from_its_parents(tmp_path: Path, here: Any) -> None:
    backend, searcher = here(make), Again()
    done = go(tmp_path, backend, searcher, trials=3, size=1)
    begun = [(task["number"], task["budget"], state) for task, state in backend.tasks if task]
    assert [(number, budget, state and state[0]) for number, budget, state in begun] == [
        *((n, 2.0, None) for n in range(3)),
        *((n, 4.0, 2) for n in range(3)),
        # The first one's checkpoint is from budget 4, and then from its own last part.
        (0, 6.0, 4),
        (1, 6.0, 6),
        (2, 6.0, 6),
    ]
    assert [result.budget for result in searcher.told] == [2.0] * 3 + [4.0] * 3 + [6.0] * 3
    assert [t.rounds for t in done.trials] == [6, 7, 7]


@pytest.mark.slow
def test_where_its_state_is_gone_a_trial_begins_anew_to_the_same_end(
    tmp_path: Path, here: Any
) -> None:
    calm = go(tmp_path / "calm", here(make), Again(), trials=3, size=1)
    # Calls: 3 times 2 rungs with budget 2, then the second part of the first trial.
    lost = go(tmp_path / "lost", here(make, losses=[6]), Again(), trials=3, size=1)
    assert [(t.value, t.rungs) for t in lost.trials] == [(t.value, t.rungs) for t in calm.trials]


class Hanging:
    def __init__(self, config: Config) -> None:
        self.x = float(config["x"] or 0.0)

    def advance(self) -> Rung:
        if self.x == 0.01:
            time.sleep(60)
        return Rung(rounds=1, value=self.x, done=True)


@pytest.mark.slow
def test_a_late_trial_fails_where_it_stood_and_its_worker_is_replaced(
    tmp_path: Path, here: Any
) -> None:
    backend = here(lambda number, config, budget: Hanging(config))
    began = time.monotonic()
    done = go(tmp_path, backend, timeout=0.2, size=1)
    assert time.monotonic() - began < 30
    assert [t.status for t in done.trials] == ["failed"] + ["finished"] * 5
    first, place = done.trials[0].error.splitlines()
    assert first == "the trial took longer than 0.2 s (search.trial_timeout)"
    assert "test_workers.py" in place
    assert place.endswith("in advance")
    assert backend.started == 2


class Broken:
    def advance(self) -> Rung:
        raise MemoryError("no room for the table")


def test_what_raises_is_told_with_its_place() -> None:
    told, _ = Worker(lambda *given: Broken()).work(
        {"number": 0, "config": {}, "budget": None, "keep": False}, None, None
    )
    assert told["error"].startswith("MemoryError: no room for the table")
    assert told["error"].endswith("in advance")
