"""Takes out of a graph the features that are made and never read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.bundle.abreast import sweep


def drop(model: Any) -> None:
    """Make no feature that nothing reads: of a ``Concat`` whose columns a ``Gather`` picks.

    A part of which no column is picked goes, with all that only it needs; so does a ``Gather``
    that would pick every column in order. Inputs of the graph stay, read or not.
    """
    import onnx
    from onnx import numpy_helper

    graph = model.graph
    users = _users(graph)
    constants = {one.name: one for one in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    widths = _widths(onnx.shape_inference.infer_shapes(model).graph)
    for gather in [node for node in graph.node if node.op_type == "Gather" and _axis(node) == 1]:
        concat, picked = makers.get(gather.input[0]), constants.get(gather.input[1])
        if concat is None or picked is None or len(users[concat.output[0]]) != 1:
            continue
        if concat.op_type != "Concat" or _axis(concat) != 1:
            continue
        parts = _flat(concat, makers, users)
        if any(part not in widths for part in parts):
            continue
        places = numpy_helper.to_array(picked)
        if places.ndim != 1 or not len(places) or places.min() < 0:
            continue
        kept, places = _read(parts, widths, places)
        concat.input[:] = kept
        if np.array_equal(places, np.arange(sum(widths[part] for part in kept))):
            gather.op_type = "Identity"
            del gather.input[1:], gather.attribute[:]
        else:
            name = gather.input[1] if len(users[gather.input[1]]) == 1 else f"{gather.output[0]}_at"
            gather.input[1] = name
            held = [one for one in graph.initializer if one.name != name]
            made = numpy_helper.from_array(places, name)
            del graph.initializer[:]
            graph.initializer.extend([*held, made])
    sweep(graph)


def _read(
    parts: list[str], widths: Mapping[str, int], places: npt.NDArray[np.int64]
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the parts that are picked from, and the places within them."""
    ends = np.cumsum([widths[part] for part in parts])
    owner = np.searchsorted(ends, places, side="right")
    kept = np.unique(owner)
    starts = ends - [widths[part] for part in parts]
    moved = np.cumsum([0, *(widths[parts[one]] for one in kept)])
    return [parts[one] for one in kept], (
        places - starts[owner] + moved[np.searchsorted(kept, owner)]
    ).astype(np.int64)


def _flat(concat: Any, makers: Mapping[str, Any], users: Mapping[str, list[int]]) -> list[str]:
    """Return the parts of a Concat, of those within it too where nothing else reads them."""
    parts: list[str] = []
    for name in concat.input:
        maker = makers.get(name)
        inner = maker is not None and maker.op_type == "Concat" and _axis(maker) == 1
        if maker is not None and inner and len(users[name]) == 1:
            parts.extend(_flat(maker, makers, users))
        else:
            parts.append(name)
    return parts


def _users(graph: Any) -> dict[str, list[int]]:
    users: dict[str, list[int]] = {value.name: [-1] for value in graph.output}
    for index, node in enumerate(graph.node):
        for name in node.input:
            users.setdefault(name, []).append(index)
    return users


def _widths(graph: Any) -> dict[str, int]:
    """Return the second side of every matrix whose size is known."""
    found = {}
    for value in (*graph.input, *graph.value_info):
        sides = value.type.tensor_type.shape.dim
        if len(sides) == 2 and sides[1].HasField("dim_value"):
            found[value.name] = sides[1].dim_value
    return found


def _axis(node: Any) -> int:
    return next((one.i for one in node.attribute if one.name == "axis"), 0)
