"""The whole life: what is finished is read and not done anew, and the same seed makes the same."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import raymm
from raymm import config, lifecycle, picking, proving, stages
from raymm.artifacts import as_record
from raymm.errors import ConfigError, DataError, NotFound
from raymm.search.account import state_of
from raymm.search.ledger import Ledger, list_runs


def made(finished, storage, **search):
    return config.parse(
        {
            "name": "loans",
            "data": {"source": str(finished.csv), "target": "approved"},
            "goal": {"protected": ["city"]},
            "search": {"trials": 1, "families": ["linear"], "parallel": 1, **search},
            "storage": str(storage),
        }
    )


def test_a_run_carries_what_every_stage_made(finished):
    run = finished.runs[1]
    assert run.blessing.blessed
    assert run.promoted
    assert run.evaluation.rows == len(run.dataset.test) == 400
    assert run.evaluation.score.low <= run.evaluation.score.value <= run.evaluation.score.high
    assert {one.column for one in run.explanation.importance} == {
        "income",
        "city",
        "opened",
        "children",
    }
    assert run.explanation.importance[0].column == "income"
    assert {one.value for one in run.audit.groups if one.column == "city"} == {
        "Bern",
        "Oslo",
        "Rome",
    }
    assert run.bundle.sha256 == run.version.bundle


def test_the_summary_holds_every_promised_key(finished):
    summary = json.loads(json.dumps(finished.runs[1].summary()))
    promised = (
        "run name version blessed metric direction score baseline trials resumed_trials seconds "
        "bundle_bytes packed_bytes uncompressed_bytes best report"
    )
    assert set(promised.split()) <= set(summary)
    assert summary["metric"] == "roc_auc"
    assert summary["best"]["family"] in ("lightgbm", "linear")
    assert summary["trials"] == 3


@pytest.mark.slow
def test_the_same_call_again_reads_everything_and_changes_nothing(
    finished, searching_here, monkeypatch
):
    def never(*args, **kwargs):
        raise AssertionError("a finished stage was done anew")

    first = finished.runs[1]
    monkeypatch.setattr(stages.building, "build", never)
    monkeypatch.setattr(proving.evaluations, "evaluate", never)
    monkeypatch.setattr("raymm.searching.tune.search", never)
    second = lifecycle.run(first.config)
    assert second.version == first.version
    assert second.trials.resumed == len(first.trials.trials)
    # Records, for the metric is NaN on slices of one class, and NaN differs from itself.
    assert as_record(second.evaluation) == as_record(first.evaluation)


@pytest.mark.slow
def test_the_same_seed_and_data_give_the_same_bundle_elsewhere(finished, tmp_path, searching_here):
    again = lifecycle.run(made(finished, tmp_path))
    assert again.version.bundle == finished.runs[0].version.bundle
    assert [t.config for t in again.trials.leaderboard] == [
        t.config for t in finished.runs[0].trials.leaderboard
    ]


def test_another_seed_gives_another_run(finished):
    one = made(finished, "a")
    other = one.model_copy(update={"seed": 1})
    assert one.run_id("x") != other.run_id("x")
    goal = one.goal.model_copy(update={"refit": "all"})
    assert one.run_id("x") == one.model_copy(update={"goal": goal}).run_id("x")


def test_a_second_model_is_held_against_the_champion(finished):
    first, second = (run.evaluation for run in finished.runs)
    assert first.champion == ""
    assert second.champion == "loans@1"
    assert second.champion_gain is not None


def test_a_run_of_columns_that_teach_nothing_has_failed_and_says_why(tmp_path, searching_here):
    rows = range(300)
    words = [f"K{7919 * row % 10007:07d}x" for row in rows]
    frame = pd.DataFrame({"id": [row + 1 for row in rows], "kunde": words})
    frame.assign(y=[("ja", "nein")[row * 31 % 7 > 3] for row in rows]).to_csv(
        tmp_path / "ids.csv", index=False
    )
    wanted = config.parse(
        {
            "data": {"source": str(tmp_path / "ids.csv"), "target": "y"},
            "search": {"trials": 1, "families": ["linear"], "parallel": 1},
            "storage": str(tmp_path / "home"),
        }
    )
    with pytest.raises(DataError, match=r'"kunde" has \d+ values in \d+ rows.*before: "id" \('):
        lifecycle.run(wanted)
    (name,) = list_runs(wanted.storage)
    assert state_of(Ledger.read(wanted.storage, name), wanted.storage) == "failed"


@pytest.mark.slow
def test_a_model_that_misses_its_goal_is_kept_but_not_promoted(finished, tmp_path, searching_here):
    wanted = made(finished, tmp_path)
    goal = wanted.goal.model_copy(update={"at_least": 0.9999})
    run = lifecycle.run(wanted.model_copy(update={"goal": goal}))
    assert not run.blessing.blessed
    assert not run.promoted
    assert run.version.number == 1
    with pytest.raises(NotFound, match="no champion"):
        lifecycle.again("loans", "x.csv", {"storage": str(tmp_path)})


def test_a_version_is_rebuilt_byte_for_byte(finished):
    same, stored, rebuilt = lifecycle.replay(str(finished.home), "loans", 2)
    assert same
    assert stored == rebuilt


def test_a_version_of_all_rows_is_rebuilt_byte_for_byte(refitted):
    same, stored, rebuilt = lifecycle.replay(str(refitted.home), "loans", 3)
    assert same
    assert stored == rebuilt == refitted.run.version.bundle


def test_retraining_keeps_the_refit(refitted):
    again = lifecycle.again("loans", "newer.csv", {"storage": str(refitted.home)})
    assert again.goal.refit == "all"
    assert again.goal.protected == ("city",)


def test_replay_refuses_another_table(finished, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text(finished.csv.read_text().replace("Bern", "Bonn"))
    with pytest.raises(DataError, match="its content has changed"):
        lifecycle.replay(str(finished.home), "loans", 1, str(other))


def test_retraining_takes_the_champions_configuration(finished):
    again = lifecycle.again("loans", "newer.csv", {"storage": str(finished.home), "seed": 5})
    assert again.data.source == "newer.csv"
    assert again.data.target == "approved"
    assert again.search.families == ("lightgbm", "linear")
    assert (again.seed, again.storage) == (5, str(finished.home))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data.target": "aproved"}, "approved"),
        ({"goal.metric": "rmse"}, "rmse"),
        ({"goal.metric": "roc_aux"}, "roc_auc"),
        ({"search.families": "[lightgmb]"}, "lightgbm"),
        ({"search.algorithm": "bayes"}, "tpe"),
        ({"compression.techniques": "[shrink]"}, "truncate"),
    ],
)
def test_wrong_names_are_answered_with_the_right_ones(
    finished, tmp_path, searching_here, change, words
):
    raw = made(finished, tmp_path).model_dump(mode="json", by_alias=True)
    with pytest.raises((ConfigError, DataError), match=words):
        lifecycle.run(config.parse(raw, change))


@pytest.mark.long
def test_a_run_with_interactions_is_replayed_and_picked(searching_here, tmp_path):
    generator = np.random.default_rng(0)
    columns = {name: generator.lognormal(size=900) for name in ("area", "rooms", "x", "y", "z")}
    price = 3 * columns["area"] / columns["rooms"] + generator.normal(size=900)
    source = tmp_path / "flats.csv"
    pd.DataFrame({**columns, "price": price}).to_csv(source, index=False)
    run = lifecycle.run(
        config.parse(
            {
                "name": "flats",
                "data": {"source": str(source), "target": "price"},
                "search": {"trials": 2, "families": "lightgbm", "parallel": 1},
                "compression": {"techniques": ["truncate"]},
                "storage": str(tmp_path / "home"),
            }
        )
    )
    assert run.schema.interactions
    assert run.blessing.blessed
    same, stored, rebuilt = lifecycle.replay(str(tmp_path / "home"), "flats", 1)
    assert same, (stored, rebuilt)
    bundle = raymm.load("flats", storage=str(tmp_path / "home"))
    table = pd.read_csv(source)
    assert bundle.predict(table)[:20] == run.predict(table)[:20]
    picked = picking.pick(
        str(tmp_path / "home"), "flats", 1, "1", source=None, notify=lambda told: None
    )
    assert picked.evaluation.score.value == pytest.approx(run.evaluation.score.value, rel=0.2)
