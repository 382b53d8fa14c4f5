"""Boosters on absolute errors: where they are offered, and that they are what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xgboost

from raymm.artifacts import Categorical, Shape
from raymm.models import losses
from raymm.models.family import Matrix
from raymm.models.lightgbm import LightGBM
from raymm.models.xgboost import XGBoost
from raymm.search import space as spaces
from raymm.testing import families as laws

BOOSTERS = (LightGBM, XGBoost)
VERSION = tuple(map(int, xgboost.__version__.split(".")[:2]))
SHAPE = Shape(rows=300, features=5, classes=0)


@pytest.mark.parametrize("family", BOOSTERS)
@pytest.mark.parametrize("metric", ["", "rmse", "r2", "rmsle", "roc_auc"])
def test_other_metrics_have_the_space_they_had(family, metric):
    shape = replace(SHAPE, metric=metric)
    for task in laws.TASKS:
        assert losses.KEY not in family().space(task, shape)
        assert family().space(task, shape) == family().space(task, SHAPE)
        assert family().portfolio(task, shape) == family().portfolio(task, SHAPE)


@pytest.mark.parametrize("family", BOOSTERS)
@pytest.mark.parametrize("metric", ["mae", "mape"])
@pytest.mark.parametrize("nominal", [0, 2])
def test_metrics_of_absolute_errors_add_a_switch(family, metric, nominal):
    plain = replace(SHAPE, nominal=nominal)
    shape = replace(plain, metric=metric)
    space, before = family().space("regression", shape), family().space("regression", plain)
    assert space == {**before, losses.KEY: Categorical((False, True))}
    assert family().space("binary", shape) == family().space("binary", plain)
    configs = family().portfolio("regression", shape)
    assert all(spaces.contains(space, one) for one in configs)
    ways = [one[losses.KEY] for one in configs]
    assert ways[:2] == [True, False]
    assert losses.plain(configs[0]) == losses.plain(configs[1])
    assert all(ways[2:])
    # What was tried without the switch is found again as squared errors.
    old = family().portfolio("regression", plain)[0]
    assert spaces.nearest(space, old) == {**old, losses.KEY: False}


@pytest.mark.parametrize("family", BOOSTERS)
def test_off_and_missing_are_the_same_model(family):
    made = family()
    train = laws.table(made, "regression")
    config = laws.config_of(made, "regression")
    graphs = {
        laws.graph(made, made.fit(one, train, laws.how("regression", 5)))
        for one in (config, {**config, losses.KEY: False})
    }
    assert len(graphs) == 1
    # Classes know no such switch, whatever a configuration says.
    train = laws.table(made, "binary")
    out = made.fit({**config, losses.KEY: True}, train, laws.how("binary", 3))
    assert np.allclose(made.predict(out, train.x).sum(axis=1), 1)


@pytest.mark.parametrize("family", BOOSTERS)
def test_a_leaf_is_at_the_median_of_its_rows(family):
    x = np.repeat([[0.0], [1.0]], 50, axis=0).astype(np.float32)
    y = np.concatenate([np.r_[np.full(30, 10.0), np.full(20, 1000.0)], np.full(50, 500.0)])
    made = family()
    config = {"learning_rate": 0.2, "min_child_samples": 1}
    own = {name: value for name, value in config.items() if name in made.space("binary", SHAPE)}
    train = Matrix(x=x, y=y, names=("f0",))

    def shown(absolute):
        given = {**own, losses.KEY: absolute}
        model = made.fit(given, train, laws.how("regression", 100))
        return made.predict(model, x[[0, -1]])

    assert np.allclose(shown(False), [406.0, 500.0], atol=5)  # means
    # XGBoost from 3.4 trains on smooth errors, which are absolute far from nought alone.
    near = 80 if family is XGBoost and VERSION >= (3, 4) else 5
    assert np.allclose(shown(True), [10.0, 500.0], atol=near)


LAWS = (laws.check_graph, laws.check_more, laws.check_state, laws.check_absent)
SLOW = pytest.param(laws.check_seed, marks=pytest.mark.slow)  # on two threads


@pytest.mark.parametrize("law", [*LAWS, laws.check_learning, SLOW])
@pytest.mark.parametrize("family", BOOSTERS)
def test_the_laws_of_a_family_hold_on_absolute_errors(family, law):
    class Absolute(family):
        def portfolio(self, task, shape):
            return super().portfolio(task, replace(shape, metric="mae"))

    made = Absolute()
    assert laws.config_of(made, "regression")[losses.KEY]
    law(made, "regression")


@pytest.mark.parametrize("family", BOOSTERS)
def test_training_goes_on_from_a_state_as_if_it_had_never_stopped(family):
    made = family()
    train = laws.table(made, "regression")
    sampled = ("bagging_fraction", "feature_fraction", "subsample", "colsample_bytree")
    given = made.portfolio("regression", replace(SHAPE, metric="mae"))[0]
    config = {**given, **{name: 1.0 for name in sampled if name in given}}
    how = laws.how("regression", 9)
    state = made.state(made.fit(config, train, replace(how, rounds=5)))
    resumed = made.extend(made.resume(state, config, train, how), 9)
    whole = made.predict(made.fit(config, train, how), train.x)
    assert np.allclose(made.predict(resumed, train.x), whole, rtol=1e-5)


@pytest.mark.parametrize("family", BOOSTERS)
def test_contributions_add_up_to_values(family):
    made = family()
    train = laws.table(made, "regression")
    config = made.portfolio("regression", replace(SHAPE, metric="mae"))[0]
    model = made.fit(config, train, laws.how("regression", 10))
    shares = made.contributions(model, train.x[:20])
    assert np.allclose(shares.sum(axis=1), made.predict(model, train.x[:20]), rtol=1e-5)


@pytest.mark.parametrize("family", BOOSTERS)
def test_skewed_noise_is_foretold_with_less_absolute_error(family):
    """Log-normal noise of spread 1: its mean is 65 % above its median."""
    random = np.random.default_rng(0)
    x = random.normal(size=(3000, 5)).astype(np.float32)
    y = np.exp(0.5 * x[:, 0] + random.normal(size=3000))
    made, names = family(), tuple("abcde")
    config = made.portfolio("regression", replace(SHAPE, metric="mae"))[0]
    train = Matrix(x=x[:2000], y=y[:2000], names=names)

    def error(absolute):
        given = {**config, losses.KEY: absolute}
        model = made.fit(given, train, laws.how("regression", 100))
        return np.mean(np.abs(made.predict(model, x[2000:]) - y[2000:]))

    assert error(True) < 0.97 * error(False)
