"""raymm retrain: here and now, or by the loop that keeps a model."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from raymm import endpoint, served, sole, wishing
from raymm.cli import retraining, run
from raymm.registry.versions import Registry


@pytest.fixture
def own(finished, tmp_path, monkeypatch):
    """A registry that is a copy of the finished runs', to be changed."""
    shutil.copytree(finished.home, tmp_path / "home")
    monkeypatch.setitem(os.environ, "RAYMM_HOME", str(tmp_path / "home"))
    return Registry(str(tmp_path / "home"))


@pytest.fixture
def newer(finished, tmp_path):
    """A table with fewer rows, so another one."""
    path = tmp_path / "newer.csv"
    pd.read_csv(finished.csv, dtype=str).iloc[:1500].to_csv(path, index=False)
    return path


def test_a_request_is_recorded_and_says_how_to_start_a_loop_where_none_runs(raymm, own):
    done = raymm("retrain", "loans", "--trial", "--reason", "new prices")
    assert done.code == 0
    for words in ("request 1 of", "in shadow and as a canary", "raymm keep loans DATA", "release"):
        assert words in done.out
    shown = raymm("release", "loans").out
    for words in ("What raymm keep was asked for", "waits", "new prices"):
        assert words in shown
    (request,) = json.loads(raymm("release", "loans", "--json").out)["requests"]
    assert request["reason"] == "new prices"
    own.wishes("loans").take(own.wishes("loans").next())
    assert "taken up" in raymm("release", "loans").out


def reigns(registry):
    return registry.champion("loans").number


def test_a_loop_that_runs_here_is_named_and_what_it_is_busy_with(raymm, own, monkeypatch):
    monkeypatch.setattr(wishing, "held", lambda _: True)
    number = next(one.number for one in own.versions("loans") if one.number != reigns(own))
    own.releases("loans").canary(number, 0.1, force=True, reason="as good")
    own.decisions("loans").add("canary", reason="as good", number=number)
    out = raymm("retrain", "loans", "--trial").out
    assert "takes it up in its next round" in out
    assert f"begins when this is over: a trial of version {number}" in out
    told = json.loads(raymm("retrain", "loans", "--trial", "--json").out)
    assert (told["request"]["sequence"], told["kept_here"]) == (2, True)


def test_data_of_a_request_is_named_so_that_it_is_found_from_elsewhere(raymm, own, monkeypatch):
    monkeypatch.chdir(own.uri)
    for given, source in (("new.csv", f"{own.uri}/new.csv"), ("s3://b/new", "s3://b/new")):
        assert f"trained on {source}" in raymm("retrain", "loans", given, "--trial").out
        assert own.wishes("loans").all()[-1].source == source


def test_a_request_for_data_that_is_not_here_is_warned_of_or_refused(raymm, own, monkeypatch):
    done = raymm("retrain", "loans", "none.csv", "--trial")
    assert (done.code, "does not exist" in done.err) == (0, True)
    assert len(own.wishes("loans").all()) == 1
    monkeypatch.setattr(sole, "held", lambda _: True)  # by a loop that would look here
    done = raymm("retrain", "loans", "none.csv", "--trial")
    assert (done.code, "does not exist" in done.err) == (3, True)
    assert len(own.wishes("loans").all()) == 1


@pytest.mark.parametrize("words", [
    ["loans"], ["loans", "x.csv", "--reason", "why"], ["loans", "--trial", "--trials", "3"],
    ["loans", "--trial", "--promote"], ["loans", "--trial", "--set", "seed=1"],
    ["loans", "--trial", "--seed", "0"],
])  # fmt: skip
def test_what_does_not_go_together_is_refused_and_nothing_recorded(raymm, own, words):
    done = raymm("retrain", *words)
    assert (done.code, "raymm keep" in done.err) == (2, True)
    assert own.wishes("loans").all() == ()


def test_a_model_that_is_not_there_is_told(raymm, own, newer):
    for words in ((newer,), ("--trial",)):
        done = raymm("retrain", "nobody", *words)
        assert (done.code, "loans" in done.err) == (6, True)


@pytest.mark.slow
def test_what_is_served_is_not_replaced_untried_unless_that_is_asked_for(
    raymm, own, newer, searching_here
):
    before = own.champion("loans").number
    endpoint.record(endpoint.Service(name="loans", url="http://h:1", token="", storage=""))
    command = ["retrain", "loans", newer, "--trials", "2", "--set", "goal.at_least=null"]
    done = raymm(*command)
    assert done.code == 0, done.err
    made = own.versions("loans")[-1].number
    assert made > before
    assert own.champion("loans").number == before
    for words in ("recorded here", "not promoted", f"raymm shadow loans {made}"):
        assert words in done.out
    told = json.loads(raymm(*command, "--json").out)
    assert (told["untried"], told["promoted"], told["version"]) == (True, False, made)
    told = json.loads(raymm(*command, "--promote", "--json").out)
    assert (told["untried"], told["promoted"], told["version"]) == (False, True, made)
    assert own.champion("loans").number == made
    told = json.loads(raymm(*command, "--json").out)  # it reigns: nothing is left untried
    assert (told["untried"], told["promoted"]) == (False, True)


@pytest.mark.parametrize(("deployed", "promote"), [(True, False), (False, False), (True, True)])
def test_whether_it_is_served_is_asked_once_it_is_trained(
    monkeypatch, tmp_path, capsys, deployed, promote
):
    """A training takes long: what was deployed meanwhile is not replaced untried."""
    monkeypatch.setenv("RAYMM_HOME", str(tmp_path / "home"))

    def trained(config, *, as_json, promote):
        if deployed:
            served.sign(["loans"], config.storage)
        takes = promote() if callable(promote) else promote
        return SimpleNamespace(promoted=takes, version=SimpleNamespace(number=2), summary=dict)

    monkeypatch.setattr(run, "lived", trained)
    config = SimpleNamespace(storage=str(tmp_path / "storage"))
    retraining._train("loans", config, promote, False)
    untried = "version 2 does not take over untried" in capsys.readouterr().out
    assert untried == (deployed and not promote)


def test_the_job_gives_both_ways_in_thirty_lines(own, capsys, monkeypatch):
    path = Path(__file__).parents[2] / "jobs" / "retrain.py"
    assert len(path.read_text().splitlines()) <= 30
    monkeypatch.setattr(sys, "argv", [str(path), "loans", "--trial"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(path), run_name="__main__")
    assert (end.value.code, "request 1" in capsys.readouterr().out) == (0, True)
