from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from raymm.models import lightgbm
from raymm.models.family import Fitting, Matrix
from raymm.onnx_builder import FLOAT, GraphBuilder

FAMILY = lightgbm.LightGBM()
CONFIG = FAMILY.portfolio("binary", lightgbm.Shape(rows=20_000, features=5, classes=2))[0]
TASKS = ["binary", "multiclass", "regression"]


def around(ensemble, width, missing=True):
    """Rows made of thresholds, their float32 neighbours, NaN and the ends of float32."""
    values = [
        np.array([0, 1e-36, -1e-36, 1e-35, -1e-35, 3e38, -3e38] + [np.nan] * missing, np.float32)
    ]
    for way in (-np.inf, 0, np.inf):
        inner = ensemble.threshold[ensemble.feature >= 0]
        finite = inner[np.isfinite(inner)]
        values.append(finite if way == 0 else np.nextafter(finite, np.float32(way)))
    return np.random.default_rng(1).choice(np.concatenate(values), (2000, width)).astype("f4")


@pytest.mark.parametrize("missing", [0.0, 0.15])
@pytest.mark.parametrize("task", TASKS)
def test_every_branch_is_taken_as_the_library_takes_it(matrix, fitting, graph, run, task, missing):
    train = matrix(task, missing=missing)
    model = FAMILY.fit(CONFIG, train, fitting(task))
    ensemble = lightgbm.ensemble(model)
    assert ensemble.rounds == 12
    x = around(ensemble, 5)
    # 12 trees of values near 0.1 in float32: 12 * 6e-8 and a wrong branch is over 1e-3.
    ours, scale = FAMILY.predict(model, x), 250.0 if task == "regression" else 1.0
    theirs = run(graph(FAMILY, model, 5), x)
    assert np.allclose(model.head.predict(ensemble.margins(x)), ours, atol=5e-6 * scale)
    # The graph's values near 10,000 are float32: relative 6e-8 is 6e-4.
    shown = theirs[:, 0] if task == "regression" else theirs
    assert np.allclose(shown, ours, atol=5e-6 * scale + (1e-3 if task == "regression" else 0))


@pytest.mark.parametrize("task", TASKS)
def test_extending_is_fitting_longer_and_the_seed_decides_the_bytes(matrix, fitting, graph, task):
    train = matrix(task)
    whole = graph(FAMILY, FAMILY.fit(CONFIG, train, fitting(task, 12)), 5)
    assert whole == graph(FAMILY, FAMILY.fit(CONFIG, train, fitting(task, 12)), 5)
    short = FAMILY.fit(CONFIG, train, fitting(task, 5))
    FAMILY.predict(short, train.x[:50])
    assert graph(FAMILY, FAMILY.extend(short, 12), 5) == whole
    assert graph(FAMILY, FAMILY.fit(CONFIG, train, fitting(task, 12, seed=4)), 5) != whole


@pytest.mark.parametrize("task", TASKS)
def test_contributions_of_the_first_rounds_sum_to_their_margin(matrix, fitting, task):
    train = matrix(task)
    model = FAMILY.fit(CONFIG, train, fitting(task, 12))
    for rounds in (None, 4):
        shares = FAMILY.contributions(model, train.x[:40], rounds)
        shape = (40, 4, 6) if task == "multiclass" else (40, 6)
        assert shares.shape == shape
        raw = lightgbm.ensemble(model).first(rounds or 12).margins(train.x[:40])
        if task == "regression":
            raw = raw * model.head.deviation + model.head.mean
        assert np.allclose(shares.sum(axis=-1).reshape(raw.shape), raw, rtol=1e-5, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_it_learns_and_its_probabilities_sum_to_one(matrix, fitting, task):
    train, fresh = matrix(task, rows=1500), matrix(task, rows=1500, seed=1)
    out = FAMILY.predict(FAMILY.fit(CONFIG, train, fitting(task, 60)), fresh.x)
    if task == "regression":
        assert np.mean((out - fresh.y) ** 2) < 0.5 * np.var(fresh.y)
        return
    assert np.allclose(out.sum(axis=1), 1)
    common = np.bincount(fresh.y).max() / len(fresh.y)
    assert np.mean(out.argmax(axis=1) == fresh.y) > common + 0.15


def test_portfolio_lies_in_the_space_of_every_size(shapes, in_space):
    for task in TASKS:
        for shape in shapes:
            for config in FAMILY.portfolio(task, shape):
                assert in_space(config, FAMILY.space(task, shape))
                assert 300 <= FAMILY.max_rounds(config) <= 3000


@pytest.mark.parametrize("task", TASKS)
def test_odd_tables_are_fitted(graph, run, task):
    classes = {"regression": 0, "binary": 2, "multiclass": 4}[task]
    how = Fitting(task=task, classes=classes, seed=0, rounds=3)
    for y in (np.zeros(30, int), np.repeat([0, 1], 15)):
        x = np.full((30, 2), np.nan, np.float32)
        x[:, 0] = np.arange(30)
        x[0, 0] = np.inf
        model = FAMILY.fit(CONFIG, Matrix(x=x, y=y, names=("a", "b")), how)
        out = FAMILY.predict(model, x)
        assert np.isfinite(out).all()
        assert np.allclose(run(graph(FAMILY, model, 2), x).squeeze(), out, atol=1e-5)


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("task", TASKS)
def test_the_order_of_summing_is_chosen_by_the_rows_and_changes_no_bit(
    monkeypatch, matrix, fitting, graph, task, threads
):
    numbers = matrix(task)
    assert not lightgbm.repeats(numbers.x)
    counts = replace(
        numbers, x=np.where(np.abs(numbers.x) < 1, 0, np.round(numbers.x)).astype("f4")
    )
    assert lightgbm.repeats(counts.x)
    for train in (numbers, counts):
        graphs = set()
        for chosen in (False, True):
            monkeypatch.setattr(lightgbm, "repeats", lambda x, chosen=chosen: chosen)
            own = replace(train, x=train.x.copy())
            how = replace(fitting(task, 8), threads=threads)
            graphs.add(graph(FAMILY, FAMILY.fit(CONFIG, own, how), 5))
        assert len(graphs) == 1


@pytest.fixture
def grouped():
    """Return rows whose target follows from sets of 40 categories and of 12, without an order."""

    def make(task, rows=3000, seed=0):
        random = np.random.default_rng(seed)
        effects = np.random.default_rng(7).permuted(np.tile([-1.5, 1.5], 20)), [1, -1] * 6
        x = random.normal(size=(rows, 4)).astype("f4")
        x[:, 1], x[:, 3] = random.integers(0, 40, rows), random.integers(0, 12, rows)
        margin = effects[0][x[:, 1].astype(int)] * np.sign(x[:, 0]) + np.take(
            effects[1], x[:, 3].astype(int)
        )
        margin = margin + 0.3 * random.normal(size=rows)
        y = margin * 100.0
        if task != "regression":
            y = np.digitize(margin, [0.0] if task == "binary" else [-1.0, 0.0, 1.0])
        x[random.random(x.shape) < 0.05] = np.nan
        return Matrix(x=x, y=y, names=tuple("abcd"), nominal=((1, 40), (3, 12)))

    return make


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_sets_of_categories_are_found_and_the_graph_takes_every_value_as_the_library_does(
    grouped, fitting, graph, run, task
):
    train, fresh = grouped(task), grouped(task, seed=1)
    config = {**CONFIG, "sets": True, "feature_fraction": 1.0}
    model = FAMILY.fit(config, train, fitting(task, 40))
    numbers = FAMILY.fit({**config, "sets": False}, train, fitting(task, 40))
    assert model.places == (1, 3)
    assert numbers.places == ()
    assert (lightgbm.ensemble(model).feature >= 4).any()

    def wrong(fitted):
        out = FAMILY.predict(fitted, fresh.x)
        return (
            np.mean((out - fresh.y) ** 2)
            if task == "regression"
            else np.mean(out.argmax(axis=1) != fresh.y)
        )

    assert wrong(model) < 0.8 * wrong(numbers)
    values = [-3e38, -1, -0.999, -0.5, -0.0, 0, 0.7, 5, 11, 12, 31, 32, 39, 40, 63, 64, 1e6, 3e38]
    odd = np.random.default_rng(2).choice(np.array([*values, np.nan], np.float32), (4000, 4))
    x = np.concatenate([odd, fresh.x])
    ours, theirs = FAMILY.predict(model, x), run(graph(FAMILY, model, 4), x)
    theirs = theirs[:, 0] if task == "regression" else theirs
    # A wrong branch of a first tree is over 1e-2 of the target's deviation, which is about 180.
    assert np.allclose(theirs, ours, atol=1e-2 if task == "regression" else 1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_contributions_with_sets_sum_to_the_margin_a_feature_each(grouped, fitting, task):
    train = grouped(task)
    model = FAMILY.fit({**CONFIG, "sets": True}, train, fitting(task, 12))
    shares = FAMILY.contributions(model, train.x[:40])
    assert shares.shape == ((40, 4, 5) if task == "multiclass" else (40, 5))
    out = FAMILY.predict(model, train.x[:40])
    raw = shares.sum(axis=-1)
    if task == "regression":
        assert np.allclose(raw, out, rtol=1e-5, atol=1e-3)
    elif task == "binary":
        assert np.allclose(1 / (1 + np.exp(-raw)), out[:, 1], atol=1e-6)
    else:
        assert np.allclose(np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True), out, atol=1e-6)


def test_sets_go_on_from_a_saved_state_and_are_only_offered_where_there_are_categories(
    grouped, fitting
):
    train = grouped("binary")
    config = {**CONFIG, "sets": True}
    model = FAMILY.fit(config, train, fitting("binary", 6))
    state = pickle.loads(pickle.dumps(FAMILY.state(model)))
    longer = FAMILY.resume(state, config, train, fitting("binary", 9))
    longer = FAMILY.extend(longer, 9)
    assert longer.booster.current_iteration() == 9
    assert longer.places == (1, 3)
    assert np.isfinite(FAMILY.predict(longer, train.x)).all()
    plain = lightgbm.Shape(rows=20_000, features=5, classes=2)
    assert "sets" not in FAMILY.space("binary", plain)
    with_sets = FAMILY.portfolio("binary", replace(plain, nominal=1))
    assert [one["sets"] for one in with_sets] == [False, True, False, False]


def test_models_of_a_graph_that_are_announced_read_one_tensor(grouped, fitting, run):
    train, fresh = grouped("binary"), grouped("binary", seed=1)
    config = {**CONFIG, "sets": True}
    models = [FAMILY.fit(config, train, fitting("binary", 6, seed=seed)) for seed in (1, 2)]
    models.append(FAMILY.fit({**config, "sets": False}, train, fitting("binary", 6)))
    builder = GraphBuilder()
    columns = [builder.input(f"f{place}", FLOAT) for place in range(4)]
    features = builder.node("Concat", columns, axis=1)
    for model in models:
        FAMILY.announce(model, builder, features)
    outs = [FAMILY.to_onnx(model, builder, features) for model in models]
    made = builder.model([(builder.node("Concat", outs, axis=1), "out", FLOAT, ["n", 6])])
    trees = [node for node in made.graph.node if node.op_type == "TreeEnsembleRegressor"]
    assert len({node.input[0] for node in trees}) == 1
    expected = np.hstack([FAMILY.predict(model, fresh.x) for model in models])
    assert np.allclose(run(made.SerializeToString(), fresh.x), expected, atol=1e-5)
    late = FAMILY.fit(config, train, fitting("binary", 8, seed=9))
    with pytest.raises(ValueError, match="announced before"):
        FAMILY.to_onnx(late, builder, features)
