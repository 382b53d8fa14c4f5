"""Stores the rows that models compare with in few bits: neighbours and support vectors.

A graph that compares rows holds those of its training as float32, and what each of them weighs. The
numbers of each feature become places in a small table (`raymm.compression.codebook`), which the
graph looks up when it is loaded: it then takes the time and memory that it took. What rows weigh
takes 8 bits; classes, one number of many columns for each row, become their number. The squared
lengths of rows are computed when the graph is loaded.

On letter (32 features, 16 of which tell the others, of at most 16 values), in kB and accuracy on
validation rows: 8,000 neighbours 200 to 68, 0.936 as before; 4,458 support vectors of 26 classes
248 to 76, 0.9623 to 0.9617; a mix of both 442 to 139, 0.9639 to 0.9629, each with 4 to 8 bits. With
3 bits columns no longer tell each other, and files grow again (90, 87 and 171 kB), at 0.82 to 0.93.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Config
from raymm.bundle.packed import Bundle
from raymm.compression.codebook import BITS, Codebook, coded
from raymm.compression.compressor import Compressor, Rows
from raymm.compression.network import fresh, written
from raymm.compression.parsed import model_of
from raymm.errors import BundleError
from raymm.plugins import compressor

SMALLEST = 512
"""Numbers of a matrix from which on it is worth it."""
TRIED = (8, 6, 5, 4)
WEIGHT = 127
"""What the largest weight becomes, in 8 bits with its sign."""
_MOST_KINDS = 256
_FLOAT, _INT64, _DOUBLE = 1, 7, 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A matrix of float32 that a product reads as float64.

    Attributes
    ----------
    name : str
        Of the constant.
    cast : int
        The position of the node that widens it.
    lengths : str
        The constant that holds the rows' squared lengths, where these are points that others are
        compared with (each of them a column, times -2); empty for what rows weigh.
    """

    name: str
    cast: int
    values: npt.NDArray[np.float32]
    lengths: str


@compressor("quantize_rows")
class QuantizeRows(Compressor):
    """The number of ``bits`` of each number of the rows that a model compares with."""

    def recipes(self, bundle: Bundle, rows: Rows) -> Sequence[Config]:
        """Return falling numbers of bits; none for graphs that compare with no rows."""
        found = held(model_of(bundle))
        return tuple({"bits": bits} for bits in TRIED) if any(one.lengths for one in found) else ()

    def apply(self, bundle: Bundle, recipe: Config, rows: Rows) -> Bundle:
        """Return the bundle with smaller rows.

        Raises
        ------
        BundleError
            When the graph compares with no rows, or the bits are none of `codebook.BITS`.
        """
        import onnx

        bits = int(recipe.get("bits") or 0)
        model = onnx.ModelProto.FromString(bundle.graph)
        found = held(model)
        if bits not in BITS or not any(one.lengths for one in found):
            raise BundleError(
                f"quantize_rows needs a graph that compares with rows, and {BITS[0]} to {BITS[-1]} "
                f"bits, but got {len(found)} matrices and {bits} bits. Choose another technique."
            )
        writer = _Writer(model)
        for one in found:
            if one.lengths:
                writer.points(one, coded(one.values, bits))
            else:
                writer.weights(one)
        writer.finish()
        return written(bundle, model)


def held(model: Any) -> tuple[Held, ...]:
    """Find the matrices of products of float64 that a ModelProto holds as float32.

    Those of fewer than `SMALLEST` numbers, with numbers that are not finite, or read elsewhere too,
    are passed over; so are all matrices of a graph in which none is of rows to compare with.
    """
    from onnx import numpy_helper

    graph = model.graph
    constants = {one.name: one for one in graph.initializer}
    users = Counter(name for node in graph.node for name in node.input)
    users.update(value.name for value in graph.output)
    readers = {name: node for node in graph.node for name in node.input}
    wide = {
        one.name: numpy_helper.to_array(one).ravel()
        for one in graph.initializer
        if one.data_type == _DOUBLE and len(one.dims) == 2 and one.dims[0] == 1
    }
    found = []
    for place, node in enumerate(graph.node):
        constant = constants.get(node.input[0]) if node.op_type == "Cast" else None
        if constant is None or constant.data_type != _FLOAT or len(constant.dims) != 2:
            continue
        to = next((one.i for one in node.attribute if one.name == "to"), 0)
        single = users[constant.name] == 1 and users[node.output[0]] == 1
        product = readers.get(node.output[0])
        values = numpy_helper.to_array(constant)
        if to != _DOUBLE or not single or product is None or values.size < SMALLEST:
            continue
        if product.op_type != "MatMul" or product.input[1] != node.output[0]:
            continue
        if np.isfinite(values).all():
            lengths = _lengths(values)
            same = [
                name
                for name, given in wide.items()
                if given.shape == lengths.shape and np.allclose(given, lengths, 1e-9, 1e-12)
            ]
            name = same[0] if same and len(values) > 1 else ""
            found.append(Held(name=constant.name, cast=place, values=values, lengths=name))
    return tuple(found)


def _lengths(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the squared lengths of points, each a column times -2."""
    return np.asarray(np.square(values.astype(np.float64)).sum(axis=0) / 4)


class _Writer:
    """Writes nodes that make matrices in place of the matrices."""

    def __init__(self, model: Any) -> None:
        self._graph = model.graph
        self._prefix = fresh(model.graph, "rows")
        self._count = 0
        self._before: dict[int, list[Any]] = {}
        self._after: dict[int, list[Any]] = {}
        self._gone: set[str] = set()
        self._kept: dict[tuple[str, bytes], str] = {}

    def points(self, one: Held, book: Codebook) -> None:
        """Write the rows, and what computes their squared lengths."""
        nodes: list[Any] = []
        codes = self._constant(book.codes)
        if not np.array_equal(book.which, np.arange(len(book.codes))):
            codes = self._node(nodes, "Gather", [codes, self._constant(book.which)], axis=0)
        places = self._node(nodes, "Cast", [codes], to=_INT64)
        places = self._node(nodes, "Add", [places, self._constant(book.starts[:, None])])
        self._node(nodes, "Gather", [self._constant(book.table), places], one.name, axis=0)
        self._before[one.cast] = nodes
        wide = self._graph.node[one.cast].output[0]
        after: list[Any] = []
        square = self._node(after, "Mul", [wide, wide])
        axis = self._constant(np.zeros(1, np.int64))
        total = self._node(after, "ReduceSum", [square, axis], keepdims=1)
        self._node(after, "Mul", [total, self._constant(np.array(0.25))], one.lengths)
        self._after[one.cast] = after
        self._gone |= {one.name, one.lengths}

    def weights(self, one: Held) -> None:
        """Write what rows weigh: which of few kinds each is, or multiples of a step."""
        nodes: list[Any] = []
        kinds, places = np.unique(one.values, axis=0, return_inverse=True)
        if len(kinds) <= min(_MOST_KINDS, len(one.values) // 2):
            codes = self._constant(places.ravel().astype(np.uint8))
            wide = self._node(nodes, "Cast", [codes], to=_INT64)
            self._node(nodes, "Gather", [self._constant(kinds), wide], one.name, axis=0)
        else:
            step = np.float32(np.abs(one.values).max() / WEIGHT) or np.float32(1)
            whole = np.rint(one.values / step).astype(np.int8)
            wide = self._node(nodes, "Cast", [self._constant(whole)], to=_FLOAT)
            self._node(nodes, "Mul", [wide, self._constant(np.array(step))], one.name)
        self._before[one.cast] = nodes
        self._gone.add(one.name)

    def finish(self) -> None:
        """Put the nodes beside those that read them, and take the matrices out."""
        nodes = []
        for place, node in enumerate(self._graph.node):
            copy = type(node).FromString(node.SerializeToString())
            nodes += [*self._before.get(place, ()), copy, *self._after.get(place, ())]
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        for place in range(len(self._graph.initializer) - 1, -1, -1):
            if self._graph.initializer[place].name in self._gone:
                del self._graph.initializer[place]

    def _constant(self, values: npt.NDArray[Any]) -> str:
        """Return the name of a constant; equal ones are held once."""
        from onnx import numpy_helper

        key = (f"{values.dtype.str}{values.shape}", values.tobytes())
        if key not in self._kept:
            self._kept[key] = self._fresh()
            made = numpy_helper.from_array(np.ascontiguousarray(values), self._kept[key])
            self._graph.initializer.append(made)
        return self._kept[key]

    def _node(
        self, nodes: list[Any], operator: str, inputs: Sequence[str], result: str = "", **how: Any
    ) -> str:
        from onnx import helper

        nodes.append(helper.make_node(operator, inputs, [result or self._fresh()], **how))
        return str(nodes[-1].output[0])

    def _fresh(self) -> str:
        self._count += 1
        return f"{self._prefix}{self._count}"
