"""The desk: late trials are killed once, and nothing is taken in after it is closed."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from raymm.artifacts import Float
from raymm.errors import RegistryError
from raymm.search.desk import Desk
from raymm.search.faults import NOTICE
from raymm.search.ledger import Ledger
from raymm.search.limits import Limits
from raymm.search.random import Random
from raymm.search.session import Session
from raymm.search.trial import Rung


@pytest.fixture
def killed() -> list[Any]:
    return []


@pytest.fixture
def desk(tmp_path: Path, killed: list[Any]) -> Desk:
    space = {"x": Float(0.0, 1.0)}
    searcher = Random(space, mode="minimize", generator=np.random.default_rng(0))
    limits = Limits(metric="loss", direction="minimize", trials=3)
    session = Session(searcher, None, Ledger.open(str(tmp_path), "run"), limits=limits)
    return Desk(session, timeout=0.01, grace=0.0, kill=killed.append)


RUNG = {"rung": Rung(rounds=1, value=0.5, fold_values=(0.5,), done=True), "done": True}


def test_a_trial_is_suggested_told_and_ended(desk: Desk) -> None:
    config = desk.suggest("t")
    assert config is not None
    assert config["number"] == 0
    desk.started("t", SimpleNamespace())
    desk.complete("t", RUNG)
    (trial,) = desk.session.result("trials").trials
    assert (trial.value, trial.status) == (0.5, "finished")


@pytest.mark.slow
def test_a_late_trial_is_killed_once_and_fails(desk: Desk, killed: list[Any]) -> None:
    desk.suggest("t")
    trial = SimpleNamespace()
    desk.started("t", trial)
    time.sleep(0.02)
    desk.end_late()
    assert killed == [], "it has a moment to tell where it stands"
    time.sleep(NOTICE)
    desk.end_late()
    desk.end_late()
    assert killed == [trial]
    assert desk.is_late("t")
    desk.complete("t", None, error="it died")
    assert "longer than 0.01 s" in desk.session._ledger.trials()[0].error


def test_nothing_is_taken_in_after_closing(desk: Desk) -> None:
    desk.suggest("t")
    desk.started("t", SimpleNamespace())
    desk.close(keep=True)
    assert not desk.result("t", RUNG)
    desk.complete("t", RUNG)
    assert desk.suggest("u") is None
    assert desk.session.done == 0


def test_a_fault_of_the_ledger_ends_the_search(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **record: Any) -> None:
        raise RegistryError("full")

    monkeypatch.setattr(desk.session._ledger, "append", full)
    assert desk.suggest("t") is None
    assert isinstance(desk.fault, RegistryError)
    assert desk.over
