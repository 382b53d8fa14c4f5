"""A session resumed from any prefix of its ledger goes on as the undisturbed one would."""

from __future__ import annotations

import gc
import os
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raymm.artifacts import Float, Progress, Space
from raymm.errors import SearchError
from raymm.search.halving import Halving
from raymm.search.ledger import Ledger
from raymm.search.limits import Limits
from raymm.search.searcher import Result, Searcher, Suggestion
from raymm.search.session import Session
from raymm.search.trial import Rung

SPACE: Space = {"x": Float(-1.0, 1.0)}


class Walker(Searcher):
    """Steps from the best result, so each suggestion depends on all results and their order."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(SPACE, mode="minimize", generator=np.random.default_rng(seed))
        self.best, self.centre, self.count = float("inf"), 0.5, 0

    def suggest(self, count: int) -> list[Suggestion]:
        self.count += 1
        x = float(np.clip(self.centre + self.generator.normal(0, 0.3), -1, 1))
        return [Suggestion(f"w{self.count}", {"x": x})]

    def observe(self, results: Sequence[Result]) -> None:
        for result in results:
            if result.value is not None and result.value < self.best:
                self.best, self.centre = result.value, float(result.config["x"] or 0)


class Halve:
    """Stops what is worse than the median of what was seen at the same amount of training."""

    def __init__(self) -> None:
        self.seen: dict[int, list[float]] = {}

    def decide(self, trial_id: str, budget: int, value: float, *, group: str) -> bool:
        seen = self.seen.setdefault(budget, [])
        seen.append(value)
        return value <= float(np.median(seen))


LIMITS = Limits(metric="loss", direction="minimize", trials=8)


class Killed(Exception):
    pass


def drive(storage: Path, run: str, *, die_at: int = 10**9, limits: Limits = LIMITS) -> Session:
    """Run trials one after the other; die before record number ``die_at`` is written."""
    with Ledger.open(str(storage), run) as ledger:
        append = ledger.append

        def dying(kind: str, **record: object) -> None:
            if len(ledger.records()) >= die_at:
                raise Killed
            append(kind, **record)

        ledger.append = dying  # type: ignore[method-assign]
        session = Session(Walker(), Halve(), ledger, limits=limits)
        while (opened := session.next()) is not None:
            x = float(opened.suggestion.config["x"] or 0)
            status = "finished"
            for rounds in (1, 2, 3):
                value = (x - 0.2) ** 2 + 1 / rounds
                if not session.rung(opened.number, Rung(rounds=rounds, value=value)):
                    status = "stopped"
                    break
            session.end(opened.number, status)  # type: ignore[arg-type]
        return session


@pytest.mark.slow
def test_resuming_from_any_record_gives_the_undisturbed_run(tmp_path: Path) -> None:
    drive(tmp_path, "whole")
    whole = Ledger.read(str(tmp_path), "whole")
    assert {trial.status for trial in whole.trials()} == {"finished", "stopped"}
    for cut in range(len(whole.records())):
        with pytest.raises(Killed):
            drive(tmp_path, f"cut{cut}", die_at=cut)
        done = len(Ledger.read(str(tmp_path), f"cut{cut}").trials())
        session = drive(tmp_path, f"cut{cut}")
        resumed = Ledger.read(str(tmp_path), f"cut{cut}")
        assert resumed.digest() == whole.digest()
        assert resumed.rungs() == whole.rungs()
        assert session.resumed == done


def test_where_the_searcher_changed_the_record_is_trusted(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        drive(tmp_path, "run", die_at=7)
    with Ledger.open(str(tmp_path), "run") as ledger:
        known = [r["config"] for r in ledger.records("suggestion")]
        session = Session(Walker(seed=9), Halve(), ledger, limits=LIMITS)
        opened = session.next()
        assert opened is not None
        assert opened.suggestion.config == known[opened.number]


def test_a_larger_budget_goes_on_and_an_equal_one_runs_nothing(tmp_path: Path) -> None:
    drive(tmp_path, "run")
    assert drive(tmp_path, "run").resumed == 8
    more = Limits(metric="loss", direction="minimize", trials=10)
    assert len(drive(tmp_path, "run", limits=more).result("trials").trials) == 10


def test_at_the_deadline_trials_count_with_what_they_had(tmp_path: Path) -> None:
    limits = Limits(metric="loss", direction="minimize", seconds=100.0)
    with Ledger.open(str(tmp_path), "run") as ledger:
        session = Session(Walker(), None, ledger, limits=limits)
        first, second = session.next(), session.next()
        assert first is not None
        assert second is not None
        session.rung(first.number, Rung(rounds=20, value=0.5, fold_values=(0.4, 0.6)))
        session.rung(first.number, Rung(rounds=30, value=0.7, fold_values=(0.6, 0.8)))
        session.close({first.number: 3.0, second.number: 3.0})
        trials = session.result("time")
    (kept,) = trials.trials
    assert (kept.status, kept.value, kept.rounds, kept.fold_values) == (
        "stopped",
        0.5,
        20,
        (0.4, 0.6),
    )
    with Ledger.open(str(tmp_path), "run") as ledger:
        again = Session(Walker(), None, ledger, limits=limits).next()
        assert again is not None
        assert again.number == second.number


def test_five_failures_at_the_beginning_end_the_search(tmp_path: Path) -> None:
    with Ledger.open(str(tmp_path), "run") as ledger:
        session = Session(Walker(), None, ledger, limits=LIMITS)
        for number in range(5):
            assert session.next() is not None
            if number < 4:
                session.end(number, "failed", error="boom")
        with pytest.raises(SearchError, match="boom"):
            session.end(4, "failed", error="boom")
        assert len(ledger.trials()) == 5


def test_a_failure_after_a_success_is_only_recorded(tmp_path: Path) -> None:
    with Ledger.open(str(tmp_path), "run") as ledger:
        session = Session(Walker(), None, ledger, limits=LIMITS)
        for number in range(8):
            assert session.next() is not None
            if number == 0:
                session.rung(number, Rung(rounds=1, value=1.0))
            session.end(number, "failed" if number else "finished", error="x" if number else "")
        assert session.finished
        assert len(session.result("trials").leaderboard) == 1


def quick(session: Session, number: int, value: float, rounds: int = 1, seconds: float = 0) -> None:
    session.rung(number, Rung(rounds=rounds, value=value, done=True))
    session.end(number, "finished", seconds=seconds)


class Climber(Searcher):
    """Goes on with the best of each two that it has started, from budget 1 to 2."""

    multi_fidelity = True

    def __init__(self) -> None:
        super().__init__(SPACE, mode="minimize", generator=np.random.default_rng(0))
        self.told: list[Result] = []
        self.count, self.pairs = 0, 0

    def suggest(self, count: int) -> list[Suggestion]:
        firsts = [r for r in self.told if r.budget == 1.0]
        pair = firsts[2 * self.pairs : 2 * self.pairs + 2]
        if len(pair) == 2:
            self.pairs += 1
            scored = [r for r in pair if r.value is not None]
            if scored:
                best = min(scored, key=lambda r: r.value or 0.0)
                return [Suggestion(best.id, best.config, 2.0)]
        self.count += 1
        x = float(self.generator.uniform(-1, 1))
        return [Suggestion(f"c{self.count}", {"x": x}, 1.0)]

    def observe(self, results: Sequence[Result]) -> None:
        self.told += [result for result in results if result.final]


def climb(storage: Path, run: str, *, trials: int = 6, die_at: int = 10**9) -> Session:
    with Ledger.open(str(storage), run) as ledger:
        append = ledger.append

        def dying(kind: str, **record: Any) -> None:
            if len(ledger) >= die_at:
                raise Killed
            append(kind, **record)

        ledger.append = dying  # type: ignore[method-assign]
        limits = Limits(metric="loss", direction="minimize", trials=trials)
        session = Session(Climber(), None, ledger, limits=limits)
        while (opened := session.next()) is not None:
            x = float(opened.suggestion.config["x"] or 0)
            rounds = int(opened.suggestion.budget or 0)
            # A worker without the state begins anew and gives the first rung once more.
            for done in range(1, rounds + 1):
                session.rung(opened.number, Rung(rounds=done, value=x**2 / done))
            session.end(opened.number, "finished", seconds=1.0)
        assert session.finished
        return session


def test_what_goes_on_keeps_its_number_and_configurations_are_counted(tmp_path: Path) -> None:
    trials = climb(tmp_path, "run").result("trials").trials
    assert [t.number for t in trials] == list(range(6))
    went_on = [t for t in trials if len(t.rungs) == 2]
    assert len(went_on) == 3
    assert {t.seconds for t in went_on} == {2.0}
    ledger = Ledger.read(str(tmp_path), "run")
    assert ledger.trials() == trials
    assert len(ledger.records("trial")) == 9
    budgets = [r["budget"] for r in ledger.records("suggestion") if "number" in r]
    assert sorted(budgets) == [1.0] * 6 + [2.0] * 3


@pytest.mark.slow
def test_a_session_of_trials_that_go_on_resumes_from_any_record(tmp_path: Path) -> None:
    climb(tmp_path, "whole")
    whole = Ledger.read(str(tmp_path), "whole")
    # After the last trial only what is not tried any more is written.
    last = max(n for n, r in enumerate(whole.records()) if r["kind"] == "trial")
    for cut in range(last + 1):
        with pytest.raises(Killed):
            climb(tmp_path, f"cut{cut}", die_at=cut)
        climb(tmp_path, f"cut{cut}")
        resumed = Ledger.read(str(tmp_path), f"cut{cut}")
        assert resumed.digest() == whole.digest()
        assert resumed.rungs() == whole.rungs()


def test_once_complete_it_is_complete_and_more_trials_go_on(tmp_path: Path) -> None:
    climb(tmp_path, "run")
    size = len(Ledger.read(str(tmp_path), "run"))
    climb(tmp_path, "run")
    assert len(Ledger.read(str(tmp_path), "run")) == size
    more = climb(tmp_path, "run", trials=9)
    assert (more.resumed, more.done) == (6, 9)


def test_a_trial_that_fails_as_it_goes_on_keeps_what_it_had(tmp_path: Path) -> None:
    with Ledger.open(str(tmp_path), "run") as ledger:
        searcher = Climber()
        session = Session(searcher, None, ledger, limits=LIMITS)
        for value in (0.5, 0.4):
            opened = session.next()
            assert opened is not None
            quick(session, opened.number, value)
        again = session.next()
        assert again is not None
        assert (again.number, again.suggestion.budget) == (1, 2.0)
        session.end(1, "failed", error="out of memory")
        kept = session.result("trials").trials[1]
        assert (kept.value, kept.status, kept.error) == (0.4, "stopped", "out of memory")
        assert [(r.id, r.value, r.budget) for r in searcher.told][-1] == ("c2", None, 2.0)
    assert Session(Climber(), None, Ledger.read(str(tmp_path), "run"), limits=LIMITS).done == 2


def test_an_id_that_has_not_ended_cannot_go_on(tmp_path: Path) -> None:
    class Twice(Climber):
        def suggest(self, count: int) -> list[Suggestion]:
            return [Suggestion("same", {"x": 0.0}, 1.0)]

    with Ledger.open(str(tmp_path), "run") as ledger:
        session = Session(Twice(), None, ledger, limits=LIMITS)
        session.next()
        with pytest.raises(SearchError, match="same again before"):
            session.next()


def test_compute_and_plateau_end_it_and_hold_after_resuming(tmp_path: Path) -> None:
    for run, limit, words in (("a", {"compute": 6.0}, "compute"), ("b", {"plateau": 2}, "plateau")):
        limits = Limits(metric="loss", direction="minimize", cpus=2.0, **limit)  # type: ignore[arg-type]
        with Ledger.open(str(tmp_path), run) as ledger:
            session = Session(Walker(), None, ledger, limits=limits)
            while (opened := session.next()) is not None:
                quick(session, opened.number, 1.0, seconds=1.0)
            assert session.spending.over().startswith(words)
            assert session.done == 3
        with Ledger.open(str(tmp_path), run) as ledger:
            assert Session(Walker(), None, ledger, limits=limits).next() is None


@pytest.mark.long
def test_ten_thousand_trials_cost_the_same_each_and_replay_in_linear_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a disk costs is no matter of this test.
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    limits = Limits(metric="loss", direction="minimize", plateau=10**6)
    costs = []
    with Ledger.open(str(tmp_path), "run") as ledger:
        session = Session(Walker(), Halving("minimize", minimum=1), ledger, limits=limits)
        for _ in range(10):
            began = time.process_time()
            for _ in range(1000):
                opened = session.next()
                assert opened is not None
                quick(session, opened.number, float(opened.suggestion.config["x"] or 0))
            costs.append(time.process_time() - began)
    # About 0.3 ms a trial throughout. Were it O(n), the second half would cost three times the
    # first one; sums of five thousand trials vary by far less than half on a busy machine.
    assert sum(costs[5:]) < 2 * sum(costs[:5])
    with Ledger.open(str(tmp_path), "run") as ledger:
        began = time.process_time()
        again = Session(Walker(), Halving("minimize", minimum=1), ledger, limits=limits)
        assert again.done == 10_000
        assert time.process_time() - began < sum(costs)


def held() -> int:
    """Return the traced bytes, less the tuples that Python keeps for reuse."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.slow
def test_a_trial_that_ended_leaves_next_to_nothing_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    limits = Limits(metric="loss", direction="minimize", trials=700)
    with Ledger.open(str(tmp_path), "run") as ledger:
        session = Session(Walker(), None, ledger, limits=limits)
        tracemalloc.start()
        try:
            while (opened := session.next()) is not None:
                quick(session, opened.number, float(opened.suggestion.config["x"] or 0))
                if session.done == 200:
                    before = held()
            grown = held() - before
        finally:
            tracemalloc.stop()
        assert len(session.result("trials").trials) == 700
    # A few records of 16 bytes each, in arrays that grow by an eighth; a trial itself takes 2 kB.
    assert grown / 500 < 200


def test_progress_is_told_after_it_is_on_disk(tmp_path: Path) -> None:
    told: list[Progress] = []

    def notify(progress: Progress) -> None:
        assert len(Ledger.read(str(tmp_path), "run").trials()) == progress.done
        told.append(progress)

    with Ledger.open(str(tmp_path), "run") as ledger:
        session = Session(Walker(), None, ledger, limits=LIMITS, notify=notify)
        for number, value in enumerate((0.5, 0.3, 0.9)):
            session.next()
            session.rung(number, Rung(rounds=1, value=value))
            session.end(number, "finished")
    assert [progress.best for progress in told] == [0.5, 0.3, 0.3]


def test_a_worker_that_ends_a_trial_is_counted_as_busy_while_more_are_to_come(
    tmp_path: Path,
) -> None:
    told: list[Progress] = []
    limits = Limits(metric="loss", direction="minimize", trials=3)
    with Ledger.open(str(tmp_path), "run") as ledger:
        session = Session(Walker(), None, ledger, limits=limits, notify=told.append)
        session.next()
        session.next()
        for number in range(3):
            session.rung(number, Rung(rounds=1, value=0.1))
            session.end(number, "finished")
            session.next()
    assert [progress.running for progress in told] == [2, 1, 0]


def test_a_trial_is_judged_by_how_far_it_has_come_and_so_when_replayed(tmp_path: Path) -> None:
    class Seen(Halve):
        def __init__(self) -> None:
            super().__init__()
            self.budgets: list[int] = []

        def decide(self, trial_id: str, budget: int, value: float, *, group: str) -> bool:
            self.budgets.append(budget)
            return True

    def session(ledger: Ledger, scheduler: Seen) -> Session:
        return Session(Walker(), scheduler, ledger, limits=LIMITS)

    with Ledger.open(str(tmp_path), "paced") as ledger:
        first = Seen()
        made = session(ledger, first)
        opened = made.next()
        assert opened is not None
        for rounds in (20, 30):
            made.rung(opened.number, Rung(rounds=rounds, value=1.0, pace=0.4))
        made.end(opened.number, "finished")
    with Ledger.open(str(tmp_path), "paced") as ledger:
        again = Seen()
        session(ledger, again)
    assert first.budgets == again.budgets == [8, 12]
