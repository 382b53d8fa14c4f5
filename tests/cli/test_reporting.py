"""Reports from the ledger alone."""

from __future__ import annotations

import os

import numpy as np
import pytest

from raymm.artifacts import Trial, as_record
from raymm.cli import reporting
from raymm.errors import NotFound
from raymm.search.ledger import Ledger


def tuned(storage, run, *, count=30, **head):
    """Write the ledger that tuning a function of two results leaves behind."""
    generator = np.random.default_rng(0)
    with Ledger.open(str(storage), run) as ledger:
        ledger.append("run", name=run, metric="loss", direction="minimize", source="", **head)
        for number in range(count):
            rate, solver = float(10 ** generator.uniform(-4, 0)), ("adam", "sgd")[number % 2]
            failed = number % 7 == 3
            value = None if failed else (np.log10(rate) + 2) ** 2 + number % 2
            trial = Trial(
                id=str(number),
                number=number,
                config={"rate": rate, "solver": solver},
                status="failed" if failed else "finished",
                value=value,
                rungs=() if failed else ((1, value + 1), (2, value)),
                error="ValueError: <no>" if failed else "",
                metrics={} if failed else {"loss": value, "bytes": 1 / rate},
            )
            ledger.append("trial", trial=as_record(trial))


def titles(page):
    return [part.split(":")[0] for part in page.split('aria-label="')[1:]]


@pytest.mark.slow
def test_a_tuned_function_has_a_report(raymm, tmp_path):
    tuned(tmp_path, "train-0123456789")
    done = raymm("report", "train", "--storage", tmp_path, "-o", tmp_path / "r.html")
    assert done.code == 0
    page = (tmp_path / "r.html").read_text()
    assert titles(page) == [
        "Optimisation history",
        "Intermediate values",
        "Importance of parameters",
        "Parallel coordinates",
        "loss against rate",
        "loss against solver",
    ]
    assert "4 trials failed" in page
    assert "ValueError: &lt;no&gt;" in page


@pytest.mark.slow
def test_the_front_is_drawn_where_objectives_are_recorded(tmp_path):
    objectives = {"loss": "minimize", "bytes": "minimize"}
    tuned(tmp_path, "train-a", objectives=objectives, constraints={"bytes": [None, 1000.0]})
    page = reporting.page("train-a", str(tmp_path))
    assert "bytes against loss" in titles(page)
    trials, head, stage = reporting.trials_of(Ledger.read(str(tmp_path), "train-a"))
    assert stage == "started"
    front = reporting.front(trials, head)
    for one in trials.trials:
        if not one.metrics:
            continue
        allowed = one.metrics["bytes"] <= 1000
        beaten = any(
            other.metrics["loss"] < one.metrics["loss"]
            and other.metrics["bytes"] < one.metrics["bytes"]
            for other in trials.trials
            if other.metrics
        )
        assert (one.number in front) == (allowed and not beaten)


@pytest.mark.slow
def test_a_recorded_space_counts(tmp_path):
    space = {"rate": {"float": [1e-6, 10.0], "log": True}, "solver": {"choice": ["adam", "sgd"]}}
    tuned(tmp_path, "train-b", space=space)
    assert "1e-06" in reporting.page("train-b", str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_run_just_begun_has_a_report(tmp_path, count):
    tuned(tmp_path, "train-c", count=count)
    page = reporting.page("train-c", str(tmp_path))
    assert f"<p>{count} trial{'' if count == 1 else 's'}" in page


def test_a_name_leads_to_the_newest_run(tmp_path):
    for age, run in enumerate(["train-b", "train-a", "other-a"]):
        tuned(tmp_path, run, count=1)
        os.utime(tmp_path / "runs" / run / "ledger.jsonl", (1000 + age, 1000 + age))
    assert reporting.run_of("train", str(tmp_path)) == "train-a"
    assert reporting.run_of("train-b", str(tmp_path)) == "train-b"
    with pytest.raises(NotFound, match="raymm runs"):
        reporting.run_of("tra", str(tmp_path))


def test_a_report_of_nothing_is_refused(raymm, tmp_path):
    done = raymm("report", "nobody", "--storage", tmp_path)
    assert (done.code, "nobody" in done.err) == (6, True)
