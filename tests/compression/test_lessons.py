from __future__ import annotations

import numpy as np
import pytest

from raymm.bundle.run import Runner
from raymm.compression import lessons
from raymm.compression.compressor import Rows
from raymm.compression.grove import Grove
from raymm.compression.lessons import lesson_of
from raymm.compression.units import units
from raymm.evaluation.metrics import metric_for


def lesson(bundle, data, joined=True):
    metric = metric_for("auto", data.schema.task)
    rows = Rows(tensors=data.rows(data.train), y=data.y[data.train], metric=metric)
    unit = units(bundle, joined=joined)[1][0]
    return lesson_of(unit, Grove.of(unit.trees), bundle, rows), rows


@pytest.mark.parametrize("families", [("lightgbm", "xgboost"), ("lightgbm", "xgboost", "linear")])
def test_many_trees_are_told_by_the_graph_what_few_are_told_by_themselves(
    mix, families, monkeypatch
):
    weights = (0.5, 0.3, 0.2)[: len(families)]
    bundle, data = mix(families=families, weights=tuple(np.array(weights) / sum(weights)))
    whole, rows = lesson(bundle, data)
    assert whole.x is None
    monkeypatch.setattr(lessons, "CELLS", 1000)
    monkeypatch.setattr(lessons, "FEW_CELLS", 3000)
    many, _ = lesson(bundle, data)
    assert many.few.shape[1] < len(rows.y) == len(many.x)
    assert np.allclose(many.target, whole.target, atol=1e-5)
    assert np.allclose(many.truth, whole.truth, atol=1e-4)


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_margins_at_the_truth_answer_the_truth(mix, task):
    """What is asked of margins as the truth is what makes the graph answer what rows are."""
    families = ("lightgbm", "xgboost", "linear") if task == "regression" else ("lightgbm",)
    bundle, data = mix(task, families, (0.5, 0.25, 0.25) if len(families) > 1 else (1.0,))
    told, rows = lesson(bundle, data)
    order = np.random.default_rng(rows.seed).permutation(len(rows.y))
    y = rows.y[order]
    if task == "binary":
        assert np.array_equal(told.truth[0], y)
        return
    answers = Runner(bundle).predict({k: v[order] for k, v in rows.tensors.items()})
    slope = np.polyfit(told.truth[0] - told.target[0], y - answers, 1)
    assert np.allclose(slope[0] * (told.truth[0] - told.target[0]), y - answers, atol=1e-2)


def test_in_a_mix_that_is_bent_no_truth_is_known(mix):
    bundle, data = mix("binary")
    assert lesson(bundle, data)[0].truth is None
