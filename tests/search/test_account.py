"""What a ledger tells of its run."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from raymm.artifacts import Trial, as_record
from raymm.errors import DataError, Interrupted
from raymm.search import account
from raymm.search.ledger import Ledger


def trial(number, status="finished", reached=0):
    rungs = tuple((step, float(step)) for step in range(1, reached + 1))
    return Trial(id=f"t{number}", number=number, config={}, status=status, value=1.0, rungs=rungs)


def begun(ledger, number, budget):
    ledger.append("suggestion", number=number, id=f"t{number}", config={}, budget=budget)


def ended(ledger, one):
    ledger.append("trial", trial=as_record(one))


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(str(tmp_path), "train-1") as made:
        yield made


def test_trials_cut_short_by_their_budget_are_told_as_stopped(ledger):
    ledger.append("run", metric="loss", direction="minimize", source="", max_budget=27)
    cases = [
        (1.0, trial(0, reached=1), "stopped at 1 of 27"),
        (27.0, trial(1, reached=27), "finished"),
        (9.0, trial(2, reached=4), "finished"),  # ended by itself, before its budget
        (9.0, trial(3, "stopped", reached=5), "stopped at 5 of 27"),
        (9.0, trial(4, "failed", reached=2), "failed"),
        (None, trial(5, reached=3), "finished"),  # always trained whole
    ]
    for budget, one, _ in cases:
        begun(ledger, one.number, budget)
    found = account.budgets_of(ledger)
    assert [found.standing(one) for _, one, _ in cases] == [told for _, _, told in cases]


def test_a_trial_that_goes_on_stands_by_its_last_budget(ledger):
    for budget in (1.0, 3.0):
        begun(ledger, 0, budget)
    begun(ledger, 1, 9.0)
    ledger.append("suggestion", withdrawn=True, id="t7", config={}, budget=81.0)
    found = account.budgets_of(ledger)
    assert (dict(found.given), found.whole) == ({0: 3.0, 1: 9.0}, 9.0)
    assert found.standing(trial(0, reached=3)) == "stopped at 3 of 9"


def test_without_budgets_the_status_counts():
    plain = account.Budgets()
    assert plain.standing(trial(0)) == "finished"
    assert plain.standing(trial(0, "stopped", reached=4)) == "stopped at 4"


def test_a_run_has_ended_until_it_goes_on(tmp_path):
    where = str(tmp_path)

    def state():
        return account.state_of(Ledger.read(where, "r-1"), where)

    with Ledger.open(where, "r-1") as ledger:
        ledger.append("run", metric="loss", direction="minimize", source="")
        ended(ledger, trial(0))
        assert state() == "running"
    assert state() == "interrupted"
    with Ledger.open(where, "r-1") as ledger:
        account.close(ledger)
        account.close(ledger)
        assert len(ledger.records(account.ENDED)) == 1
    assert state() == "finished"
    with Ledger.open(where, "r-1") as ledger:
        ended(ledger, trial(1))
    assert state() == "interrupted"
    with Ledger.open(where, "r-1") as ledger:
        account.close(ledger, error="nothing worked")
    assert state() == "failed"


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (DataError("no feature"), "failed"),
        (ZeroDivisionError(), "failed"),
        (Interrupted("stopped"), "interrupted"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_an_error_ends_a_run_and_a_person_does_not(tmp_path, error, state):
    where = str(tmp_path)

    def run():
        with Ledger.open(where, "r-1") as ledger, account.closed_on_error(ledger):
            ledger.append("run", metric="loss", direction="minimize", source="a.csv")
            raise error

    with pytest.raises(type(error)):
        run()
    assert account.state_of(Ledger.read(where, "r-1"), where) == state
    with Ledger.open(where, "r-1") as ledger, account.closed_on_error(ledger):
        ended(ledger, trial(0))
        account.close(ledger)
    assert account.state_of(Ledger.read(where, "r-1"), where) == "finished"


def test_tables_of_earlier_versions_end_with_their_last_stage(tmp_path):
    where = str(tmp_path)
    with Ledger.open(where, "r-1") as ledger:
        ledger.append("run", metric="loss", direction="minimize", source="a.csv")
        ended(ledger, trial(0))
        for name in ("search", "build", "evaluate", "explain"):
            ledger.finish_stage(name, "k", {})
    told = Ledger.read(where, "r-1")
    assert (account.kind_of(told), account.state_of(told, where)) == ("table", "interrupted")
    with Ledger.open(where, "r-1") as ledger:
        ledger.finish_stage("audit", "k", {})
    assert account.state_of(Ledger.read(where, "r-1"), where) == "finished"


@pytest.mark.slow
def test_a_killed_process_leaves_no_running_run(tmp_path):
    code = (
        "import os, sys\nfrom raymm.search.ledger import Ledger\n"
        "ledger = Ledger.open(sys.argv[1], 'r-1')\nledger.append('run', source='')\n"
        "print('ready', flush=True)\nsys.stdin.read()\n"
    )
    call = [sys.executable, "-c", code, str(tmp_path)]
    child = subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "ready\n"
        found = Ledger.read(str(tmp_path), "r-1")
        assert account.state_of(found, str(tmp_path)) == "running"
    finally:
        child.kill()
        child.communicate()
    assert account.state_of(found, str(tmp_path)) == "interrupted"


@pytest.mark.parametrize(
    ("done", "limit", "told"),
    [
        (0, 5, ""),
        (1, 5, "1 trial of an earlier run read; going on with the 2nd"),
        (12, None, "12 trials of an earlier run read; going on with the 13th"),
        (3, 3, "3 trials of an earlier run read, as many as are asked for: ask for more to go on"),
    ],
)
def test_a_resumed_run_says_so(ledger, done, limit, told):
    for number in range(done):
        ended(ledger, trial(number))
    assert account.resumed(ledger, limit) == told


def test_when_a_run_was_written_to_is_known_here_only(tmp_path, ledger):
    path = tmp_path / "runs" / "train-1" / "ledger.jsonl"
    assert account.changed(str(tmp_path), "train-1") == path.stat().st_mtime
    assert account.changed(str(tmp_path), "other") is None
    assert account.changed("s3://bucket/x", "train-1") is None
    assert json.loads(json.dumps(account.kind_of(ledger))) == "function"


def test_what_was_closed_is_found_again_without_searching(tmp_path):
    where = str(tmp_path)
    with Ledger.open(where, "r-1") as ledger:
        ledger.append("run", metric="loss", direction="minimize", source="")
        for number in range(3):
            ended(ledger, trial(number))
        assert account.found(ledger, 3) is None, "it may have been killed before its end"
        account.close(ledger, stopped_by="plateau: still")
        found = account.found(ledger, 3)
        assert (found.metric, found.direction, found.stopped_by) == (
            "loss",
            "minimize",
            "plateau: still",
        )
        assert (len(found.trials), found.resumed) == (3, 3)
        assert account.found(ledger, 2) is not None
        assert account.found(ledger, 4) is None
        assert account.found(ledger, None) is None
        ended(ledger, trial(3))
        account.close(ledger, error="nothing worked")
        assert account.found(ledger, 4) is None
