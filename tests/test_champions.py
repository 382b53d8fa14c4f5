"""A champion is compared on rows that it was not trained on."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from raymm import champions, config, lifecycle, proving
from raymm.data import ingest, split
from raymm.registry.versions import Registry
from raymm.stages import Built


@pytest.fixture
def registry(home):
    return Registry(str(home))


def resplit(finished, seed):
    run = finished.runs[1]
    table = ingest.read(str(finished.csv))
    return split.split(table, run.schema, run.config.data, seed=seed)


def test_its_own_test_rows_are_new_to_it(finished, registry):
    version = finished.runs[1].version
    rival = champions.rival(registry, version, finished.runs[1].dataset)
    assert rival.unseen.all()
    assert rival.name == f"loans@{version.number}"
    assert rival.predictions.shape == (400, 2)


def test_under_another_seed_its_training_rows_are_left_out(finished, registry):
    first, second = finished.runs[1].dataset, resplit(finished, seed=1)
    rival = champions.rival(registry, finished.runs[1].version, second)
    learned = np.isin(second.test, first.train)
    assert learned.any()
    assert (rival.unseen == ~learned).all()


@pytest.mark.long
def test_a_challenger_on_the_same_table_can_win_under_another_seed(
    finished, tmp_path, searching_here
):
    """A forest knows its training rows by heart; on those, no other could beat it."""
    raw = {
        "name": "loans",
        "data": {"source": str(finished.csv), "target": "approved"},
        "search": {"trials": 1, "families": ["forest"]},
        "compression": {"techniques": ["truncate"]},
        "storage": str(tmp_path),
    }
    lifecycle.run(config.parse(raw))
    again = lifecycle.run(config.parse({**raw, "seed": 1}))
    assert "not trained on" in again.evaluation.champion
    assert again.evaluation.champion_gain is not None
    # The same model on other rows: no difference beyond what the few rows leave open.
    gain = again.evaluation.champion_gain
    assert gain.low <= 0.02
    assert gain.high >= -0.02


def test_a_table_it_knows_by_heart_is_refused_with_a_remedy(finished, registry):
    dataset = finished.runs[1].dataset
    swapped = dataclasses.replace(dataset, train=dataset.test, test=dataset.train)
    rival = champions.rival(registry, finished.runs[1].version, swapped)
    assert "all but 0 of the 1600 test rows" in rival.reason
    assert "raymm promote" in rival.reason


def test_rows_that_repeat_favour_neither(finished, registry):
    dataset = finished.runs[1].dataset
    # The same rows again as test rows: the champion has seen them, and so has the challenger.
    repeated = dataclasses.replace(dataset, test=dataset.train)
    rival = champions.rival(registry, finished.runs[1].version, repeated)
    assert rival.unseen.all()


def test_of_one_that_has_seen_all_test_rows_the_proven_bundle_is_the_rival(refitted):
    """Another run of the same table meets it on the rows that it was proven on."""
    registry = Registry(str(refitted.home))
    rival = champions.rival(registry, refitted.run.version, refitted.run.dataset)
    assert rival.unseen.all()
    assert "as it was proven: what serves has since seen 400 of the test rows" in rival.name
    before = champions.rival(registry, refitted.before.version, refitted.run.dataset)
    assert (rival.predictions == before.predictions).all()
    assert not rival.reason


def test_on_newer_rows_it_is_the_one_that_serves(refitted):
    run = refitted.run
    newer = run.dataset.frame.copy()
    newer["income"] = [f"{n}.5" for n in range(len(newer))]
    dataset = dataclasses.replace(run.dataset, frame=newer)
    rival = champions.rival(Registry(str(refitted.home)), run.version, dataset)
    assert rival.name == "loans@3"
    assert rival.unseen.all()


def test_one_whose_proven_bundle_has_seen_them_too_is_refused(refitted):
    dataset = refitted.run.dataset
    swapped = dataclasses.replace(dataset, train=dataset.test, test=dataset.train)
    rival = champions.rival(Registry(str(refitted.home)), refitted.run.version, swapped)
    assert "all but 0 of the 1600 test rows" in rival.reason


def test_a_run_takes_its_own_refit_for_itself_and_another_for_a_rival(refitted):
    """Else a run that is done again would be held against itself."""
    whole = refitted.before.version.bundle
    built = Built(bundle=whole, full=whole, frontier=refitted.run.frontier)
    life = SimpleNamespace(
        registry=Registry(str(refitted.home)),
        config=refitted.run.config,
        run=refitted.run.run,
        ledger=SimpleNamespace(records=lambda kind: []),
    )
    assert proving._reigning(life, built).number == 1
    life.run = "another"
    assert proving._reigning(life, built).number == 3


@pytest.mark.parametrize(
    ("changes", "first", "second"),
    [
        ([1, 2], 2, 1),
        ([1, 2, "back"], None, 1),
        ([3, 1, 2, "back"], 3, 1),
        ([3, 1, 2, "back", "back"], 3, 3),
        ([1, 2, 1], None, 1),
        ([3, 2, "back", 1], 3, 1),
        ([], None, None),
    ],
)
def test_the_one_to_beat_is_the_champion_and_never_one_that_was_rolled_back(
    tmp_path, changes, first, second
):
    """Versions 1 and 2 are of the runs that are done again here, 3 is of another."""
    registry = Registry(str(tmp_path))
    made = [
        registry.register("m", b"%d" % n, run=f"run{n}", blessed=True, summary={}, parts={})
        for n in (1, 2, 3)
    ]
    for one in changes:
        registry.rollback("m") if one == "back" else registry.promote("m", one)
    for version, wanted in zip(made[:2], (first, second), strict=True):
        life = SimpleNamespace(
            registry=registry,
            config=SimpleNamespace(name="m"),
            run=version.run,
            ledger=SimpleNamespace(records=lambda kind: []),
        )
        built = Built(bundle=version.bundle, full=version.bundle, frontier=None)
        found = proving._reigning(life, built)
        assert (found and found.number) == wanted


@pytest.mark.slow
def test_a_champion_of_other_classes_stops_the_promotion(finished, tmp_path, searching_here):
    frame = pd.read_csv(finished.csv, dtype=str)
    raw = {
        "name": "loans",
        "data": {"source": str(finished.csv), "target": "approved"},
        "search": {"trials": 1, "families": ["linear"]},
        "compression": {"techniques": ["prune"]},
        "storage": str(tmp_path),
    }
    assert lifecycle.run(config.parse(raw)).promoted
    frame["approved"] = frame["approved"].replace({"yes": "granted"})
    frame.to_csv(tmp_path / "other.csv", index=False)
    raw["data"] = {"source": str(tmp_path / "other.csv"), "target": "approved"}
    other = lifecycle.run(config.parse(raw))
    assert not other.promoted
    (failed,) = (check for check in other.blessing.checks if not check.passed)
    assert "cannot be compared" in failed.statement
    assert "--force" in failed.statement
