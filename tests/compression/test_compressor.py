from __future__ import annotations

import numpy as np
import pytest

from raymm.bundle.parity import adversarial
from raymm.bundle.safety import require_safe
from raymm.compression import quantize_network
from raymm.compression.agreement import require_agreement
from raymm.compression.compressor import Compressor, Rows
from raymm.evaluation.metrics import metric_for
from raymm.plugins import compressors


def test_a_technique_needs_both_methods():
    class Half(Compressor):
        def recipes(self, bundle):
            return ()

    with pytest.raises(TypeError, match="apply"):
        Half()


def test_rows_may_move_far_unless_a_technique_says_otherwise():
    assert [
        name
        for name in compressors.names()
        if compressors.get(name)().bounded_moves({"bits": 16, "size": 0.9, "keep": 0.9})
    ] == ["quantize", "quantize_columns", "quantize_network"]


def test_techniques_are_found_by_name():
    assert "truncate" in compressors.names()


@pytest.mark.slow
@pytest.mark.parametrize("task", [pytest.param("multiclass", marks=pytest.mark.long), "regression"])
def test_graphs_of_every_technique_pass_as_bundles(dataset, trained, mix, monkeypatch, task):
    monkeypatch.setattr(quantize_network, "SMALLEST", 8)
    data = dataset(task)
    metric = metric_for({"regression": "rmse"}.get(task, "log_loss"), task)
    rows = Rows(tensors=data.rows(data.train), y=data.y[data.train], metric=metric)
    generator = np.random.default_rng(0)
    hard = adversarial(rows.tensors, data.schema, generator=generator, count=200)
    bundles = [trained(data, name, 30)[0] for name in ("lightgbm", "linear", "mlp")]
    bundles.append(mix(task, ("lightgbm", "mlp", "svm"), (0.5, 0.3, 0.2), 30)[0])
    made = set()
    for bundle in bundles:
        for name in compressors.names():
            technique = compressors.get(name)()
            recipes = technique.recipes(bundle, rows)
            if name == "quantize_network" and recipes:
                recipes = ({"bits": 8, "range": "batch"}, *recipes)
            for recipe in {str(one): one for one in (*recipes[:1], *recipes[-1:])}.values():
                form = technique.apply(bundle, recipe, rows)
                require_safe(form.graph)
                require_agreement(form, hard)
                made.add(name)
    assert made >= {"truncate", "prune", "quantize", "quantize_network", "members", "distill"}
