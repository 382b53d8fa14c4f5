"""Stores the matrices of networks in fewer bits, by onnxruntime's own quantization.

With 8 bits or fewer products are of whole numbers, which is faster too; with 16 they are stored as
float16 and run as float32, since processors have no float16 of their own. Weights have a scale an
output and stay within 7 bits (``reduce_range``): on processors without the instructions for it,
sums of two products of 8 bits end at 32,767, and a model would answer otherwise there than where it
was proven. With fewer than 8 bits int8 holds fewer values, which a file packs in so many bits; see
`raymm.compression.rounding`. Features and head keep float32.

What a layer reads is quantised by a range that is set once, from training rows ("rows"), or by the
range of the rows that are predicted together ("batch"). The latter makes a row's prediction depend
on the rows beside it, so it is not among the recipes.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from raymm.artifacts import Config
from raymm.bundle.packed import Bundle
from raymm.compression.compressor import Compressor, Rows
from raymm.compression.network import (
    Floats32,
    Network,
    alone,
    fresh,
    networks,
    splice,
    tensor,
    written,
)
from raymm.compression.parsed import model_of
from raymm.compression.rounding import Whole, rounded
from raymm.errors import BundleError
from raymm.plugins import compressor

SMALLEST = 512
"""Weights from which on a network is worth it: scales and steps are stored too."""
MOST_ROWS = 5000
"""Rows that ranges are taken from, drawn by the seed."""
MAPPINGS = ("rows", "batch")
BITS = (16, 8, 6, 5, 4)
MANY = 4096
"""Weights from which on 4 bits are not tried: of a network of 10,000 on letter they lost twice what
5 bits do, of one of 2,000 on digits nothing."""
ENOUGH = 1024
"""Weights from which on fewer than 8 bits are tried: of fewer they save less than 100 bytes."""
FEWEST = 4
"""Bits below which networks lose too much to be of use."""


@compressor("quantize_network")
class QuantizeNetwork(Compressor):
    """The number of ``bits`` of every matrix, and up to 8 where the ``range`` comes from."""

    def recipes(self, bundle: Bundle, rows: Rows) -> Sequence[Config]:
        """Return the numbers of `BITS`; none where all networks are tiny."""
        weights = sum(one.size for one in _found(bundle))
        if not weights:
            return ()
        tried = BITS[:2] if weights < ENOUGH else BITS if weights < MANY else BITS[:-1]
        return tuple({"bits": one, "range": "rows"} if one <= 8 else {"bits": one} for one in tried)

    def bounded_moves(self, recipe: Config) -> bool:
        """Return whether weights are rounded alone: inputs beyond a range would be cut off."""
        return recipe.get("bits") == 16

    def apply(self, bundle: Bundle, recipe: Config, rows: Rows) -> Bundle:
        """Return the bundle with smaller matrices in each network.

        Raises
        ------
        BundleError
            When the graph holds no network that is worth it, the bits or the range are others, or
            there are no rows to take a range from.
        """
        import onnx

        bits, mapping = recipe.get("bits"), recipe.get("range", "rows")
        count = len(_found(bundle))
        known = bits in (*range(FEWEST, 9), 16) and mapping in MAPPINGS
        if not known or not count or (mapping == "batch" and bits not in (8, 16)):
            raise BundleError(
                f"quantize_network needs a graph with a network of {SMALLEST} weights, {FEWEST} to "
                f"8 or 16 bits, and a range from rows, or with 8 bits from batch, but got {count} "
                f"networks, {bits!r} bits and {mapping!r}. Choose another technique."
            )
        if bits != 16 and mapping == "rows" and not len(rows.y):
            raise BundleError("quantize_network needs rows to take a range from, but got none.")
        model = onnx.ModelProto.FromString(bundle.graph)
        for _ in range(count):
            network = _large(model)[0]
            if bits == 16:
                made = _halved(network)
            else:
                x = None if mapping == "batch" else _sample(bundle, network, rows)
                made = _integers(network, x, int(bits or 0))
            _put(model, network, made)
        return written(bundle, model)


def _halved(network: Network) -> Any:
    """Return the network's own graph with float16 matrices and a Cast after each."""
    from onnx import TensorProto, helper, numpy_helper

    model = alone(network)
    limit = np.finfo(np.float16).max
    casts = []
    for held in model.graph.initializer:
        values = numpy_helper.to_array(held)
        if values.ndim == 2:
            small = np.clip(values, -limit, limit).astype(np.float16)
            casts.append(helper.make_node("Cast", [f"{held.name}_16"], [held.name], to=1))
            assert casts[-1].attribute[0].i == TensorProto.FLOAT
            held.CopyFrom(numpy_helper.from_array(small, f"{held.name}_16"))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _integers(network: Network, x: Floats32 | None, bits: int) -> Any:
    """Return the network's own graph with matrices of int8; ranges are those of ``x``, or open."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    matrices: tuple[Whole, ...] = ()
    if x is not None and bits < 8:
        network, matrices = rounded(network, x, bits)
    with tempfile.TemporaryDirectory(prefix="raymm-") as folder, _quiet():
        path = Path(folder) / "network.onnx"
        quantize_dynamic(
            alone(network),
            path,
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
        model = onnx.ModelProto.FromString(path.read_bytes())
    _fix_matrices(model, matrices)
    if x is not None:
        _fix_ranges(model, network, x)
    return model


def _fix_matrices(model: Any, matrices: Sequence[Whole]) -> None:
    """Put these whole numbers and scales in place of those that a network's layers have."""
    from onnx import numpy_helper

    held = {one.name: one for one in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type == "MatMulInteger"]
    for node, made in zip(products, matrices, strict=bool(matrices)):
        name = node.input[1]
        scale = f"{name.removesuffix('_quantized')}_scale"
        zero = numpy_helper.to_array(held[node.input[3]])
        assert not zero.any()
        assert tuple(held[scale].dims) == made.scales.shape
        held[name].CopyFrom(numpy_helper.from_array(made.numbers, name))
        held[scale].CopyFrom(numpy_helper.from_array(made.scales, scale))


def _fix_ranges(model: Any, network: Network, x: Floats32) -> None:
    """Give every layer's input the range that it has on rows."""
    from onnx import helper, numpy_helper

    inputs = network.hidden(x)[:-1]
    nodes, number = [], 0
    for node in model.graph.node:
        if node.op_type == "DynamicQuantizeLinear":
            scale, zero = _range(inputs[number])
            number += 1
            made, *names = node.output
            constants = [
                numpy_helper.from_array(np.array(scale, np.float32), names[0]),
                numpy_helper.from_array(np.array(zero, np.uint8), names[1]),
            ]
            model.graph.initializer.extend(constants)
            nodes.append(helper.make_node("QuantizeLinear", [node.input[0], *names], [made]))
        else:
            nodes.append(node)
    assert number == len(inputs)
    copies = [type(one).FromString(one.SerializeToString()) for one in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def _range(values: Floats32) -> tuple[float, int]:
    """Return scale and zero point of uint8 that hold these values and 0."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = (high - low) / 255 or 1.0
    return scale, int(np.clip(round(-low / scale), 0, 255))


def _sample(bundle: Bundle, network: Network, rows: Rows) -> Floats32:
    tensors = rows.tensors
    if len(rows.y) > MOST_ROWS:
        drawn = np.random.default_rng([rows.seed, 6]).choice(len(rows.y), MOST_ROWS, replace=False)
        drawn.sort()
        tensors = {name: values[drawn] for name, values in tensors.items()}
    return tensor(bundle, network.source, tensors)


def _put(model: Any, network: Network, made: Any) -> None:
    """Put a network's own graph in its place, under names that nothing else there has."""
    prefix = fresh(model.graph, "q")
    names = {name: name for name in (network.source, network.result, "")}

    def named(name: str) -> str:
        # Those of onnxruntime are long, and of a small network take more bytes than its biases.
        return names.setdefault(name, f"{prefix}{len(names):x}")

    for node in made.graph.node:
        node.name = ""
        node.input[:] = [named(name) for name in node.input]
        node.output[:] = [named(name) for name in node.output]
    for held in made.graph.initializer:
        held.name = named(held.name)
    splice(model, network.nodes, list(made.graph.node), list(made.graph.initializer))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back onnxruntime's advice to prepare a graph, which needs none here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _found(bundle: Bundle) -> tuple[Network, ...]:
    return _large(model_of(bundle))


def _large(model: Any) -> tuple[Network, ...]:
    return tuple(one for one in networks(model) if one.size >= SMALLEST)
