from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymm.bundle.run import Runner
from raymm.compression.tap import tapped, tree_nodes


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_what_a_graph_makes_on_its_way_can_be_read(dataset, trained, task):
    data = dataset(task)
    bundle, pipeline = trained(data)
    tensors = data.rows(data.test)
    _, (node,) = tree_nodes(bundle)
    assert np.array_equal(
        tapped(bundle, node.input[0], tensors), pipeline.features.transform(tensors)
    )
    margins = tapped(bundle, node.output[0], tensors)
    answers = Runner(bundle).predict(tensors)
    # A sigmoid, a softmax or a scale of float32 margins.
    assert np.allclose(pipeline.model.head.predict(margins), answers, rtol=1e-5, atol=1e-6)


def test_a_graph_without_trees_has_no_node_of_trees(dataset, trained):
    assert tree_nodes(trained(dataset("binary"), "linear", 1)[0])[1] == []


def test_trees_of_other_libraries_are_left_alone(dataset, trained):
    bundle, _ = trained(dataset("binary"), rounds=3)
    model, (node,) = tree_nodes(bundle)
    node.ClearField("doc_string")
    other = replace(bundle, graph=model.SerializeToString())
    assert tree_nodes(other)[1] == []
