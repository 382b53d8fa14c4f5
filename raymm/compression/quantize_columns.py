"""Writes with fewer digits what columns are prepared by for linear models and networks.

Of a small table that is most of the file: a broken line of up to 32 knots a column (see
`raymm.features.normal_score`), six numbers of its scale, and the weights of a linear model. Knots
come to lie on short decimals, as a table's values do, and fewer of them are kept; scores, scales
and weights become multiples of a step. The nodes stay as they are, and what is read of them.

How far a line, a scale or a weight moves is bounded by the step alone, so that with `_SMALL_STEP`
bits or more no row's answer moves far. On iris (four columns, a logistic regression, 98 knots) the
graph's numbers take 250 bytes with 8 bits instead of 1,300.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Config
from raymm.bundle.bitwise_numbers import slopes, widths
from raymm.bundle.packed import Bundle
from raymm.compression.compressor import Compressor, Rows
from raymm.compression.network import Network, ancestors, networks, written
from raymm.compression.parsed import model_of
from raymm.compression.quantize_network import SMALLEST
from raymm.errors import BundleError
from raymm.plugins import compressor

Floats = npt.NDArray[np.float64]
BITS = (11, 10, 9, 8, 7, 6, 5, 4)
_SMALL_STEP = 7
"""Bits from which on no answer moves far: with 4 a regression moved by 0.24 deviations, and each
bit halves a step."""
SHARE = 0.05
"""Of a graph's bytes that these numbers take at least, for it to be worth it."""
_DECIMALS = range(10)
_FOLLOWED = ("Sub", "Mul", "Abs", "Add", "Log", "Clip")
_STEADY = ("Concat", "Where", "Reshape", "Gemm", "MatMul", "IsNaN", "Identity", "Equal")
"""Operators that end a column's scaling, and move what they read no farther."""
_CHAIN = ("Sub", "Max", "Min", "MatMul", "Add")


@compressor("quantize_columns")
class QuantizeColumns(Compressor):
    """The number of ``bits`` behind the point of what columns become, where 1 is a deviation."""

    def recipes(self, bundle: Bundle, rows: Rows) -> Sequence[Config]:
        """Return falling numbers of bits; none where it takes little of the graph."""
        found = _Held(model_of(bundle))
        if found.bytes < SHARE * len(bundle.graph):
            return ()
        return tuple({"bits": bits} for bits in BITS)

    def bounded_moves(self, recipe: Config) -> bool:
        """Return whether a step is so small that no row's answer moves far."""
        return int(recipe.get("bits") or 0) >= _SMALL_STEP

    def apply(self, bundle: Bundle, recipe: Config, rows: Rows) -> Bundle:
        """Return the bundle with shorter numbers.

        Raises
        ------
        BundleError
            When there is nothing to shorten, or the bits are none of `BITS`.
        """
        import onnx

        bits = int(recipe.get("bits") or 0)
        model = onnx.ModelProto.FromString(bundle.graph)
        found = _Held(model)
        if bits not in BITS or not found.bytes:
            raise BundleError(
                f"quantize_columns needs columns that are scaled for a linear model or a network, "
                f"and {BITS[-1]} to {BITS[0]} bits, but got {found.bytes} bytes of numbers and "
                f"{bits} bits. Choose another technique."
            )
        found.shorten(bits)
        return written(bundle, model)


@dataclass(frozen=True, slots=True)
class _Line:
    """The nodes of a broken line, from Sub to Add."""

    nodes: tuple[Any, ...]

    @property
    def constants(self) -> tuple[str, ...]:
        """The names of the knots, widths, slopes and of the first score."""
        return tuple(self.nodes[place].input[1] for place in (0, 2, 3, 4))


class _Held:
    """What of a graph can be shortened."""

    def __init__(self, model: Any) -> None:
        from onnx import numpy_helper

        self._graph = model.graph
        self._tensors = {one.name: one for one in model.graph.initializer}
        self._values = {
            name: numpy_helper.to_array(one)
            for name, one in self._tensors.items()
            if one.data_type in (1, 11) and not one.external_data
        }
        self._users: dict[str, list[Any]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
        found = networks(model)
        self.networks = [one for one in found if one.size < SMALLEST]
        self._own = self._private(found)
        self.lines = [line for node in self._own if (line := self._line(node)) is not None]
        self.scales = list(self._scales())

    @property
    def bytes(self) -> int:
        """How many bytes the numbers take."""
        lines = sum(self._values[name].nbytes for one in self.lines for name in one.constants)
        return lines + 4 * len(self.scales) + 4 * sum(one.size for one in self.networks)

    def shorten(self, bits: int) -> None:
        """Shorten all of it, in place."""
        for node, place, gain in self.scales:
            scale = float(self._values[node.input[place]].reshape(()))
            near = 2.0 ** -(bits + 1) * (
                abs(scale) * (gain < np.inf) if node.op_type == "Mul" else 1 / gain
            )
            self._set(node, place, np.float32(_short(scale, near)))
        for line in self.lines:
            knots, wide, slope, first = (self._values[name] for name in line.constants)
            made = shortened_line(knots.ravel(), wide.ravel(), slope.ravel(), float(first[0]), bits)
            if made is not None:
                shapes = (1, -1), (1, -1), (-1, 1), (1,)
                for place, value, shape in zip((0, 2, 3, 4), made, shapes, strict=True):
                    self._set(line.nodes[place], 1, value.reshape(shape))
        for network in self.networks:
            self._round(network, bits)
        used = {name for node in self._graph.node for name in node.input}
        used |= {one.name for one in self._graph.output}
        kept = [one for one in self._graph.initializer if one.name in used]
        copies = [type(one).FromString(one.SerializeToString()) for one in kept]
        del self._graph.initializer[:]
        self._graph.initializer.extend(copies)

    def _private(self, found: Sequence[Network]) -> list[Any]:
        """Return the nodes that networks alone read, in the graph's order."""
        nodes = list(self._graph.node)
        inner = {place for one in found for place in one.nodes}
        above = {place for one in found for place in ancestors(self._graph, one.source)}
        ends = {one.name for one in self._graph.output}
        private = {id(nodes[place]) for place in inner}
        own = []
        for place in sorted(above - inner, reverse=True):
            names = nodes[place].output
            users = [node for name in names for node in self._users.get(name, ())]
            if not ends & set(names) and all(id(node) in private for node in users):
                private.add(id(nodes[place]))
                own.append(nodes[place])
        return own[::-1]

    def _next(self, node: Any) -> Any | None:
        users = self._users.get(node.output[0], [])
        return users[0] if len(users) == 1 else None

    def _line(self, node: Any) -> _Line | None:
        chain = [node]
        while len(chain) < len(_CHAIN) and (after := self._next(chain[-1])) is not None:
            chain.append(after)
        if tuple(one.op_type for one in chain) != _CHAIN or any(len(n.input) != 2 for n in chain):
            return None
        line = _Line(tuple(chain))
        values = [self._values.get(name) for name in (*line.constants, chain[1].input[1])]
        if any(one is None or one.dtype != np.float64 for one in values):
            return None
        knots, wide, slope, first, zero = (np.asarray(one) for one in values)
        count = knots.size
        shapes = [one.shape for one in (knots, wide, slope, first)]
        fits = shapes == [(1, count), (1, count), (count, 1), (1,)] and count > 1
        return line if fits and zero.size == 1 and not zero.any() else None

    def _scales(self) -> Iterator[tuple[Any, int, float]]:
        """Yield nodes that scale a column, the place of their constant, and what follows it.

        What stands for missing values stays, and what is subtracted where it is the same.
        """
        fills = {name for node in self._own if node.op_type == "Where" for name in node.input}
        for node in self._own:
            if node.op_type not in ("Clip", "Sub", "Mul"):
                continue
            for place in range(1, len(node.input)):
                value = self._values.get(node.input[place])
                if value is None or value.size != 1 or value.dtype != np.float32:
                    continue
                if node.input[place] not in fills and np.isfinite(value).all():
                    yield node, place, self._gain(node)

    def _gain(self, node: Any) -> float:
        """Return how many times as far what follows a node moves as it does.

        Infinite where that is not known, as before powers, so that nothing may move.
        """
        gain = 1.0
        while True:
            # What is squashed is read by Sign and by Abs, and moves as the latter does.
            users = [one for one in self._users.get(node.output[0], ()) if one.op_type != "Sign"]
            if len(users) != 1 or users[0].op_type not in _FOLLOWED:
                known = all(_steady(one) for one in users)
                return gain if known else np.inf
            node = users[0]
            value = self._values.get(node.input[-1])
            if node.op_type == "Mul" and value is not None and value.size == 1:
                gain *= max(abs(float(value.reshape(()))), 1e-30)

    def _round(self, network: Network, bits: int) -> None:
        """Round the matrices and biases of a network's products to a step each."""
        nodes = [self._graph.node[place] for place in network.nodes]
        for node in nodes:
            for place, name in enumerate(node.input):
                value = self._values.get(name)
                if value is not None and value.dtype == np.float32 and np.abs(value).any():
                    step = 2.0 ** (np.floor(np.log2(np.abs(value).max())) - bits)
                    self._set(node, place, (np.rint(value / step) * step).astype(np.float32))

    def _set(self, node: Any, place: int, value: Any) -> None:
        """Let a node read another constant."""
        from onnx import numpy_helper

        name = node.input[place]
        if len(self._users[name]) > 1:
            number = 1
            while f"{name}_{number}" in self._tensors:
                number += 1
            name = node.input[place] = f"{name}_{number}"
            self._tensors[name] = self._graph.initializer.add()
            self._users[name] = [node]
        self._tensors[name].CopyFrom(numpy_helper.from_array(np.asarray(value), name))


def shortened_line(
    knots: Floats, wide: Floats, slope: Floats, first: float, bits: int
) -> tuple[Floats, Floats, Floats, Floats] | None:
    """Return a broken line with fewer and shorter knots, within 2^-bits of another.

    Parameters
    ----------
    knots, wide, slope : float64, shape (k,)
        Where pieces begin, their widths and their slopes.
    first : float
        The line's value up to the first knot.

    Returns
    -------
    tuple of float64
        The same of the other line, the last of shape (1,); None where pieces do not join.
    """
    ends = np.append(knots, knots[-1] + wide[-1])
    if not np.isfinite([*ends, *slope, first]).all() or not (np.diff(ends) > 0).all():
        return None
    if not np.allclose(knots[:-1] + wide[:-1], knots[1:], rtol=1e-9, atol=0):
        return None
    values = first + np.append(0.0, np.cumsum(wide * slope))
    near, power = 2.0**-bits, bits + 1
    kept = _corners(ends, values, 0.75 * near)
    for digits in _DECIMALS:
        made = np.round(ends[kept], digits).astype(np.float32).astype(np.float64)
        if not (np.diff(made) > 0).all():
            continue
        whole = np.rint(np.interp(made, ends, values) * 2.0**power)
        seen = np.concatenate([ends, made])
        away = np.interp(seen, made, whole / 2.0**power) - np.interp(seen, ends, values)
        if np.abs(away).max() <= near:
            across = widths(made)
            steep = slopes([int(one) for one in np.diff(whole)], power, across)
            return made[:-1], across, steep, whole[:1] / 2.0**power
    return None


def _corners(ends: Floats, values: Floats, near: float) -> list[int]:
    """Return which knots to keep so that none of the others lies farther than this from the line.

    Each piece reaches as far as it can; there are two at least.
    """
    kept, last = [0], len(ends) - 1
    while kept[-1] < last:
        start = kept[-1]
        for end in range(last, start, -1):
            between = np.arange(start, end + 1)
            chord = np.interp(ends[between], ends[[start, end]], values[[start, end]])
            if np.abs(chord - values[between]).max() <= near:
                break
        kept.append(end)
    return kept if len(kept) > 2 else [0, last // 2, last]


def _steady(node: Any) -> bool:
    """Return whether what a node reads ends a column's scaling."""
    from onnx import TensorProto

    floats = (TensorProto.FLOAT, TensorProto.DOUBLE)
    return node.op_type in _STEADY or (
        node.op_type == "Cast"
        and any(one.name == "to" and one.i in floats for one in node.attribute)
    )


def _short(value: float, near: float) -> float:
    """Return the shortest decimal that is this near."""
    for digits in _DECIMALS:
        if abs(round(value, digits) - value) <= near:
            return round(value, digits)
    return value
