"""What is spent is told by name, and counts all sessions."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from raymm.artifacts import Trial
from raymm.search.goals import Goals
from raymm.search.ledger import Ledger
from raymm.search.limits import FIRST, Limits, Spending


def spending(tmp_path: Path, **how: Any) -> Spending:
    limits = Limits(metric="loss", direction="minimize", **how)
    return Spending(limits, Ledger.open(str(tmp_path), "run"))


def ended(value: float) -> Trial:
    return Trial(id="t", number=0, config={}, status="finished", value=value)


def failed() -> Trial:
    return Trial(id="t", number=0, config={}, status="failed", error="boom")


def test_without_limits_nothing_ends_it(tmp_path: Path) -> None:
    free = spending(tmp_path)
    free.add(ended(1.0), 1e9)
    assert free.over(1e9) == ""
    assert free.seconds_left is None


def test_compute_counts_cpus_and_what_still_runs(tmp_path: Path) -> None:
    known = spending(tmp_path, compute=10.0, cpus=2.0)
    known.add(ended(1.0), 5.0)
    assert known.over(2.4) == ""
    assert known.over(2.5) == "compute"


def test_time_is_that_of_the_ledger(tmp_path: Path) -> None:
    ledger = Ledger.open(str(tmp_path), "run")
    limits = Limits(metric="loss", direction="minimize", seconds=1e-6)
    known = Spending(limits, ledger)
    known.hear()
    assert known.over() == ""
    with ledger.searching():
        time.sleep(1e-3)
        assert known.over() == "time"
    assert known.seconds_left is not None
    assert known.seconds_left < 0


def test_a_first_result_is_waited_for_and_a_failure_is_one(tmp_path: Path) -> None:
    for number, come in enumerate((Spending.hear, lambda one: one.add(failed(), 1.0))):
        known = spending(tmp_path / str(number), seconds=1e-9)
        assert known.over() == ""
        assert 59.0 < (known.seconds_left or 0.0) <= FIRST + 1e-9
        come(known)
        with known._ledger.searching():
            time.sleep(1e-3)
            assert known.over() == "time"
    late = spending(tmp_path / "late", seconds=500.0)
    assert late.seconds_left == 1000.0


def test_a_plateau_gives_its_reason(tmp_path: Path) -> None:
    known = spending(tmp_path, plateau=2)
    for value in (1.0, 2.0):
        known.add(ended(value), 0.0)
        assert known.over() == ""
    known.add(ended(3.0), 0.0)
    assert known.over().startswith("plateau: none of the last 2 trials was better than 1 ")


def test_with_several_goals_the_front_counts(tmp_path: Path) -> None:
    goals = Goals(objectives={"loss": "min", "bytes": "min"})
    known = spending(tmp_path, plateau=2, goals=goals)
    for number in range(4):  # the loss stands still, the bytes shrink
        metrics = {"loss": 1.0, "bytes": 9.0 - number}
        trial = Trial(id="t", number=0, config={}, status="finished", value=1.0, metrics=metrics)
        known.add(trial, 0.0)
        assert known.over() == ""
    known.add(trial, 0.0)
    known.add(trial, 0.0)
    assert "the front" in known.over()


def test_what_breaks_a_constraint_comes_after_all_that_keeps_them(tmp_path: Path) -> None:
    goals = Goals(objectives={"loss": "min", "ms": "min"}, constraints={"ms": (None, 5.0)})
    limits = Limits(metric="loss", direction="minimize", goals=goals)

    def trial(number: int, loss: float, **metrics: float) -> Trial:
        told = {"loss": loss, **metrics}
        status = "finished"
        return Trial(
            id=str(number), number=number, config={}, status=status, value=loss, metrics=told
        )

    slow, good, fair, untold = (
        trial(0, 0.1, ms=9.0),
        trial(1, 0.2, ms=5.0),
        trial(2, 0.3, ms=1.0),
        trial(3, 0.0),
    )
    ordered = sorted([untold, fair, slow, good], key=limits.order)
    assert [one.number for one in ordered] == [1, 2, 3, 0]
    assert [limits.allows(one) for one in ordered] == [True, True, False, False]
