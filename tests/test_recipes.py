"""The policy: mixes, mends and moved decisions are kept where they pay, and within limits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from raymm import config, recipes, stages
from raymm.artifacts import Column, Recipe, Score, Trial, Trials
from raymm.data.statistics import reference
from raymm.evaluation.metrics import metric_for
from raymm.search.ledger import Ledger

LINEAR = {"family": "linear", "linear.C": 1.0}


def forest(number: int) -> dict:
    return {
        "family": "extra_trees",
        "extra_trees.min_samples_leaf": 3,
        "extra_trees.max_features": (0.3, 0.6, 0.9)[number % 3],
    }


def trials(metric, configs, seconds=0.0) -> Trials:
    found = []
    for number, one in enumerate(configs):
        value = 0.9 - number * 0.001 if metric.direction == "maximize" else 1.0 + number * 0.001
        found.append(
            Trial(
                id=str(number),
                number=number,
                config=one,
                status="finished",
                value=value,
                rungs=((1, value),),
                seconds=seconds,
            )
        )
    return Trials(
        trials=tuple(found), direction=metric.direction, metric=metric.name, seconds=100.0
    )


@pytest.fixture
def make(finished, tmp_path):
    opened = []

    def made(metric="roc_auc", dataset=None, **changes):
        raw = {
            "data": {"source": str(finished.csv), "target": "approved"},
            "goal": {"metric": metric, **changes.pop("goal", {})},
            "search": {"parallel": 1, **changes},
        }
        dataset = dataset or finished.runs[0].dataset
        ledger = Ledger.open(str(tmp_path), f"r{len(opened)}")
        opened.append(ledger)
        return stages.Life(
            config=config.parse(raw),
            run="r",
            dataset=dataset,
            statistics=reference(dataset),
            metric=metric_for(metric, dataset.schema.task),
            registry=None,
            ledger=ledger,
            notify=lambda progress: None,
        )

    yield made
    for ledger in opened:
        ledger.close()


@pytest.fixture
def half_linear(finished):
    """Numbers that are half a line, which trees are bad at, and half steps, which lines are."""
    dataset = finished.runs[0].dataset
    generator = np.random.default_rng(0)
    tensors = dict(dataset.tensors)
    tensors["income"] = generator.normal(size=len(dataset.y)).astype(np.float32)
    tensors["children"] = generator.normal(size=len(dataset.y)).astype(np.float32)
    steps = np.sign(np.sin(6 * tensors["children"]))
    y = 2.0 * tensors["income"] + 1.5 * steps + 0.3 * generator.normal(size=len(dataset.y))
    schema = dataclasses.replace(dataset.schema, task="regression", classes=())
    return dataclasses.replace(dataset, tensors=tensors, y=y, schema=schema)


def found(recipe: Recipe, policy: str):
    return next(one for one in recipe.findings if one.policy == policy)


@pytest.mark.slow
def test_models_that_err_differently_are_mixed(make, half_linear):
    life = make("rmse", dataset=half_linear)
    board = trials(life.metric, [forest(0), {"family": "linear", "linear.alpha": 1.0}] * 1)
    recipe = recipes.compose(life, board)
    assert found(recipe, "ensemble").kept
    assert {one.trial.family for one in recipe.members} == {"extra_trees", "linear"}
    assert sum(one.weight for one in recipe.members) == pytest.approx(1)
    assert recipe.members[0].weight >= recipe.members[1].weight
    # And it is better on test rows, which played no part.
    from raymm.bundle import blend

    rows = life.dataset.test
    values = [
        life.metric(
            life.dataset.y[rows],
            blend.fit(life.dataset, life.dataset.train, one, seed=0, threads=1).predict(
                life.dataset.rows(rows)
            ),
        )
        for one in (recipe, Recipe.of(board.leaderboard[0]))
    ]
    assert values[0] < values[1]


@pytest.mark.long
def test_the_same_trials_make_the_same_recipe(make, half_linear):
    configs = [forest(0), {"family": "linear", "linear.alpha": 1.0}]
    lives = [make("rmse", dataset=half_linear) for _ in range(2)]
    first, second = (recipes.compose(one, trials(one.metric, configs)) for one in lives)
    assert first.deciding() == second.deciding()


@pytest.mark.slow
def test_a_recipe_is_read_where_it_was_made_before(make, monkeypatch):
    life = make()
    board = trials(life.metric, [LINEAR, forest(0)])
    first = recipes.compose(life, board)
    monkeypatch.setattr(recipes, "_composed", lambda *_: pytest.fail("made anew"))
    assert recipes.compose(life, board) == first


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["bundle_mb", "latency_p99_ms"])
def test_a_mix_beyond_the_goals_limits_is_left(make, half_linear, limit):
    goal = {"limits": {limit: 1e-6}}
    life = make("rmse", dataset=half_linear, goal=goal)
    configs = [forest(0), {"family": "linear", "linear.alpha": 1.0}]
    recipe = recipes.compose(life, trials(life.metric, configs))
    assert recipe.plain
    assert "goal.limits" in found(recipe, "ensemble").statement


@pytest.mark.slow
def test_why_nothing_is_mixed_is_told_as_it_is(make, monkeypatch):
    useless = {"family": "linear", "linear.C": 1e-9}
    for low, told in (
        (0.1, "one trial alone is best; of parts, roc_auc better by 0.2 (at least 0.1)"),
        (-0.1, "does not pay: roc_auc better by 0.2 (at least -0.1)"),
        (float("nan"), "does not pay: roc_auc cannot be compared"),
    ):
        gain = Score(metric="roc_auc", value=0.2, low=low, high=0.3, level=0.8)
        monkeypatch.setattr(recipes, "_mixed_gain", lambda *given, gain=gain: gain)
        life = make(goal={"calibration": "off", "decision": "off"})
        recipe = recipes.compose(life, trials(life.metric, [LINEAR, useless]))
        assert len(recipe.members) == 1
        assert told in found(recipe, "ensemble").statement


def test_copies_of_one_model_are_not_mixed(make):
    life = make()
    recipe = recipes.compose(life, trials(life.metric, [LINEAR, dict(LINEAR), dict(LINEAR)]))
    assert len(recipe.members) == 1
    assert not any(one.policy == "ensemble" for one in recipe.findings)


def test_nothing_is_weighed_where_all_is_off(make):
    off = {"calibration": "off", "decision": "off"}
    life = make("f1", ensemble="off", goal=off)
    recipe = recipes.compose(life, trials(life.metric, [LINEAR, forest(0)]))
    assert recipe.deciding() == Recipe.of(recipe.members[0].trial).deciding()
    assert recipe.findings == ()
    assert recipe.doubts.looked == len(life.dataset.train)


def test_a_rare_class_moves_the_decision(make, finished):
    dataset = finished.runs[0].dataset
    income = np.nan_to_num(dataset.tensors["income"], nan=50.0)
    noise = np.random.default_rng(99).normal(0, 25, len(income))
    dataset = dataclasses.replace(dataset, y=(income + noise > 85).astype(np.int64))
    life = make("f1", dataset=dataset, ensemble="off")
    recipe = recipes.compose(life, trials(life.metric, [LINEAR]))
    assert found(recipe, "decision").kept
    assert recipe.decision[1] > recipe.decision[0]
    off = make("f1", dataset=dataset, ensemble="off", goal={"decision": "off"})
    assert not recipes.compose(off, trials(off.metric, [LINEAR])).decision


@pytest.mark.slow
def test_a_model_that_is_too_timid_is_mended(make):
    # So few terms that the log-odds stay near 0: the slope must be far above 1.
    config = {"family": "linear", "linear.C": 1e-5}
    life = make(ensemble="off")
    recipe = recipes.compose(life, trials(life.metric, [config]))
    assert found(recipe, "calibration").kept
    assert recipe.calibration[0] > 1.5
    left = make(ensemble="off", goal={"calibration": "off"})
    assert recipes.compose(left, trials(left.metric, [config])).plain


def test_candidates_begin_with_the_best_of_each_family_and_keep_to_their_share(make):
    life = make(parallel=2)
    board = trials(life.metric, [forest(0), forest(1), LINEAR, forest(2)], seconds=5.0)
    threads = min(stages.threads(life.config), len(life.dataset.folds))
    share = life.config.search.ensemble_share
    chosen = recipes.candidates(life, board)
    assert [one.number for one in chosen][:2] == [0, 2]
    assert sum(map(recipes.cost, chosen)) <= max(5.0, share * board.seconds * threads)
    costly = trials(life.metric, [forest(0), forest(1)], seconds=1e6)
    assert len(recipes.candidates(life, costly)) == 1


@pytest.mark.parametrize(("folds", "count"), [(3, 4), (1, 5)])
def test_many_threads_do_not_train_more_candidates_than_folds_keep_busy(
    make, finished, monkeypatch, folds, count
):
    fold = finished.runs[0].dataset.folds[0]
    dataset = dataclasses.replace(finished.runs[0].dataset, folds=(fold,) * folds)
    life = make(parallel=2, dataset=dataset, ensemble_share=0.5)
    monkeypatch.setattr(recipes, "threads", lambda config: 64)
    configs = [{**LINEAR, "linear.C": 1.0 + k} for k in range(12)]
    # Half of 100 seconds, in three lanes or in the four of one fit, for trials of 37 seconds.
    assert len(recipes.candidates(life, trials(life.metric, configs, seconds=37.0))) == count


def test_choosing_a_mix_has_a_clock_unless_no_clock_may_decide(make, monkeypatch):
    assert recipes._clock(make(), 1000.0) is None
    life = make(parallel=2)
    left = recipes._clock(life, 1000.0)
    first, second = left(), left()
    assert second <= first <= 1000.0 * life.config.search.ensemble_share
    monkeypatch.setattr(recipes.time, "monotonic", lambda: np.inf)
    assert left() < 0


def test_the_cost_of_a_trial_is_that_of_its_best_round():
    rungs = ((20, 0.5), (100, 0.6), (200, 0.55))
    trial = Trial(
        id="0", number=0, config={}, status="finished", rounds=100, rungs=rungs, seconds=10.0
    )
    assert recipes.cost(trial) == 5.0


@pytest.mark.parametrize("whose", ["mixed", "own"])
def test_groups_are_dealt_whole_where_each_part_keeps_both_classes(finished, whose):
    dataset = finished.runs[0].dataset
    random = np.random.default_rng(0)
    who = random.integers(0, 50, len(dataset.y)).astype(str)
    y = random.integers(0, 2, len(who)) if whose == "mixed" else (who == "7").astype(np.int64)
    column = Column(name="who", kind="category", role="group")
    schema = dataclasses.replace(dataset.schema, columns=(*dataset.schema.columns, column))
    frame = dataset.frame.assign(who=who)
    grouped = dataclasses.replace(dataset, schema=schema, frame=frame, y=y)
    numbers = np.arange(0, len(who), 2)
    made = [
        recipes._Rows(truth=y[numbers], seed=0, dataset=one, rows=numbers).part(5)
        for one in (grouped, dataset)
    ]
    whole = all(len(np.unique(made[0][who[numbers] == one])) == 1 for one in np.unique(who))
    assert whole == (whose == "mixed")
    if whose == "own":  # one group has all of a class: as if there were no groups
        np.testing.assert_array_equal(*made)
