"""Reads what a graph makes on its way from columns to predictions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Tensors
from raymm.bundle.graph import PREDICTION, PROBABILITIES
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner


def tree_nodes(bundle: Bundle) -> tuple[Any, list[Any]]:
    """Return the graph as an ONNX model, and its nodes of trees that raymm wrote.

    Those of other libraries compare and add in ways that `TreeEnsemble` cannot hold, and stay.
    """
    import onnx

    from raymm.models.trees import FORMAT, OPERATOR

    model = onnx.ModelProto.FromString(bundle.graph)
    nodes = [node for node in model.graph.node if node.op_type == OPERATOR]
    return model, [node for node in nodes if FORMAT in node.doc_string]


def tapped(bundle: Bundle, tensor: str, tensors: Tensors) -> npt.NDArray[np.float32]:
    """Return a float tensor of shape (n, d) that a graph makes on its way.

    Parameters
    ----------
    tensor : str
        Its name in the graph.
    tensors : mapping of column name to array, shape (n,)
        The rows, at least one.
    """
    import onnx

    model = onnx.ModelProto.FromString(bundle.graph)
    public = PREDICTION if bundle.schema.task == "regression" else PROBABILITIES
    kept = [node for node in model.graph.node if public not in node.output]
    shown = [value for value in model.graph.output if value.name == public]
    shown[0].type.tensor_type.ClearField("shape")
    del model.graph.node[:], model.graph.output[:]
    model.graph.node.extend([*kept, onnx.helper.make_node("Identity", [tensor], [public])])
    model.graph.output.extend(shown)
    runner = Runner(replace(bundle, graph=model.SerializeToString()))
    count = len(next(iter(tensors.values())))
    return runner.predict(tensors).reshape(count, -1)
