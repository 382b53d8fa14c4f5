"""Dense networks inside a graph: found, read as matrices, and written back smaller.

A network is a chain of products with constant matrices, each but the last followed by an
activation. What stands before it (the features) and after it (the head) is left as it is. A
linear model is a network of one product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Tensors
from raymm.bundle.graph import PROBABILITIES
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression.parsed import model_of
from raymm.compression.spread import by_rows

Floats32 = npt.NDArray[np.float32]

ACTIVATIONS = ("Relu", "Tanh", "Sigmoid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """``x @ matrix + bias``: float32 of shapes (inputs, outputs) and (outputs,)."""

    matrix: Floats32
    bias: Floats32


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A chain of layers, and where in its graph it stands.

    Attributes
    ----------
    layers : tuple of Layer
    activations : tuple of str
        The operator after each layer but the last.
    source, result : str
        The tensors it reads, float32 (n, inputs), and makes, float32 (n, outputs).
    nodes : tuple of int
        Positions of its nodes in the graph, increasing.
    columns : tuple of int
        The columns of ``source`` that it reads; empty for all of them.
    """

    layers: tuple[Layer, ...]
    activations: tuple[str, ...]
    source: str
    result: str
    nodes: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """How many weights its matrices have."""
        return sum(layer.matrix.size for layer in self.layers)

    def hidden(self, x: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Return the input of every layer, and last the result, for rows of its own columns."""
        found = [x]
        for number, layer in enumerate(self.layers):
            x = x @ layer.matrix + layer.bias
            if number < len(self.activations):
                x = activated(x, self.activations[number])
            found.append(x)
        return found


def activated(raw: npt.NDArray[Any], activation: str) -> npt.NDArray[Any]:
    """Return the activation of sums, of any shape."""
    if activation == "Relu":
        return np.asarray(np.maximum(raw, 0))
    if activation == "Tanh":
        return np.asarray(np.tanh(raw))
    # 1 / (1 + exp(-x)) is (1 + tanh(x / 2)) / 2, which cannot overflow.
    return np.asarray((1 + np.tanh(raw / 2)) / 2)


def networks(model: Any) -> tuple[Network, ...]:
    """Find the networks of a ModelProto, in the order of its nodes.

    Products of other types than float32, single products without a bias (as those of models that
    compare rows), and graphs with graphs within are passed over.
    """
    if any(one.HasField("g") or one.graphs for node in model.graph.node for one in node.attribute):
        return ()  # what a graph within reads of this one would have to be kept
    finder = _Finder(model)
    found = []
    used: set[int] = set()
    for index in range(len(model.graph.node)):
        if index in used:
            continue
        chain = finder.chain(index)
        if chain is not None:
            found.append(chain)
            used.update(chain.nodes)
    return tuple(found)


def put(model: Any, network: Network) -> None:
    """Write a network in place of the one it was made of, which `networks` found in this model.

    Constants that nothing uses any more are taken out of the graph.
    """
    from onnx import helper, numpy_helper

    prefix = fresh(model.graph, network.result)
    nodes, constants = [], []

    def constant(name: str, value: npt.NDArray[Any]) -> str:
        constants.append(numpy_helper.from_array(value, f"{prefix}{name}"))
        return f"{prefix}{name}"

    raw = network.source
    if network.columns:
        places = constant("columns", np.array(network.columns, np.int64))
        nodes.append(helper.make_node("Gather", [raw, places], [f"{prefix}read"], axis=1))
        raw = nodes[-1].output[0]
    for number, layer in enumerate(network.layers):
        inputs = [raw, constant(f"w{number}", layer.matrix), constant(f"b{number}", layer.bias)]
        nodes.append(helper.make_node("Gemm", inputs, [f"{prefix}sum{number}"]))
        if number < len(network.activations):
            bent, made = network.activations[number], f"{prefix}out{number}"
            nodes.append(helper.make_node(bent, list(nodes[-1].output), [made]))
        raw = nodes[-1].output[0]
    nodes[-1].output[0] = network.result
    splice(model, network.nodes, nodes, constants)


def fresh(graph: Any, name: str) -> str:
    """Return a beginning of names that no tensor of the graph has."""
    known, prefix = _names(graph), f"{name}_"
    while any(one.startswith(prefix) for one in known):
        prefix += "_"
    return prefix


def splice(model: Any, old: Sequence[int], nodes: Sequence[Any], constants: Sequence[Any]) -> None:
    """Put nodes and their constants in the place of the nodes at the positions ``old``."""
    graph = model.graph
    kept = list(graph.node)
    gone = set(old)
    before = [node for index, node in enumerate(kept) if index < old[-1] and index not in gone]
    after = kept[old[-1] + 1 :]
    _set(graph.node, [*before, *nodes, *after])
    used = {name for node in graph.node for name in node.input}
    used |= {value.name for value in graph.output}
    held = [one for one in (*graph.initializer, *constants) if one.name in used]
    _set(graph.initializer, held)


def alone(network: Network) -> Any:
    """Return a ModelProto of the network alone: ``source`` is its input, ``result`` its output."""
    from onnx import TensorProto, helper

    from raymm.onnx_builder import IR_VERSION, OPSET

    width = network.layers[0].matrix.shape[0]
    outputs = network.layers[-1].matrix.shape[1]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for name, size in ((network.source, width), (network.result, outputs))
    ]
    blank = helper.make_node("Identity", [network.source], [network.result])
    graph = helper.make_graph([blank], "network", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    put(model, replace(network, nodes=(0,), columns=()))
    return model


def tensor(bundle: Bundle, name: str, rows: Tensors) -> Floats32:
    """Return a tensor (n, d) of numbers of a bundle's graph, as float32, for raw columns' rows."""
    import onnx

    whole = model_of(bundle)
    needed = ancestors(whole.graph, name)
    nodes = [node for index, node in enumerate(whole.graph.node) if index in needed]
    used = {name, *(one for node in nodes for one in node.input)}
    end = onnx.helper.make_node("Cast", [name], [PROBABILITIES], to=onnx.TensorProto.FLOAT)
    value = onnx.helper.make_tensor_value_info(PROBABILITIES, onnx.TensorProto.FLOAT, None)
    held = [one for one in whole.graph.initializer if one.name in used]
    graph = onnx.helper.make_graph([*nodes, end], "part", whole.graph.input, [value], held)
    model = onnx.helper.make_model(
        graph, opset_imports=whole.opset_import, ir_version=whole.ir_version
    )
    # A schema of classes lets the runner hand over a matrix as it is.
    schema = replace(bundle.schema, task="multiclass", classes=("",), decision=())
    runner = Runner(replace(bundle, graph=model.SerializeToString(), schema=schema))
    return by_rows(runner.predict, rows)


def written(bundle: Bundle, model: Any) -> Bundle:
    """Return the bundle with this graph."""
    return replace(bundle, graph=bytes(model.SerializeToString(deterministic=True)))


class _Finder:
    """Looks for chains in one graph."""

    def __init__(self, model: Any) -> None:
        graph = model.graph
        self._nodes = list(graph.node)
        self._constants: Mapping[str, Any] = {one.name: one for one in graph.initializer}
        outputs = [value.name for value in graph.output]
        self._users: dict[str, list[int]] = {name: [-1] for name in outputs}
        for index, node in enumerate(self._nodes):
            for name in node.input:
                self._users.setdefault(name, []).append(index)

    def chain(self, index: int) -> Network | None:
        """Return the network that begins at a node; None where none does."""
        first = self._dense(index)
        if first is None:
            return None
        source, nodes = self._nodes[index].input[0], [*first[1]]
        layers, activations, biased = [first[0]], list[str](), first[2]
        result = self._nodes[nodes[-1]].output[0]
        while True:
            bend = self._only_user(result)
            if bend is None or self._nodes[bend].op_type not in ACTIVATIONS:
                break
            following = self._only_user(self._nodes[bend].output[0])
            found = None if following is None else self._dense(following)
            if found is None or found[0].matrix.shape[0] != layers[-1].matrix.shape[1]:
                break
            nodes += [bend, *found[1]]
            layers.append(found[0])
            activations.append(self._nodes[bend].op_type)
            result = self._nodes[nodes[-1]].output[0]
        if len(layers) == 1 and not biased:
            return None
        return Network(
            layers=tuple(layers),
            activations=tuple(activations),
            source=source,
            result=result,
            nodes=tuple(sorted(nodes)),
        )

    def _only_user(self, name: str) -> int | None:
        users = self._users.get(name, [])
        return users[0] if len(users) == 1 and users[0] >= 0 else None

    def _dense(self, index: int) -> tuple[Layer, list[int], bool] | None:
        """Return the layer at a node, its nodes, and whether it has a bias of its own."""
        node = self._nodes[index]
        matrix = self._constant(node.input[1], 2) if len(node.input) > 1 else None
        if matrix is None or node.domain not in ("", "ai.onnx"):
            return None
        if node.op_type == "Gemm":
            how = {one.name: one for one in node.attribute}
            plain = all(how[name].f == 1.0 for name in ("alpha", "beta") if name in how)
            if not plain or ("transA" in how and how["transA"].i):
                return None
            matrix = matrix.T if "transB" in how and how["transB"].i else matrix
            bias: Any = np.zeros(matrix.shape[1], np.float32)
            if len(node.input) > 2 and node.input[2]:
                bias = self._bias(node.input[2], matrix.shape[1])
            return None if bias is None else (_layer(matrix, bias), [index], True)
        if node.op_type != "MatMul":
            return None
        after = self._only_user(node.output[0])
        if after is not None and self._nodes[after].op_type == "Add":
            names = [name for name in self._nodes[after].input if name != node.output[0]]
            bias = self._bias(names[0], matrix.shape[1]) if names else None
            if bias is not None:
                return _layer(matrix, bias), [index, after], True
        return _layer(matrix, np.zeros(matrix.shape[1], np.float32)), [index], False

    def _constant(self, name: str, sides: int) -> Floats32 | None:
        from onnx import numpy_helper

        held = self._constants.get(name)
        if held is None or len(held.dims) != sides or held.data_type != 1:  # 1 is float32
            return None
        return np.asarray(numpy_helper.to_array(held))

    def _bias(self, name: str, width: int) -> Floats32 | None:
        for sides in (1, 2):
            held = self._constant(name, sides)
            if held is not None and held.size in (1, width):
                return np.broadcast_to(held.ravel(), (width,))
        return None


def _layer(matrix: npt.NDArray[Any], bias: npt.NDArray[Any]) -> Layer:
    return Layer(matrix=np.ascontiguousarray(matrix), bias=np.ascontiguousarray(bias))


def ancestors(graph: Any, name: str) -> set[int]:
    """Return the positions of the nodes that a tensor is made by."""
    makers = {made: index for index, node in enumerate(graph.node) for made in node.output}
    waiting, found = [name], set[int]()
    while waiting:
        index = makers.get(waiting.pop())
        if index is not None and index not in found:
            found.add(index)
            waiting.extend(graph.node[index].input)
    return found


def _names(graph: Any) -> list[str]:
    """Return every tensor's name, once each."""
    made = [name for node in graph.node for name in (*node.output, *node.input) if name]
    held = [value.name for value in (*graph.input, *graph.output, *graph.initializer)]
    return list(dict.fromkeys([*held, *made]))


def _set(field: Any, values: Sequence[Any]) -> None:
    """Replace what a repeated field holds."""
    copies = [type(one).FromString(one.SerializeToString()) for one in values]
    del field[:]
    field.extend(copies)
