"""Models as skl2onnx and onnxmltools write them, which need not be installed for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

ML = "ai.onnx.ml"


def attributes(trees: list[Any], *, mode: str = "BRANCH_LEQ") -> dict[str, list[Any]]:
    """Nodes of scikit-learn's trees, whose thresholds are rounded down as skl2onnx does."""
    made: dict[str, list[Any]] = {
        name: []
        for name in (
            "nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values", "nodes_modes",
            "nodes_truenodeids", "nodes_falsenodeids", "nodes_missing_value_tracks_true",
        )
    }  # fmt: skip
    for number, tree in enumerate(trees):
        near = tree.threshold.astype(np.float32)
        below = np.nextafter(near, np.float32(-np.inf))
        for node, left in enumerate(tree.children_left.tolist()):
            leaf = left < 0
            made["nodes_treeids"].append(number)
            made["nodes_nodeids"].append(node)
            made["nodes_featureids"].append(0 if leaf else int(tree.feature[node]))
            rounded = below[node] if near[node] > tree.threshold[node] else near[node]
            made["nodes_values"].append(0.0 if leaf else float(rounded))
            made["nodes_modes"].append("LEAF" if leaf else mode)
            made["nodes_truenodeids"].append(0 if leaf else left)
            made["nodes_falsenodeids"].append(0 if leaf else int(tree.children_right[node]))
            track = 0 if leaf else int(tree.missing_go_to_left[node])
            made["nodes_missing_value_tracks_true"].append(track)
    return made


def forest(model: Any) -> Any:
    """A node of a RandomForestClassifier: leaves hold shares divided by the number of trees."""
    trees = [one.tree_ for one in model.estimators_]
    made, part = attributes(trees), {n: [] for n in ("treeids", "nodeids", "ids", "weights")}
    for number, tree in enumerate(trees):
        for node in np.flatnonzero(tree.children_left < 0).tolist():
            for label, share in enumerate((tree.value[node, 0] / len(trees)).tolist()):
                for name, value in zip(part, (number, node, label, share), strict=True):
                    part[name].append(value)
    return classifier(made, part, len(model.classes_), post_transform="NONE")


def classifier(nodes: Any, part: Any, labels: int, **more: Any) -> Any:
    return helper.make_node(
        "TreeEnsembleClassifier", ["rows"], ["label", "probabilities"], domain=ML,
        classlabels_int64s=list(range(labels)), **nodes,
        **{f"class_{name}": values for name, values in part.items()}, **more,
    )  # fmt: skip


def regressor(nodes: Any, part: Any, **more: Any) -> Any:
    return helper.make_node(
        "TreeEnsembleRegressor", ["rows"], ["probabilities"], domain=ML, n_targets=1, **nodes,
        **{f"target_{name}": values for name, values in part.items()}, **more,
    )  # fmt: skip


def leaves(trees: list[Any], scale: float, classes: int = 1) -> dict[str, list[Any]]:
    """Single values of leaves; trees take turns among the classes."""
    part: dict[str, list[Any]] = {n: [] for n in ("treeids", "nodeids", "ids", "weights")}
    for number, tree in enumerate(trees):
        for node in np.flatnonzero(tree.children_left < 0).tolist():
            part["treeids"].append(number)
            part["nodeids"].append(node)
            part["ids"].append(number % classes)
            part["weights"].append(float(tree.value[node, 0, 0] * scale))
    return part


def boosted(model: Any, base: list[float]) -> Any:
    """A node of a GradientBoostingClassifier; two classes have values of the first alone."""
    trees = [one.tree_ for one in model.estimators_.ravel()]
    classes = model.estimators_.shape[1]
    part = leaves(trees, model.learning_rate, classes)
    link = "LOGISTIC" if classes == 1 else "SOFTMAX"
    labels = max(2, classes)
    return classifier(attributes(trees), part, labels, base_values=base, post_transform=link)


def linear(model: Any, *, target: bool = False) -> Any:
    """A node of a LogisticRegression, or with ``target`` of a LinearRegression."""
    coefficients, intercepts = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    if target:
        return helper.make_node(
            "LinearRegressor", ["rows"], ["probabilities"], domain=ML,
            coefficients=coefficients.ravel().tolist(), intercepts=intercepts.tolist(),
        )  # fmt: skip
    two = len(intercepts) == 1
    if two:
        coefficients = np.vstack([-coefficients, coefficients])
        intercepts = np.concatenate([-intercepts, intercepts])
    return helper.make_node(
        "LinearClassifier", ["rows"], ["label", "probabilities"], domain=ML,
        coefficients=coefficients.ravel().tolist(), intercepts=intercepts.tolist(),
        classlabels_ints=list(range(len(intercepts))), multi_class=1,
        post_transform="LOGISTIC" if two else "SOFTMAX",
    )  # fmt: skip


def graph(node: Any, width: int, columns: int, *, before: Any = (), after: Any = ()) -> Any:
    """A model of a node, with its labels as skl2onnx tells them."""
    start = [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, width])]
    last = after[-1].output[0] if after else "probabilities"
    ends = [helper.make_tensor_value_info(last, TensorProto.FLOAT, [None, columns])]
    nodes = [*before, node, *after]
    if len(node.output) == 2:
        nodes.append(helper.make_node("Cast", ["label"], ["output_label"], to=TensorProto.INT64))
        ends.insert(0, helper.make_tensor_value_info("output_label", TensorProto.INT64, [None]))
    return helper.make_model(
        helper.make_graph(nodes, "exported", start, ends),
        opset_imports=[helper.make_opsetid("", 13), helper.make_opsetid(ML, 1)],
        ir_version=8,
    )


def save(model: Any, folder: Path) -> str:
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return str(folder / "model.onnx")
