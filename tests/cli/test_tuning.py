"""raymm tune: what it takes, what it refuses, what it prints."""

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest

from raymm import tuning
from raymm.artifacts import Trial, Trials
from raymm.cli import tuning as command
from raymm.errors import ConfigError
from raymm.search.account import Budgets
from raymm.search.goals import Goals
from raymm.search.objective import FunctionRun
from raymm.search.session import Limits, Session
from raymm.tuned import Tuned


def write(path, text):
    path.write_text(text)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with functions and a space, in which searches run in this process."""

    def search(function, space, searcher, ledger, **how):
        limits = Limits(metric=how["metric"], direction=how["mode"], trials=how["trials"])
        session = Session(searcher, None, ledger, limits=limits, notify=how["notify"])
        while (opened := session.next()) is not None:
            run = FunctionRun(function, opened.suggestion.config, how["metric"])
            session.rung(opened.number, run.advance())
            session.end(opened.number, "finished")
        return session.result("trials")

    monkeypatch.setattr(tuning.cluster, "connect", lambda config: nullcontext())
    monkeypatch.setattr(tuning.running, "tune_function", search)
    write(tmp_path / "space.yaml", "x: {float: [0, 1]}\n")
    text = "def bowl(config):\n    return (config['x'] - 0.25) ** 2\n"
    text += "def both(config):\n    return {'error': config['x'], 'bytes': 1 - config['x']}\n"
    write(tmp_path / "told_by_tests.py", text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYMM_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.slow
def test_a_person_is_told_the_best_and_what_to_type_next(raymm, here):
    call = ("tune", "told_by_tests:bowl", "space.yaml", "--mode", "min", "--trials")
    done = raymm(*call, 6)
    assert done.code == 0, done.err
    found = json.loads(raymm(*call, 6, "--json").out)
    assert f"config   {found['best']['configuration']}" in done.out
    for words in (
        "Leaderboard: value; lower is better",
        "6 finished",
        f"raymm report {found['run']}",
    ):
        assert words in done.out
    assert "family" not in done.out
    assert "validation" not in done.out
    assert "is sought" not in done.err
    more = raymm(*call, 9)
    assert "6 trials of an earlier run read; going on with the 7th" in more.err
    assert "6 of them read from an earlier run" in more.out
    again = raymm(*call, 9)
    assert "9 trials of an earlier run read, as many as are asked for" in again.err


def test_what_nobody_said_is_told_before_and_after(raymm, here):
    done = raymm("tune", "told_by_tests:bowl", "space.yaml", "--trials", 3)
    assert "Give --mode min where lower is better, else --mode max" in done.err
    assert "with --mode min" in done.out
    silent = raymm("tune", "told_by_tests:bowl", "space.yaml", "--trials", 3, "--json")
    assert "--mode min" in silent.err
    assert json.loads(silent.out)["direction"] == "maximize"


def test_a_loss_is_known_by_its_name(raymm, here):
    done = raymm(
        "tune", "told_by_tests:both", "space.yaml", "--metric", "error", "--trials", 3, "--json"
    )
    assert json.loads(done.out)["direction"] == "minimize"
    assert done.err == ""


def test_several_objectives_and_bounds(raymm, here):
    call = (
        "tune", "told_by_tests:both", "space.yaml", "--objective", "error", "--objective",
        "bytes:min", "--constraint", "error<=0.75", "--constraint", "error >= 0.1", "--trials", 8,
    )  # fmt: skip
    done = raymm(*call)
    assert done.code == 0, done.err
    told = " ".join(done.out.split())  # a title is folded to the table's width
    assert "lowest error, lowest bytes; error at least 0.1 and at most 0.75" in told
    assert "hypervolume" in done.out
    found = json.loads(raymm(*call, "--json").out)
    assert all(0.1 <= one["values"]["error"] <= 0.75 for one in found["front"])
    assert set(found["reference"]) == {"error", "bytes"}
    board = json.loads(raymm("leaderboard", found["run"], "--json").out)
    assert sorted(board["front"]) == sorted(one["trial"] for one in found["front"])
    assert "Front: " in raymm("leaderboard", found["run"]).out


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--objective", "thing"], '"thing:min" or "thing:max"'),
        (["--objective", "error:up"], '"error:min" or "error:max"'),
        (["--objective", "error", "--objective", "error:max"], "twice"),
        (["--constraint", "error<=1"], "--objective"),
        (["--objective", "error", "--metric", "error"], "--metric and --mode"),
        (["--objective", "error", "--constraint", "error<1"], "NAME<=NUMBER"),
        (["--objective", "error", "--constraint", "error<=much"], "NAME<=NUMBER"),
        (["--algorithm", "pbt"], "--min-budget and --max-budget"),
        (["--algorithm", "pbt"], "--min-budget 1, --max-budget 27"),
        (["--min-budget", "9", "--max-budget", "3"], "--min-budget must be at most --max-budget"),
        (["--plateau", "often"], "--plateau must be 'auto'"),
        (["--trial-timeout", "soon"], "--trial-timeout must be a duration"),
        (["--max-failures", "-1"], "--max-failures must be at least 0"),
        (["--trials", "0"], "--trials must be at least 1"),
        (["--seed", "-1"], "--seed must be at least 0"),
    ],
)
def test_what_is_wrong_is_told_in_the_words_typed(raymm, here, given, words):
    done = raymm("tune", "told_by_tests:bowl", "space.yaml", *given)
    assert (done.code, "Traceback" in done.err) == (2, False), done.err
    assert words in done.err
    assert "search." not in done.err
    assert "Input should" not in done.err


def test_objectives_may_hold_colons():
    assert command.objectives(("a:b:min", "loss")) == {"a:b": "min", "loss": "min"}
    assert command.objectives(()) is None
    with pytest.raises(ConfigError, match="must say"):
        command.objectives((":min",))


def test_two_bounds_of_a_name_go_together():
    assert command.constraints(("ms<=5", "ms>=-1e-3", "mb <= 2")) == {
        "ms": (-0.001, 5.0),
        "mb": (None, 2.0),
    }


def test_trials_cut_short_are_told_apart(capsys):
    trials = tuple(
        Trial(
            id=str(n),
            number=n,
            config={"x": n},
            status="finished",
            value=float(n),
            rungs=((9, 1.0),),
        )
        for n in range(2)
    )
    made = Trials(trials=trials, direction="maximize", metric="score", seconds=2.0)
    budgets = Budgets(given={0: 9.0, 1: 27.0}, whole=27.0)
    command.show(Tuned(run="r-1", trials=made, budgets=budgets))
    out = capsys.readouterr().out
    assert "stopped at 9 of 27" in out
    assert "2: 1 finished, 1 stopped early" in out


def test_no_trial_that_keeps_a_bound_is_said(capsys):
    one = Trial(
        id="0", number=0, config={"x": 1}, status="finished", value=2.0,
        metrics={"error": 2.0, "bytes": 3.0},
    )  # fmt: skip
    made = Trials(trials=(one,), direction="minimize", metric="error")
    goals = Goals(objectives={"error": "min", "bytes": "min"}, constraints={"error": (None, 1)})
    command.show(Tuned(run="r-1", trials=made, goals=goals))
    assert "no trial keeps every constraint" in capsys.readouterr().out


def test_tune_hands_its_options_on(raymm, tmp_path, monkeypatch):
    write(tmp_path / "training.py", "def train(config, report):\n    report(1.0)\n")
    write(tmp_path / "space.yaml", "x: {float: [0, 1]}\n")
    seen = {}

    def tune(function, space, **given):
        seen.update(given, function=function.__name__, space=space)
        best = Trial(id="a", number=0, config={"x": 0.5}, status="finished", value=1.0)
        found = Trials(trials=(best,), direction="maximize", metric="value")
        return tuning.Tuned(run="train-1", trials=found)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tuning, "tune", tune)
    done = raymm(
        "tune", "training:train", "space.yaml", "--algorithm", "pbt", "--min-budget", "1",
        "--max-budget", "9", "--plateau", "auto", "--compute", "1h", "--trial-timeout", "30s",
        "--max-failures", "0", "--cpus", "2", "--trials", "5", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert json.loads(done.out)["best"] == {"configuration": {"x": 0.5}, "value": 1.0}
    expected = {
        "function": "train", "space": "space.yaml", "algorithm": "pbt", "min_budget": 1.0,
        "max_budget": 9.0, "plateau": "auto", "compute": "1h", "trial_timeout": "30s",
        "max_failures": 0, "cpus": 2, "trials": 5, "mode": None, "time": None,
    }  # fmt: skip
    assert {name: seen[name] for name in expected} == expected
