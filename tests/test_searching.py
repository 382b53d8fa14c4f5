"""What the search stage hands to the searcher."""

from __future__ import annotations

import importlib.util
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from raymm import lifecycle, searching
from raymm.artifacts import Categorical, Column, Trial, Trials
from raymm.config import parse
from raymm.errors import ConfigError, MissingExtra, SearchError
from raymm.features.text import COUNTED
from raymm.models import catboost
from raymm.plugins import families
from raymm.search.median import Median
from raymm.search.space import contains


@pytest.fixture
def asked(finished, tmp_path, monkeypatch):
    """Catch what the search is called with, and let it find nothing."""
    caught = {}

    def search(prepared, space, searcher, halving, ledger, **how):
        caught.update(space=space, searcher=searcher, halving=halving, prepared=prepared, **how)
        failed = Trial(id="a", number=0, config={}, status="failed", error="ValueError: no luck")
        return Trials(trials=(failed,), direction="maximize", metric="roc_auc")

    from contextlib import nullcontext

    monkeypatch.setattr(searching, "connect", lambda config: nullcontext())
    monkeypatch.setattr(searching.tune, "search", search)
    source = {"source": str(finished.csv), "target": "approved"}
    source |= {"select": "off", "interactions": "off"}  # tries that cost seconds
    raw = {"data": source, "storage": str(tmp_path)}

    def run(**changes):
        with pytest.raises(SearchError, match="no luck"):
            lifecycle.run(parse(raw, {key.replace("__", "."): v for key, v in changes.items()}))
        return caught

    return run


def usable():
    """Return the families whose packages are there; the table is small enough for each."""
    absent = set() if importlib.util.find_spec("catboost") else {"catboost"}
    return set(families.names()) - absent


@pytest.mark.slow
def test_every_family_is_searched_as_one_conditional_space(asked):
    space = asked()["space"]
    assert isinstance(space["family"], Categorical)
    assert set(space["family"].choices) == usable()
    assert set(asked()["prepared"].folds) == {"ordinal", "dense"}


@pytest.mark.slow
def test_a_family_without_its_package_is_left_out_and_asked_for_it_names_the_extra(
    asked, finished, tmp_path, monkeypatch
):
    monkeypatch.setattr(catboost, "installed", lambda: False)
    assert "catboost" not in asked()["space"]["family"].choices
    raw = {
        "data": {"source": str(finished.csv), "target": "approved"},
        "search": {"families": ["linear", "catboost"]},
        "storage": str(tmp_path),
    }
    with pytest.raises(MissingExtra, match=r"raymm\[catboost\]"):
        lifecycle.run(parse(raw))


@pytest.mark.slow
def test_strong_configurations_come_first_one_family_after_another(asked):
    caught = asked()
    first = caught["searcher"].suggest(len(usable()))
    assert {one.config["family"] for one in first} == usable()
    assert all(contains(caught["space"], one.config) for one in first)


@pytest.mark.slow
def test_grid_keeps_its_own_order_and_schedulers_can_be_left_out(asked):
    caught = asked(search__algorithm="grid", search__scheduler="none")
    assert caught["searcher"].name == "grid"
    assert caught["halving"] is None


@pytest.mark.slow
def test_the_median_rule_can_be_chosen(asked):
    rule = asked(search__scheduler="median")["halving"]
    assert isinstance(rule, Median)
    late = [rule.decide(str(n), 30, 0.9, group="linear") for n in range(8)]
    assert all(late)
    assert not rule.decide("bad", 30, 0.1, group="linear")


def test_what_weighing_features_took_the_search_has_less_but_never_under_half():
    plain = parse({"data": {"source": "a", "target": "b"}})
    for asked_for, spent, left in ((60.0, 5.0, 55.0), (10.0, 9.0, 5.0), (None, 9.0, None)):
        search = plain.search.model_copy(update={"time": asked_for})
        config = plain.model_copy(update={"search": search})
        assert searching._seconds(SimpleNamespace(config=config, spent=spent)) == left


@pytest.mark.slow
def test_budgets_are_handed_over(asked):
    caught = asked(search__trials=7, search__time="9s", search__parallel=3)
    assert (caught["trials"], caught["seconds"], caught["parallel"]) == (7, 9.0, 3)


@pytest.mark.slow
def test_an_algorithm_that_plans_budgets_gets_them_and_no_scheduler(asked):
    caught = asked(search__algorithm="hyperband")
    assert caught["halving"] is None
    assert caught["searcher"].multi_fidelity
    # From the halving's first rung to the most rounds that boosting at its slowest is worth.
    assert (caught["searcher"].budgets[0], caught["searcher"].budgets[-1]) == (
        30,
        pytest.approx(3000, rel=0.01),
    )
    first = caught["searcher"].suggest(3)
    assert {one.budget for one in first} == {30}
    assert len({one.config["family"] for one in first}) == 3, "strong configurations come first"


@pytest.mark.slow
def test_budgets_of_trials_can_be_set(asked):
    caught = asked(search__algorithm="asha", search__min_budget=5, search__max_budget=45)
    assert caught["searcher"].budgets == (5, 15, 45)


@pytest.mark.slow
def test_an_earlier_run_of_the_name_begins_the_search(asked, finished, tmp_path):
    how = {"name": "loans", "search__families": ["lightgbm", "linear"]}
    fresh = asked(**how, seed=4)["searcher"].suggest(1)[0]
    shutil.copytree(finished.home / "runs", tmp_path / "runs", dirs_exist_ok=True)
    best = finished.runs[1].trials.leaderboard[0]
    assert asked(**how, seed=5)["searcher"].suggest(1)[0].config == best.config
    cold = asked(**how, seed=6, search__warm="none")["searcher"].suggest(1)[0]
    assert cold.config == fresh.config


@pytest.mark.slow
@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"data": {"exclude": ["income"]}},
        {"data": {"test": 0.3}},
        {"goal": {"decision": "off"}},
    ],
    ids=str,
)
def test_values_are_told_of_the_same_columns_and_split_alone(finished, other):
    given = {"name": "loans", "data": {"source": str(finished.csv), "target": "approved"}}

    def measured(**more):
        merged = {**given, **more, "data": {**given["data"], **more.get("data", {})}}
        made = parse(merged)
        dataset = lifecycle._dataset(made, lambda event: None, None)[0]
        return searching.measured(SimpleNamespace(config=made, dataset=dataset))

    assert measured() == measured(search={"trials": 7, "families": ["linear"]})
    assert measured() != measured(**other)


def test_schedules_are_not_for_tables():
    with pytest.raises(ConfigError, match=r'"pbt" finds a schedule.*raymm tune'):
        searching.require_names(
            parse({"data": {"source": "a.csv", "target": "y"}, "search": {"algorithm": "pbt"}})
        )


@pytest.mark.slow
def test_going_on_is_told(asked, finished, tmp_path):
    told = []
    raw = {
        "name": "loans",
        "data": {"source": str(finished.csv), "target": "approved"},
        "goal": {"protected": ["city"]},
        "search": {"trials": 9, "families": ["lightgbm", "linear"], "parallel": 1},
        "storage": str(tmp_path / "copy"),
    }
    shutil.copytree(finished.home, tmp_path / "copy")
    with pytest.raises(SearchError, match="no luck"):
        lifecycle.run(parse(raw), notify=lambda event: told.append(event.message))
    assert "3 trials of an earlier run read; going on with the 4th" in told


def test_a_metric_that_does_not_exist_is_noticed_before_the_table_is_read():
    with pytest.raises(ConfigError, match='Did you mean "roc_auc"'):
        searching.require_names(
            parse({"data": {"source": "a.csv", "target": "y"}, "goal": {"metric": "rocauc"}})
        )


@pytest.mark.parametrize(
    ("kinds", "first", "features"),
    [(("number", "category"), "lightgbm", 2), (("number", "text"), "linear", 1 + COUNTED)],
)
def test_a_text_counts_for_its_words_and_is_first_tried_by_a_quick_family(kinds, first, features):
    columns = tuple(Column(name=f"c{i}", kind=kind) for i, kind in enumerate(kinds))
    schema = SimpleNamespace(task="binary", features=columns, classes=("no", "yes"))
    words = {column.name: np.full(500, "a", dtype=object) for column in columns}
    dataset = SimpleNamespace(
        schema=schema, train=np.arange(500), y=np.zeros(500), tensors=words, folds=()
    )
    life = SimpleNamespace(
        dataset=dataset,
        config=SimpleNamespace(search=SimpleNamespace(families="auto")),
        metric=SimpleNamespace(name="roc_auc"),
    )
    assert next(iter(searching._families(life))) == first
    assert searching._shape(dataset).features == features


@pytest.mark.parametrize(("metric", "switched"), [("rmse", False), ("mae", True), ("mape", True)])
def test_boosters_learn_of_a_metric_of_absolute_errors(metric, switched):
    schema = SimpleNamespace(
        task="regression", features=(Column(name="a", kind="number"),), classes=()
    )
    dataset = SimpleNamespace(
        schema=schema,
        train=np.arange(50),
        y=np.linspace(-1, 1, 50),
        tensors={"a": np.zeros(50, np.float32)},
        folds=(SimpleNamespace(train=np.arange(40), valid=np.arange(40, 50)),),
    )
    life = SimpleNamespace(
        dataset=dataset, config=SimpleNamespace(seed=0), metric=SimpleNamespace(name=metric)
    )
    named = {name: families.get(name)() for name in ("lightgbm", "xgboost", "linear")}
    space, first = searching._space(life, named)
    assert {name for name in space if name.endswith(".absolute")} == (
        {"lightgbm.absolute", "xgboost.absolute"} if switched else set()
    )
    assert all(contains(space, one) for one in first)
