"""Trees of other exporters are read as onnxruntime runs them, row by row."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from raymm.errors import BundleError
from raymm.foreign.ensembles import SHARES, SIDES, SIGMOIDS, is_foreign, read
from raymm.foreign.rewriting import hard_rows
from raymm.models.trees import FORMAT

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GT", "BRANCH_GTE")
THRESHOLDS = np.array([-1.5, -0.0, 0.0, 1e-45, 0.1, 2.0, 3e38], np.float32)


def nodes(generator, trees: int, modes=MODES):
    """Trees with ids in any order; onnxruntime takes the first of a tree's nodes for its root."""
    made = {name: [] for name in ("treeids", "nodeids", "featureids", "values", "modes")}
    made |= {"truenodeids": [], "falsenodeids": [], "missing_value_tracks_true": []}
    ends = []
    for tree in generator.choice(50, trees, replace=False).tolist():
        splits = int(generator.integers(0, 6))
        ids = generator.permutation(2 * splits + 1).tolist()
        waiting, rows = [ids[0]], []
        for split in range(splits):
            node = waiting.pop(int(generator.integers(len(waiting))))
            below = ids[2 * split + 1 : 2 * split + 3]
            waiting += below
            rows.append((node, str(generator.choice(modes)), *below))
        rows += [(node, "LEAF", 0, 0) for node in waiting]
        ends += [(tree, node) for node in waiting]
        for node, mode, true, false in rows:
            value = float(generator.choice(THRESHOLDS)) if mode != "LEAF" else 0.0
            at = (tree, node, int(generator.integers(3)), value, mode, true, false)
            for name, one in zip(made, (*at, int(generator.integers(2))), strict=True):
                made[name].append(one)
    return {f"nodes_{name}": values for name, values in made.items()}, ends


def values(ends, outputs, generator):
    held = [(*end, o) for end in ends for o in outputs]
    weights = generator.normal(size=len(held)).astype(np.float32).tolist()
    parts = [list(part) for part in zip(*held, strict=True)]
    return dict(zip(("treeids", "nodeids", "ids", "weights"), [*parts, weights], strict=True))


def answers(node, x):
    given = [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", x.shape[1]])]
    told = [helper.make_tensor_value_info(node.output[-1], TensorProto.FLOAT, None)]
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 1)]
    model = helper.make_model(
        helper.make_graph([node], "g", given, told), opset_imports=opsets, ir_version=8
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run([node.output[-1]], {"rows": x})[0]


@pytest.mark.parametrize("modes", [MODES, ("BRANCH_LT",), ("BRANCH_LEQ", "BRANCH_LT")])
@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE"])
def test_rows_go_where_they_went(exported, modes, aggregate):
    for seed in range(20):
        generator = np.random.default_rng(seed)
        held, ends = nodes(generator, trees=4, modes=modes)
        base = {"base_values": [0.5]} if seed % 2 else {}
        node = exported.regressor(
            held, values(ends, [0], generator), aggregate_function=aggregate, **base
        )
        found = read(node)
        x = hard_rows(found.trees, generator)
        x = np.pad(x, ((0, 0), (0, 3 - x.shape[1])))
        assert found.link == ""
        assert np.isnan(x).any() or not (found.trees.feature >= 0).any()
        assert np.allclose(found.trees.margins(x), answers(node, x), atol=1e-5)


@pytest.mark.parametrize(
    ("signs", "how", "link"),
    [
        ("any", "LOGISTIC", SIGMOIDS),
        ("positive", "LOGISTIC", SIGMOIDS),
        ("any", "NONE", SIDES),
        ("positive", "NONE", SHARES),
        ("positive", "SOFTMAX", SHARES),
    ],
)
def test_values_of_the_first_class_alone_are_the_seconds(exported, signs, how, link):
    generator = np.random.default_rng(1)
    held, ends = nodes(generator, trees=5)
    part = values(ends, [0], generator)
    if signs == "positive":
        part["weights"] = np.abs(part["weights"]).tolist()
    node = exported.classifier(held, part, 2, post_transform=how, base_values=[0.25])
    found = read(node)
    x = hard_rows(found.trees, generator)
    raw = found.trees.margins(x)[:, 0]
    turned = {SHARES: 1 - raw, SIDES: -raw, SIGMOIDS: 1 / (1 + np.exp(raw))}[link]
    assert found.link == link
    assert np.allclose(answers(node, x)[:, 0], turned, atol=1e-5)


@pytest.mark.parametrize("base", [[], [0.1, -0.2, 0.3]])
def test_classes_that_leaves_do_not_name_keep_their_base(exported, base):
    """Classes 0 and 2 alone have values; the second tells its base, or nothing."""
    generator = np.random.default_rng(2)
    held, ends = nodes(generator, trees=5)
    more = {"base_values": base} if base else {}
    node = exported.classifier(held, values(ends, [0, 2], generator), 3, **more)
    found = read(node)
    x = hard_rows(found.trees, generator)
    assert np.allclose(found.trees.margins(x), answers(node, x), atol=1e-5)


def test_two_columns_of_shares_become_one(exported):
    generator = np.random.default_rng(3)
    held, ends = nodes(generator, trees=4)
    part = values(ends, [0, 1], generator)
    second = generator.random(len(ends)) / 4
    part["weights"] = np.stack([0.25 - second, second], axis=1).ravel().tolist()
    node = exported.classifier(held, part, 2)
    found = read(node)
    x = hard_rows(found.trees, generator)
    assert found.link == SHARES
    assert len(found.trees.base) == 1
    assert np.allclose(found.trees.margins(x), answers(node, x)[:, 1:], atol=1e-6)
    part["weights"][0] += 0.01
    assert len(read(exported.classifier(held, part, 2)).trees.base) == 2


@pytest.mark.parametrize(
    ("weights", "averaged"), [([1.0, 1.1, 0.9, 1.2], True), ([4.0, 2.0, 1.0, 0.5], False)]
)
def test_a_mean_is_told_from_corrections(exported, weights, averaged):
    single = {
        "nodes_treeids": [0, 1, 2, 3], "nodes_nodeids": [0] * 4, "nodes_featureids": [0] * 4,
        "nodes_values": [0.0] * 4, "nodes_modes": ["LEAF"] * 4,
        "nodes_truenodeids": [0] * 4, "nodes_falsenodeids": [0] * 4,
    }  # fmt: skip
    part = {"treeids": [0, 1, 2, 3], "nodeids": [0] * 4, "ids": [0] * 4, "weights": weights}
    assert read(exported.regressor(single, part)).trees.averaged == averaged
    one = read(exported.regressor(single, part, base_values=[1.0])).trees
    assert not one.averaged
    part["ids"] = [0, 1, 0, 1]
    turns = read(exported.classifier(single, part, 4, base_values=[1.0] * 4)).trees
    assert turns.trees_per_round == 1
    part["ids"] = [0, 1, 2, 3]
    rounds = read(exported.classifier(single, part, 4, base_values=[1.0] * 4)).trees
    assert (rounds.trees_per_round, rounds.rounds) == (4, 1)


def test_those_of_raymm_are_not_foreign(exported):
    held, ends = nodes(np.random.default_rng(4), trees=2)
    node = exported.regressor(held, values(ends, [0], np.random.default_rng(4)))
    assert is_foreign(node)
    made = read(node).trees.to_node(node)
    assert FORMAT in made.doc_string
    assert not is_foreign(made)
    again = type(read(node).trees).from_node(made)
    assert np.array_equal(again.threshold, read(node).trees.threshold)


TREE = {
    "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0],
    "nodes_values": [0.25, 0.0, 0.0], "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
    "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0], "target_treeids": [0, 0],
    "target_nodeids": [1, 2], "target_ids": [0, 0], "target_weights": [-0.5, 1.5], "n_targets": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("odd", "rule"),
    [
        ({"nodes_modes": ["BRANCH_EQ", "LEAF", "LEAF"]}, "compares by BRANCH_EQ"),
        ({"post_transform": "PROBIT"}, "post_transform PROBIT"),
        ({"aggregate_function": "MAX"}, "aggregate_function MAX"),
        ({"nodes_nodeids": [0, 1, 1]}, "ids of its nodes are not distinct"),
        ({"nodes_falsenodeids": [3, 0, 0]}, "nodes that are not there"),
        ({"target_treeids": [0, 1]}, "nodes that are not there"),
        ({"nodes_falsenodeids": [1, 0, 0]}, "no trees"),
        ({"nodes_falsenodeids": [0, 0, 0]}, "no trees"),
        ({"nodes_featureids": [-1, 0, 0]}, "other columns"),
        ({"target_nodeids": [1, 1]}, "several values"),
        ({"target_ids": [0, 1]}, "outputs that it does not have"),
        ({"base_values": [1.0, 2.0]}, "2 base values for 1 outputs"),
    ],
)
def test_what_trees_cannot_hold_is_told(odd, rule):
    node = helper.make_node(
        "TreeEnsembleRegressor", ["rows"], ["raw"], domain="ai.onnx.ml", **{**TREE, **odd}
    )
    with pytest.raises(BundleError, match=rule):
        read(node)


def test_two_classes_with_base_values_of_both_are_told(exported):
    held = {name: value for name, value in TREE.items() if name.startswith("nodes")}
    part = {"treeids": [0, 0], "nodeids": [1, 2], "ids": [0, 1], "weights": [1.0, 2.0]}
    with pytest.raises(BundleError, match="base values and values of both"):
        read(exported.classifier(held, part, 2, base_values=[0.1, 0.2]))
