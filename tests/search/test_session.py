"""A session resumed from any prefix of its ledger goes on as the undisturbed one would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from raymm.artifacts import Float, Progress, Space
from raymm.errors import SearchError
from raymm.search.ledger import Ledger
from raymm.search.searcher import Result, Searcher, Suggestion
from raymm.search.session import Limits, Session
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
