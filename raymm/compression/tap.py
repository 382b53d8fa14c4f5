"""Reads what a graph makes on its way from columns to predictions."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Tensors
from raymm.bundle.graph import PREDICTION, PROBABILITIES
from raymm.bundle.packed import Bundle
from raymm.compression.network import ancestors
from raymm.compression.network import tensor as tensor_of
from raymm.compression.parsed import model_of
from raymm.errors import BundleError

if TYPE_CHECKING:
    from raymm.models.trees import TreeEnsemble

_REMEMBERED = 12
_known: dict[bytes, TreeEnsemble] = {}
"""Ensembles that were read last, by the SHA-256 of their nodes: techniques read the same ones."""
_lock = threading.Lock()


def tree_nodes(bundle: Bundle) -> tuple[Any, list[Any]]:
    """Return the graph as an ONNX model of one's own, and its nodes of trees; see `trees_in`."""
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(model_of(bundle))
    return model, trees_in(model)


def trees_in(model: Any) -> list[Any]:
    """Return the nodes of trees that raymm wrote.

    Those of other libraries compare and add in ways that `TreeEnsemble` cannot hold, and stay.
    """
    from raymm.models.trees import FORMAT, OPERATOR

    nodes = [node for node in model.graph.node if node.op_type == OPERATOR]
    return [node for node in nodes if FORMAT in node.doc_string]


def ensemble_of(node: Any) -> TreeEnsemble:
    """Return the ensemble of a node of `tree_nodes`; do not change its arrays, others have them."""
    from raymm.models.trees import TreeEnsemble

    key = hashlib.sha256(node.SerializeToString()).digest()
    with _lock:
        known = _known.get(key)
    if known is None:
        known = TreeEnsemble.from_node(node)
        with _lock:
            _known[key] = known
            while len(_known) > _REMEMBERED:
                del _known[next(iter(_known))]
    return known


def tapped(bundle: Bundle, tensor: str, tensors: Tensors) -> npt.NDArray[np.float32]:
    """Return a float tensor of shape (n, d) that a graph makes on its way; only that is run.

    Parameters
    ----------
    tensor : str
        Its name in the graph.
    tensors : mapping of column name to array, shape (n,)
        The rows, at least one.
    """
    count = len(next(iter(tensors.values())))
    return tensor_of(bundle, tensor, tensors).reshape(count, -1)


def answers_of(
    bundle: Bundle, tensor: str
) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
    """Return what tells the predictions of rows whose tensor of shape (n, d) is given.

    They have the shape of `raymm.bundle.run.Runner.predict`.

    Raises
    ------
    BundleError
        When predictions follow from other tensors too.
    """
    import onnx
    import onnxruntime

    model = onnx.ModelProto.FromString(bundle.graph)
    graph = model.graph
    values = bundle.schema.task == "regression"
    public = PREDICTION if values else PROBABILITIES
    before = ancestors(graph, tensor)
    behind = sorted(ancestors(graph, public) - before)
    nodes = [graph.node[place] for place in behind]
    made = {name for node in nodes for name in node.output}
    known = {one.name for one in graph.initializer} | {"", tensor}
    if any(name not in made and name not in known for node in nodes for name in node.input):
        raise BundleError(f"predictions must follow from {tensor} alone, but do not.")
    shown = [value for value in graph.output if value.name == public]
    start = onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None)
    used = {name for node in nodes for name in node.input}
    held = [one for one in graph.initializer if one.name in used]
    tail = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "answers", [start], shown, held),
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        tail.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def answer(given: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = session.run([public], {tensor: given})[0]
        return found.reshape(-1) if values else found

    return answer
