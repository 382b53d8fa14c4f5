from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from raymm.compression.join import added, groups
from raymm.models.trees import OPERATOR


@pytest.mark.parametrize("strict", [(False, False), (True, False), (True, True)])
def test_trees_added_answer_the_sum_of_theirs(random_trees, around, strict):
    ensembles = [replace(random_trees(seed), strict=one) for seed, one in enumerate(strict)]
    both = added(ensembles, [2.0, -0.5])
    assert both.strict == all(strict)
    x = np.concatenate([around(one) for one in ensembles])
    expected = 2.0 * ensembles[0].margins(x) - 0.5 * ensembles[1].margins(x)
    assert np.array_equal(both.margins(x), expected)


def test_a_joined_graph_answers_as_the_mix_did(mix):
    bundle, data = mix()
    model = onnx.ModelProto.FromString(bundle.graph)
    (group,) = groups(model)
    assert len(group.parts) == 2
    group.put(model, group.ensemble())
    assert groups(model) == []
    assert sum(node.op_type == OPERATOR for node in model.graph.node) == 1
    onnx.checker.check_model(model)
    rows = {name: values[:, None] for name, values in data.rows(data.test).items()}
    graphs = (bundle.graph, model.SerializeToString())
    sessions = [
        onnxruntime.InferenceSession(one, providers=["CPUExecutionProvider"]) for one in graphs
    ]
    before, after = (one.run(None, rows)[0] for one in sessions)
    # Float32 sums of 60 leaves, of values near 50.
    assert np.allclose(before, after, rtol=1e-6)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_what_is_bent_before_it_is_added_is_not_joined(mix, task):
    bundle, _ = mix(task, rounds=3)
    assert groups(onnx.ModelProto.FromString(bundle.graph)) == []
