"""Another point of a frontier becomes a version of its own, proven on the same rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from raymm import lifecycle, picking
from raymm.artifacts import Candidate, Frontier, Score, from_record
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.errors import ConfigError, DataError
from raymm.features.columns import encode
from raymm.registry.versions import Registry
from raymm.search import account
from raymm.search.ledger import Ledger


def candidate(technique, size, high, **parameters):
    return Candidate(
        technique=technique,
        parameters=parameters,
        score=0.9,
        loss=Score(metric="roc_auc", value=high / 2, low=0.0, high=high, level=0.9),
        bytes=size,
        row_microseconds=10.0,
    )


FRONTIER = Frontier(
    candidates=(
        candidate("none", 100, 0.0),
        candidate("cut", 80, 0.001, keep=0.8),
        candidate("cut", 60, 0.004, keep=0.6),
        candidate("cut", 40, 0.5, keep=0.4),
        candidate("round", 30, 0.2, bits=8),
        candidate("round", 20, 0.3, bits=4),
    ),
    metric="roc_auc",
    max_loss=0.005,
    rows=10,
)


@pytest.mark.parametrize(
    ("pick", "size"), [("1", 100), ("4", 40), ("none", 100), ("cut", 60), ("round", 30)]
)
def test_points_are_found_by_number_and_by_technique(pick, size):
    assert picking.wanted(FRONTIER, pick).bytes == size


@pytest.mark.parametrize("pick", ["0", "7", "-1", "1.0", "", "trim"])
def test_other_points_are_refused(pick):
    with pytest.raises(ConfigError, match="a number from 1 to 6 or one of none, cut, round"):
        picking.wanted(FRONTIER, pick)


@pytest.fixture(scope="module")
def picked(finished, tmp_path_factory):
    """A copy of the home folder, and the version that was picked there, twice."""
    home = tmp_path_factory.mktemp("picked") / "home"
    shutil.copytree(finished.home, home)
    registry = Registry(str(home))
    found = picking.frontier_of(registry, registry.version("loans", 2))
    place = next(n for n, one in enumerate(found.candidates, 1) if not one.chosen)
    stages = []

    def pick():
        return picking.pick(
            str(home),
            "loans",
            2,
            str(place),
            source=None,
            notify=lambda progress: stages.append(progress.stage),
        )

    return home, found.candidates[place - 1], pick(), pick(), stages


@pytest.mark.slow
def test_a_picked_point_is_a_version_with_its_proof(finished, picked):
    home, wanted, done, again, _ = picked
    registry = Registry(str(home))
    assert (done.version.number, again.version.number) == (3, 3)
    assert registry.champion("loans").number == 2
    assert done.candidate == wanted
    frontier = from_record(Frontier, json.loads(registry.part(done.version, "frontier.json")))
    (chosen,) = [one for one in frontier.candidates if one.chosen]
    assert (chosen.technique, chosen.parameters) == (wanted.technique, wanted.parameters)
    bundle = Bundle.from_bytes(registry.bundle(done.version))
    run = finished.runs[1]
    rows = run.dataset.test
    predictions = Runner(bundle).predict(encode(run.dataset.frame.iloc[rows], bundle.schema))
    score = run.evaluation.score.metric
    assert done.evaluation.score.metric == score
    assert done.evaluation.rows == len(rows)
    assert done.evaluation.champion.startswith("loans@2")
    assert np.isfinite(predictions).all()
    for key in ("packed_bytes", "uncompressed_bytes"):
        assert done.version.summary[key] == run.version.summary[key]


@pytest.mark.slow
def test_the_run_stays_finished_and_the_same_pick_is_read(picked):
    home, _, done, _, stages = picked
    ledger = Ledger.read(str(home), done.version.run)
    assert account.state_of(ledger, str(home)) == "finished"
    assert account.end_of(ledger) is not None
    assert stages.count("evaluate") == 1


@pytest.mark.slow
def test_the_runs_own_report_stays(finished, picked):
    home, _, done, _, _ = picked
    assert Path(done.report).name == "report-3.html"
    own, before = (Path(place) / "runs" / done.version.run for place in (home, finished.home))
    assert (own / "report.html").read_bytes() == (before / "report.html").read_bytes()


@pytest.mark.slow
def test_a_point_can_be_picked_from_a_picked_version(picked):
    home, _, _, _, _ = picked
    done = picking.pick(str(home), "loans", 3, "none", source=None, notify=lambda _: None)
    assert done.version.bundle_bytes == done.version.summary["packed_bytes"]


@pytest.mark.slow
def test_of_a_version_of_all_rows_a_form_is_proven_without_the_test_rows_and_refit(
    refitted, tmp_path
):
    home = tmp_path / "home"
    shutil.copytree(refitted.home, home)
    registry = Registry(str(home))
    found = picking.frontier_of(registry, registry.version("loans", 3))
    place = next(n for n, one in enumerate(found.candidates, 1) if not one.chosen)
    for number in (3, 4):  # the version that was made is picked from, too
        done = picking.pick(
            str(home), "loans", number, str(place), source=None, notify=lambda _: None
        )
        assert (done.version.number, done.blessing.blessed) == (4, True)
    summary = done.version.summary
    assert summary["refit"] == "all"
    assert summary["proven_bundle"] not in (done.version.bundle, refitted.before.version.bundle)
    proven = Bundle.from_bytes(registry.part(done.version, "proven.raymm"))
    shipped = Bundle.from_bytes(registry.bundle(done.version))
    assert (proven.statistics.rows, shipped.statistics.rows) == (1600, 2000)
    assert proven.sha256 == summary["proven_bundle"]
    assert [one.name for one in done.blessing.checks].count("refit") == 1
    assert lifecycle.replay(str(home), "loans", 4)[0]


def test_another_table_is_refused(finished, tmp_path):
    other = tmp_path / "other.csv"
    lines = finished.csv.read_text().splitlines()
    other.write_text("\n".join(lines[:-1]))
    with pytest.raises(DataError, match="content has changed"):
        picking.pick(str(finished.home), "loans", 2, "1", source=str(other), notify=lambda _: None)
