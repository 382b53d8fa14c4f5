"""Grows one ONNX graph node by node; transforms, model families and the bundle share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
ML_OPSET = 3
IR_VERSION = 9
ML_DOMAIN = "ai.onnx.ml"
RUNTIME_DOMAIN = "com.microsoft"
"""Of onnxruntime's own operators; `raymm.bundle.safety` says which of them a bundle may hold."""


class GraphBuilder:
    """Collects inputs, nodes and constants under fresh names, then makes the model.

    Names are made of a hint and a counter, so the same calls make the same bytes.

    Attributes
    ----------
    shared : dict
        What the models of a graph know of each other, by the tensor that they read.
    """

    def __init__(self) -> None:
        self._inputs: list[onnx.ValueInfoProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._initializers: list[onnx.TensorProto] = []
        self.shared: dict[str, Any] = {}
        self._count = 0
        self._taken: set[str] = set()

    def reserve(self, name: str) -> None:
        """Keep a public name, of an input or output, away from the tensors between them.

        Raises
        ------
        ValueError
            When the name is empty or taken already.
        """
        if not name or name in self._taken:
            raise ValueError(f'a tensor name must be new and not empty, but got "{name}"')
        self._taken.add(name)

    def fresh(self, hint: str) -> str:
        """Return a name that no tensor has yet."""
        while True:
            self._count += 1
            name = f"{hint}_{self._count}"
            if name not in self._taken:
                self._taken.add(name)
                return name

    def input(self, name: str, kind: int) -> str:
        """Declare an input of shape (n, 1) and of a TensorProto element type; returns its name.

        Declare inputs, and `reserve` output names, before any node is added.
        """
        self.reserve(name)
        self._inputs.append(helper.make_tensor_value_info(name, kind, ["n", 1]))
        return name

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """Store a constant tensor and return its name; equal constants are stored once.

        ``dtype`` object stores strings.
        """
        array = np.asarray(value, dtype=dtype)
        text = array.dtype == object
        content = repr(array.ravel().tolist()).encode() if text else array.tobytes()
        key = (str(array.dtype), array.shape, content)
        if key not in self._constants:
            name = self.fresh("constant")
            self._initializers.append(numpy_helper.from_array(array, name))
            self._constants[key] = name
        return self._constants[key]

    def node(
        self, operator: str, inputs: Sequence[str], *, outputs: int = 1, **attributes: Any
    ) -> str:
        """Add a node with one output and return that output's name; see `nodes` for more.

        ``domain`` among the attributes chooses the operator set (default: the standard one).
        """
        return self.nodes(operator, inputs, outputs=outputs, **attributes)[0]

    def nodes(
        self, operator: str, inputs: Sequence[str], *, outputs: int, **attributes: Any
    ) -> tuple[str, ...]:
        """Add a node with several outputs and return their names."""
        names = tuple(self.fresh(operator.lower()) for _ in range(outputs))
        self._nodes.append(make_node(operator, inputs, names, **attributes))
        return names

    def model(self, outputs: Sequence[tuple[str, str, int, Sequence[Any]]]) -> onnx.ModelProto:
        """Make the model.

        Parameters
        ----------
        outputs : sequence of (tensor, public name, element type, shape)
            Each tensor is given its public name by an Identity node.

        Returns
        -------
        ModelProto
            Checked by onnx's own checker.
        """
        infos = []
        nodes = list(self._nodes)
        for tensor, public, kind, shape in outputs:
            nodes.append(helper.make_node("Identity", [tensor], [public]))
            infos.append(helper.make_tensor_value_info(public, kind, list(shape)))
        graph = helper.make_graph(nodes, "raymm", self._inputs, infos, self._initializers)
        domains = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML_DOMAIN, ML_OPSET)]
        if any(node.domain == RUNTIME_DOMAIN for node in nodes):
            domains.append(helper.make_opsetid(RUNTIME_DOMAIN, 1))
        model = helper.make_model(graph, opset_imports=domains, producer_name="raymm")
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model)
        return model


def make_node(
    operator: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    name: str = "",
    domain: str | None = None,
    doc_string: str = "",
    **attributes: Any,
) -> onnx.NodeProto:
    """Return a node as ``onnx.helper.make_node`` does, in a fraction of its time.

    An attribute that is an array, of floats, of whole numbers or of bytes, is taken as it is, some
    thousand entries at a time; the helper looks at every entry several times, which took seconds
    for some thousand trees, and Python's own numbers take eight times the memory.
    """
    node = helper.make_node(
        operator, list(inputs), list(outputs), name=name, domain=domain, doc_string=doc_string
    )
    add_attributes(node, attributes)
    return node


def add_attributes(node: onnx.NodeProto, attributes: Mapping[str, Any]) -> None:
    """Add attributes to a node by their names, as `make_node` does."""
    for key, value in sorted(attributes.items()):
        if not isinstance(value, np.ndarray):
            node.attribute.append(helper.make_attribute(key, value))
            continue
        kind, part = _ARRAYS[value.dtype.kind]
        held = getattr(node.attribute.add(name=key, type=kind), part)
        for start in range(0, len(value), _AT_ONCE):
            held.extend(value[start : start + _AT_ONCE].tolist())


_AT_ONCE = 4096
_INTS = onnx.AttributeProto.INTS, "ints"
_ARRAYS = {
    "f": (onnx.AttributeProto.FLOATS, "floats"),
    "i": _INTS,
    "u": _INTS,
    "b": _INTS,
    "S": (onnx.AttributeProto.STRINGS, "strings"),
}
FLOAT = TensorProto.FLOAT
INT64 = TensorProto.INT64
STRING = TensorProto.STRING
