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

from raymm.bundle.compiled_columns import (
    Feature,
    Features,
    Member,
    Source,
    Table,
    of_sets,
    single,
)
from raymm.bundle.compiled_tail import Steps, Sums, Tail, Unknown
from raymm.bundle.compiled_trees import MOST_COLUMNS
from raymm.errors import BundleError
from raymm.models.trees import OPERATOR, TreeEnsemble
from raymm.onnx_builder import ML_DOMAIN, ML_OPSET, OPSET

Floats = npt.NDArray[np.float32]
_OPSETS = {"": OPSET, ML_DOMAIN: ML_OPSET}
_PAIRS = {"Add": 1, "Sub": 2, "Mul": 3, "Div": 4}
"""How `raymm.bundle.kernels.rank` numbers what two columns make of each other."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A graph's parts.

    Attributes
    ----------
    features : sequence of Feature
    members : sequence of Member
        Those of a table follow each other.
    ensembles : sequence of TreeEnsemble
    columns : sequence of sequence of int
        Which feature each column of an ensemble is, or behind these, which member.
    tail : callable
        Makes predictions, shape (n, width), of the outputs of all ensembles beside each other.
    width : int
    """

    features: Sequence[Feature]
    members: Sequence[Member]
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
class _Endless:
    held: tuple[Feature, ...]


@dataclass(slots=True)
class _Reader:
    """Follows tensors from the inputs on; see `taken_apart`."""

    graph: Any
    inputs: Mapping[str, str]
    known: dict[str, Any] = field(default_factory=dict)
    found: dict[Feature | Member, int] = field(default_factory=dict)
    ensembles: list[TreeEnsemble] = field(default_factory=list)
    columns: list[list[int]] = field(default_factory=list)
    members: int = 0
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
                self.known[one.name] = Features((Feature((source,)),))
            elif kind == TensorProto.STRING:
                self.known[one.name] = _Words(column)
        needed = _needed(self.graph, output)
        for place, node in enumerate(self.graph.node):
            if place in needed:
                self._node(node)
        last = self.known.get(output)
        if not isinstance(last, Sums):
            raise Unknown
        return self._taken(last)

    def _taken(self, last: Sums) -> Taken:
        """Return the parts, with features before the members of sets, and these table by table."""
        features = [one for one in self.found if isinstance(one, Feature)]
        tables: dict[Table, list[Member]] = {}
        for one in self.found:
            if isinstance(one, Member):
                tables.setdefault(one.table, []).append(one)
        members = [one for held in tables.values() for one in held]
        place = {one: at for at, one in enumerate([*features, *members])}
        moved = [place[one] for one in self.found]
        columns = [[moved[at] for at in held] for held in self.columns]
        tail = self.steps.tail(last)
        return Taken(features, members, self.ensembles, columns, tail, last.width)

    def _node(self, node: Any) -> None:
        from onnx import helper

        given = [self.known[name] for name in node.input]
        if len(node.output) != 1 or any(one is None for one in given):
            raise Unknown
        if node.op_type == OPERATOR:
            self.known[node.output[0]] = self._trees(node, given[0])
            return
        held = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        made: Any
        if any(isinstance(one, Sums) for one in given):
            made = self.steps.add(node.op_type, given, held)
        elif (made := of_sets(node.op_type, given, held)) is None:
            made = _before(node.op_type, given, held)
        elif isinstance(made, Features):
            self.members += len(made.held)
            if self.members > MOST_COLUMNS:
                raise Unknown
        self.known[node.output[0]] = made

    def _trees(self, node: Any, given: Any) -> Sums:
        held = _as_features(given).held
        ensemble = TreeEnsemble.from_node(node)
        if not (held and node.domain == ML_DOMAIN and _faithful(node, ensemble)):
            raise Unknown
        self.ensembles.append(ensemble)
        self.columns.append([self.found.setdefault(one, len(self.found)) for one in held])
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


def _as_features(given: Any) -> Features:
    if not isinstance(given, Features):
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
        return Features(tuple(one for part in given for one in part.held))
    if operator == "Clip" and len(given) == 3:
        low, high = (float(single(one)) for one in given[1:])
        numbers = _as_features(first).numbers
        if not all(one.low == -np.inf and one.high == np.inf for one in numbers):
            raise Unknown
        return Features(tuple(replace(one, low=low, high=high) for one in numbers))
    if operator in _PAIRS and len(given) == 2:
        a, b = (_as_features(one).one for one in given)
        if not (a.plain and b.plain):
            raise Unknown
        return Features((Feature((a.sources[0], b.sources[0]), _PAIRS[operator]),))
    if operator == "IsInf" and not held:
        return _Endless(_as_features(first).numbers)
    if operator == "Where" and isinstance(first, _Endless) and np.isnan(single(given[1])):
        if _as_features(given[2]).numbers != first.held:
            raise Unknown
        if any(one.low != -np.inf or one.high != np.inf for one in first.held):
            raise Unknown
        return Features(tuple(replace(one, mends=True) for one in first.held))
    raise Unknown


def _looked_up(column: str, held: Mapping[str, Any]) -> Any:
    keys = [one.decode("utf-8") for one in held["keys_strings"]]
    places = {key: place for place, key in enumerate(keys)}
    if len(places) < len(keys):
        raise Unknown
    if "values_floats" in held and len(held["values_floats"]) == len(keys):
        # The default of the operator itself is -0.0.
        table = [*held["values_floats"], held.get("default_float", -0.0)]
        return Features((Feature((Source(column, places, np.array(table, np.float32)),)),))
    if list(held["values_int64s"]) != list(range(len(keys))):
        raise Unknown
    if held.get("default_int64", -1) != len(keys):
        raise Unknown
    return _Places(column, places)


def _gathered(given: list[Any], axis: int) -> Features:
    first, places = given
    if isinstance(places, _Places) and axis == 0 and isinstance(first, np.ndarray):
        if first.ndim != 2 or first.dtype != np.float32 or len(first) != len(places.places) + 1:
            raise Unknown
        held = [Source(places.column, places.places, first[:, at]) for at in range(first.shape[1])]
        return Features(tuple(Feature((one,)) for one in held))
    if axis == 1 and isinstance(places, np.ndarray) and places.ndim == 1:
        held_ = _as_features(first).held
        return Features(tuple(held_[place] for place in places.tolist()))
    raise Unknown
