from __future__ import annotations

import numpy as np
import pytest

from raymm.artifacts import Shape
from raymm.models.family import Family
from raymm.plugins import families


class Mean(Family):
    """The smallest family there can be."""

    name = "mean"
    encoding = "dense"

    def space(self, task, shape):
        return {}

    def fit(self, config, train, how):
        return float(np.mean(train.y))

    def predict(self, model, x):
        return np.full(len(x), model)

    def to_onnx(self, model, builder, features):
        return builder.constant([[model]])


def test_a_family_of_four_methods_trains_in_one_step_and_explains_nothing():
    mean = Mean()
    assert mean.max_rounds({}) == 1
    assert mean.portfolio("regression", Shape(rows=1, features=1, classes=0)) == ()
    assert mean.contributions(0.0, np.zeros((1, 1), np.float32)) is None
    with pytest.raises(NotImplementedError, match="mean trains in one step"):
        mean.extend(0.0, 2)


def test_the_families_are_found_by_name():
    assert {"lightgbm", "xgboost", "linear", "forest"} <= set(families.names())


def test_rounds_of_boosters_compare_by_their_rate_and_those_of_others_as_they_are():
    assert Mean().pace({}) == 1.0
    for name in ("lightgbm", "xgboost"):
        made = families.get(name)()
        assert made.pace({"learning_rate": 0.1}) == 2.0 * made.pace({"learning_rate": 0.05})
        assert made.pace({}) == made.pace({"learning_rate": 0.05}) == 1.0
