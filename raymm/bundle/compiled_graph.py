"""Takes a graph of trees apart, for `raymm.bundle.compiled`.

What becomes of columns is followed by name through the operators that raymm's features are written
in; what comes behind the trees becomes a list of steps in numpy. Whatever else a graph holds, it is
left whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from raymm.bundle.compiled_tail import Steps, Sums, Tail, Unknown
from raymm.bundle.compiled_trees import MOST_COLUMNS
from raymm.errors import BundleError
from raymm.models.trees import OPERATOR, TreeEnsemble
from raymm.onnx_builder import ML_DOMAIN, ML_OPSET, OPSET

Floats = npt.NDArray[np.float32]
_OPSETS = {"": OPSET, ML_DOMAIN: ML_OPSET}
_PAIRS = {"Add": 1, "Sub": 2, "Mul": 3, "Div": 4}
"""How `raymm.bundle.kernels.rank` numbers what two columns make of each other."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A column as it is given, or looked up by its words; see `raymm.bundle.compiled.Column`."""

    column: str
    places: Mapping[str, int] | None
    table: Floats


@dataclass(frozen=True, slots=True)
class Feature:
    """What one or two sources make; see `raymm.bundle.kernels.rank`."""

    sources: tuple[Source, ...]
    operation: int = 0
    mends: bool = False
    low: float = -np.inf
    high: float = np.inf

    @property
    def plain(self) -> bool:
        """Whether it is a source as it is."""
        return self == Feature(self.sources[:1])


@dataclass(frozen=True, slots=True)
class Taken:
    """A graph's parts.

    Attributes
    ----------
    features : sequence of Feature
    ensembles : sequence of TreeEnsemble
    columns : sequence of sequence of int
        Which feature each column of an ensemble is.
    tail : callable
        Makes predictions, shape (n, width), of the outputs of all ensembles beside each other.
    width : int
    """

    features: Sequence[Feature]
    ensembles: Sequence[TreeEnsemble]
    columns: Sequence[Sequence[int]]
    tail: Tail
    width: int


def taken_apart(graph: bytes, inputs: Mapping[str, str], output: str) -> Taken | None:
    """Take a graph apart, as far as one of its outputs needs it.

    Parameters
    ----------
    graph : bytes
        A serialised ONNX ModelProto.
    inputs : mapping of input to column
    output : str

    Returns
    -------
    Taken or None
        None where it holds other operators than are known, or none of trees.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.ModelProto.FromString(graph)
        if any(_OPSETS.get(one.domain) != one.version for one in model.opset_import):
            return None
        return _Reader(model.graph, inputs).read(output)
    # onnx raises any of these on tensors that are not as they should be.
    except (Unknown, BundleError, DecodeError, ValueError, TypeError, LookupError, AttributeError):
        return None


# What a tensor of the graph is known as.


@dataclass(frozen=True, slots=True)
class _Words:
    column: str


@dataclass(frozen=True, slots=True)
class _Places:
    column: str
    places: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Features:
    held: tuple[Feature, ...]


@dataclass(frozen=True, slots=True)
class _Endless:
    held: tuple[Feature, ...]


@dataclass(slots=True)
class _Reader:
    """Follows tensors from the inputs on; see `taken_apart`."""

    graph: Any
    inputs: Mapping[str, str]
    known: dict[str, Any] = field(default_factory=dict)
    features: dict[Feature, int] = field(default_factory=dict)
    ensembles: list[TreeEnsemble] = field(default_factory=list)
    columns: list[list[int]] = field(default_factory=list)
    steps: Steps = field(default_factory=Steps)

    def read(self, output: str) -> Taken:
        from onnx import TensorProto, numpy_helper

        for one in self.graph.initializer:
            self.known[one.name] = numpy_helper.to_array(one)
        given = {one.name for one in self.graph.input}
        if given != set(self.inputs) or output not in {one.name for one in self.graph.output}:
            raise Unknown
        for one in self.graph.input:
            kind, column = one.type.tensor_type.elem_type, self.inputs[one.name]
            if kind == TensorProto.FLOAT:
                source = Source(column, None, np.zeros(0, np.float32))
                self.known[one.name] = _Features((Feature((source,)),))
            elif kind == TensorProto.STRING:
                self.known[one.name] = _Words(column)
        needed = _needed(self.graph, output)
        for place, node in enumerate(self.graph.node):
            if place in needed:
                self._node(node)
        last = self.known.get(output)
        if not isinstance(last, Sums):
            raise Unknown
        return Taken(
            tuple(self.features),
            self.ensembles,
            self.columns,
            self.steps.tail(last),
            last.width,
        )

    def _node(self, node: Any) -> None:
        from onnx import helper

        given = [self.known[name] for name in node.input]
        if len(node.output) != 1 or any(one is None for one in given):
            raise Unknown
        if node.op_type == OPERATOR:
            self.known[node.output[0]] = self._trees(node, given[0])
            return
        held = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        if any(isinstance(one, Sums) for one in given):
            made: Any = self.steps.add(node.op_type, given, held)
        else:
            made = _before(node.op_type, given, held)
        self.known[node.output[0]] = made

    def _trees(self, node: Any, given: Any) -> Sums:
        held = _as_features(given).held
        ensemble = TreeEnsemble.from_node(node)
        if not (held and node.domain == ML_DOMAIN and _faithful(node, ensemble)):
            raise Unknown
        self.ensembles.append(ensemble)
        self.columns.append([self.features.setdefault(one, len(self.features)) for one in held])
        return self.steps.trees(len(ensemble.base))


def _faithful(node: Any, ensemble: TreeEnsemble) -> bool:
    """Whether a node says what was read of it, and nothing else.

    onnxruntime adds a base only to outputs that some leaf of the row adds to, and it was seen to
    take one of two values that a leaf adds to the same output.
    """
    written = onnx.NodeProto()
    ensemble.fill(written)
    places = {one.name: one for one in written.attribute}
    if written.doc_string != node.doc_string or len(places) != len(node.attribute):
        return False
    if any(places.get(one.name) != one for one in node.attribute):
        return False
    outputs = len(ensemble.base)
    added, times = np.unique(ensemble.leaf * outputs + ensemble.output, return_counts=True)
    tree = np.searchsorted(ensemble.roots, added // outputs, side="right") - 1
    leaf = np.flatnonzero(ensemble.feature < 0)
    leaves = np.bincount(np.searchsorted(ensemble.roots, leaf, side="right") - 1)
    held = np.zeros((len(ensemble.roots), outputs), np.int64)
    np.add.at(held, (tree, added % outputs), 1)
    always = (held == leaves[:, None]).any(axis=0)
    return bool((times == 1).all() and (always | (ensemble.base == 0)).all())


def _needed(graph: Any, output: str) -> set[int]:
    """Return the positions of the nodes that an output needs."""
    makers = {name: place for place, node in enumerate(graph.node) for name in node.output}
    found: set[int] = set()
    waiting = [output]
    while waiting:
        place = makers.get(waiting.pop())
        if place is not None and place not in found:
            found.add(place)
            waiting += graph.node[place].input
    return found


# ------------------------------------------------------------------------------ before the trees


def _as_features(given: Any) -> _Features:
    if not isinstance(given, _Features):
        raise Unknown
    return given


def _before(operator: str, given: list[Any], held: Mapping[str, Any]) -> Any:
    """Return what an operator makes of columns."""
    first = given[0]
    if operator == "Identity":
        return first
    if operator == "LabelEncoder" and isinstance(first, _Words):
        return _looked_up(first.column, held)
    if operator == "Reshape" and isinstance(first, _Words) and np.array_equal(given[1], [-1]):
        return first
    if operator == "Gather":
        return _gathered(given, held.get("axis", 0))
    if operator == "Concat" and held.get("axis") in (1, -1):
        if sum(len(_as_features(part).held) for part in given) > MOST_COLUMNS:
            raise Unknown
        return _Features(tuple(one for part in given for one in part.held))
    if operator == "Clip" and len(given) == 3:
        low, high = (float(_single(one)) for one in given[1:])
        if not all(one.low == -np.inf and one.high == np.inf for one in _as_features(first).held):
            raise Unknown
        return _Features(tuple(replace(one, low=low, high=high) for one in first.held))
    if operator in _PAIRS and len(given) == 2:
        a, b = (_as_features(one).held for one in given)
        if len(a) != 1 or len(b) != 1 or not (a[0].plain and b[0].plain):
            raise Unknown
        return _Features((Feature((a[0].sources[0], b[0].sources[0]), _PAIRS[operator]),))
    if operator == "IsInf" and not held:
        return _Endless(_as_features(first).held)
    if operator == "Where" and isinstance(first, _Endless) and np.isnan(_single(given[1])):
        if _as_features(given[2]).held != first.held:
            raise Unknown
        if any(one.low != -np.inf or one.high != np.inf for one in first.held):
            raise Unknown
        return _Features(tuple(replace(one, mends=True) for one in first.held))
    raise Unknown


def _single(given: Any) -> Any:
    if not isinstance(given, np.ndarray) or given.size != 1 or given.dtype != np.float32:
        raise Unknown
    return given.ravel()[0]


def _looked_up(column: str, held: Mapping[str, Any]) -> Any:
    keys = [one.decode("utf-8") for one in held["keys_strings"]]
    places = {key: place for place, key in enumerate(keys)}
    if len(places) < len(keys):
        raise Unknown
    if "values_floats" in held and len(held["values_floats"]) == len(keys):
        # The default of the operator itself is -0.0.
        table = [*held["values_floats"], held.get("default_float", -0.0)]
        return _Features((Feature((Source(column, places, np.array(table, np.float32)),)),))
    if list(held["values_int64s"]) != list(range(len(keys))):
        raise Unknown
    if held.get("default_int64", -1) != len(keys):
        raise Unknown
    return _Places(column, places)


def _gathered(given: list[Any], axis: int) -> _Features:
    first, places = given
    if isinstance(places, _Places) and axis == 0 and isinstance(first, np.ndarray):
        if first.ndim != 2 or first.dtype != np.float32 or len(first) != len(places.places) + 1:
            raise Unknown
        held = [Source(places.column, places.places, first[:, at]) for at in range(first.shape[1])]
        return _Features(tuple(Feature((one,)) for one in held))
    if axis == 1 and isinstance(places, np.ndarray) and places.ndim == 1:
        held_ = _as_features(first).held
        return _Features(tuple(held_[place] for place in places.tolist()))
    raise Unknown
