"""Mixed, calibrated and moved models: graph and pipeline agree, and the formulas hold."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import Member, Recipe
from raymm.bundle import blend
from raymm.bundle.build import build
from raymm.bundle.parity import BOUND, adversarial, check
from raymm.bundle.run import Runner


@pytest.fixture
def make(make_dataset, make_trial, statistics, lineage):
    def made(task, names, **others):
        dataset = make_dataset(task, rows=300)
        members = []
        for place, name in enumerate(names):
            trial = dataclasses.replace(make_trial(name), id=str(place), number=place)
            members.append(Member(trial=trial, weight=1 / len(names)))
        recipe = Recipe(members=tuple(members), **others)
        built = build(
            dataset,
            recipe,
            rows=dataset.train,
            statistics=statistics,
            lineage=lineage,
            threads=1,
            check_rows=dataset.test,
        )
        return dataset, *built

    return made


@pytest.mark.slow
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_mix_is_the_mean_of_its_members_in_the_graph_too(make, task):
    # Two encodings, and two members that share one of them.
    dataset, bundle, mixed = make(task, ["lightgbm", "forest", "linear", "tiny_for_tests"])
    rows = dataset.rows(dataset.test)
    alone = [member.predict(rows) for member in mixed.members]
    np.testing.assert_allclose(mixed.predict(rows), np.mean(alone, axis=0), rtol=1e-12)
    fresh = adversarial(rows, dataset.schema, generator=np.random.default_rng(5), count=300)
    assert check(mixed, Runner(bundle), fresh, spread=float(np.std(dataset.y))) <= BOUND


@pytest.mark.slow
def test_features_that_members_share_are_in_the_graph_once(make):
    one, both = (make("binary", names)[1] for names in (["linear"], ["linear", "linear"]))
    assert len(both.graph) < 1.2 * len(one.graph)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_calibrated_mix_agrees_with_its_graph(make, task):
    shift = 0.3 if task == "binary" else 0.0
    names = ["lightgbm", "forest"]
    dataset, bundle, mixed = make(task, names, calibration=(blend.LEAST_SLOPE, shift))
    rows = dataset.rows(dataset.test)
    assert check(mixed, Runner(bundle), rows) <= BOUND
    plain = dataclasses.replace(mixed, calibration=blend.SAME).predict(rows)
    assert not np.allclose(plain, mixed.predict(rows))


@pytest.mark.slow
@given(
    st.lists(st.floats(1e-4, 1 - 1e-4), min_size=2, max_size=30),
    st.floats(0.7, 3),
    st.floats(-2, 2),
)
def test_calibration_moves_log_odds_and_keeps_the_order(likely, slope, shift):
    positive = np.array(likely)
    before = np.stack([1 - positive, positive], axis=1)
    after = blend.calibrated(before, (slope, shift))
    np.testing.assert_allclose(after.sum(axis=1), 1)
    odds = np.log(after[:, 1] / after[:, 0])
    # FLOOR = 1e-6 beside at least 1e-4 moves a logarithm by at most 0.01.
    expected = slope * np.log(positive / (1 - positive)) + shift
    assert np.abs(odds - expected).max() <= slope * 0.011
    order = np.argsort(positive, kind="stable")
    assert (np.diff(after[order, 1]) >= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_labels_follow_the_decision_in_python_and_in_the_graph(make, task):
    weights = (0.05, 0.95) if task == "binary" else (0.1, 0.1, 0.8)
    dataset, bundle, _ = make(task, ["linear"], decision=weights)
    rows = dataset.rows(dataset.test)
    runner = Runner(bundle)
    probabilities = runner.predict(rows)
    expected = [
        bundle.schema.classes[code] for code in (probabilities * np.array(weights)).argmax(axis=1)
    ]
    plain = [bundle.schema.classes[code] for code in probabilities.argmax(axis=1)]
    assert runner.labels(probabilities) == expected != plain
    session = onnxruntime.InferenceSession(bundle.graph, providers=["CPUExecutionProvider"])
    from raymm.bundle.graph import input_names

    names = input_names(bundle.schema)
    feed = {names[name]: np.asarray(rows[name]).reshape(-1, 1) for name in names}
    assert session.run(["prediction"], feed)[0].tolist() == expected
    judged = runner.judge(rows).argmax(axis=1)
    assert [bundle.schema.classes[code] for code in judged] == expected
    np.testing.assert_array_equal(runner.predict(rows), probabilities)


def test_contributions_of_a_mix_of_values_add_up(make):
    dataset, _, mixed = make("regression", ["lightgbm", "linear"])
    rows = dataset.rows(dataset.test[:20])
    shares, columns = mixed.contributions(rows, [12, 1])
    assert shares.shape == (20, len(columns) + 1)
    np.testing.assert_allclose(shares.sum(axis=1), mixed.predict(rows), rtol=1e-4)


def test_a_mix_of_probabilities_has_no_exact_contributions(make):
    dataset, _, mixed = make("binary", ["lightgbm", "linear"])
    assert mixed.contributions(dataset.rows(dataset.test[:3]), [12, 1]) is None


def test_contributions_of_a_calibrated_model_are_its_log_odds(make):
    dataset, _, made = make("binary", ["lightgbm"], calibration=(1.5, 0.2))
    rows = dataset.rows(dataset.test[:20])
    shares, _ = made.contributions(rows, [12])
    likely = made.predict(rows)[:, 1]
    # FLOOR moves the log-odds of a probability p by up to 1e-6 / p.
    np.testing.assert_allclose(1 / (1 + np.exp(-shares.sum(axis=1))), likely, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lightgbm", "linear"])
def test_the_logarithm_of_the_target_is_in_the_graph(make_dataset, name, statistics, lineage):
    from raymm.artifacts import Trial

    dataset = make_dataset("regression", rows=300)
    y = np.exp(dataset.y / np.abs(dataset.y).max())
    dataset = dataclasses.replace(dataset, y=y)
    config = {"family": name, "target": "log"}
    trial = Trial(id="0", number=0, config=config, status="finished", rounds=12)
    bundle, mixed = build(
        dataset,
        Recipe.of(trial),
        rows=dataset.train,
        statistics=statistics,
        lineage=lineage,
        threads=1,
        check_rows=dataset.test,
    )
    assert mixed.members[0].curve is not None
    found = Runner(bundle).predict(dataset.rows(dataset.test))
    assert (found > 0).all()
    assert np.mean((found - y[dataset.test]) ** 2) < np.var(y)
    assert mixed.contributions(dataset.rows(dataset.test), [12]) is None
