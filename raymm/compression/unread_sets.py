"""Takes out of a graph the sets of categories that no tree splits on any more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.bundle.abreast import sweep
from raymm.compression.network import fresh
from raymm.compression.seen import Part, part_of
from raymm.compression.tap import ensemble_of
from raymm.models.sets import MARK
from raymm.models.trees import FORMAT, OPERATOR


def drop(model: Any) -> None:
    """Leave only the columns of sets that trees read; see `raymm.models.sets.Sets.to_onnx`.

    Sets that anything but trees of raymm's own reads stay as they are.
    """
    graph = model.graph
    for node in [one for one in graph.node if one.doc_string.startswith(MARK)]:
        readers = [one for one in graph.node if node.output[0] in one.input]
        if readers and all(one.op_type == OPERATOR and FORMAT in one.doc_string for one in readers):
            _narrow(graph, node, readers)
    sweep(graph)


def _narrow(graph: Any, node: Any, readers: list[Any]) -> None:
    trees = [ensemble_of(one) for one in readers]
    read = np.unique(np.concatenate([one.feature for one in trees]))
    makers = {name: one for one in graph.node for name in one.output}
    constants = {one.name: one for one in graph.initializer}
    first = start = made = int(node.doc_string.removeprefix(MARK))
    places, parts = list(range(start)), [node.input[0]]
    for part in node.input[1:]:
        found = part_of(part, makers, constants)
        count = found.count
        kept = np.flatnonzero(np.isin(np.arange(start, start + count), read))
        moved = np.full(count, -1)
        moved[kept] = made + np.arange(len(kept))
        places += moved.tolist()
        start, made = start + count, made + len(kept)
        if len(kept):
            parts.append(part)
        if 0 < len(kept) < count:
            _keep(graph, part, kept, found)
    for one, held in zip(readers, trees, strict=True):
        at = np.append(places, -1)[held.feature]
        # A column that moves to another bit is another number where it is not 0.
        bound = np.where(held.feature >= first, np.float32(0.5), held.threshold)
        one.CopyFrom(replace(held, feature=at, threshold=bound).to_node(one))
        if len(parts) == 1:
            one.input[0] = parts[0]
    node.input[:] = parts


def _keep(graph: Any, part: str, kept: npt.NDArray[np.int64], found: Part) -> None:
    """Leave some of a part's columns, as constants of their own."""
    from onnx import numpy_helper

    bits = np.unpackbits(found.table, axis=1, bitorder="little", count=found.count)[:, kept]
    places = np.arange(len(kept))
    made: dict[str, npt.NDArray[Any]] = {
        "table": np.packbits(bits, axis=1, bitorder="little"),
        "places": places // 8,
        "mask": (1 << places % 8).astype(np.uint8)[None, :],
    }
    prefix = fresh(graph, part)
    graph.initializer.extend(
        numpy_helper.from_array(value, f"{prefix}{name}") for name, value in made.items()
    )
    found.rows.input[0], found.spread.input[1] = f"{prefix}table", f"{prefix}places"
    found.masked.input[1] = f"{prefix}mask"
