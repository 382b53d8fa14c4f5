"""What is pruned as one: the trees of a node, or of several that a mix adds up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raymm.bundle.packed import Bundle
from raymm.compression.grove import cells
from raymm.compression.join import Group, groups
from raymm.compression.tap import ensemble_of, tree_nodes
from raymm.models.trees import TreeEnsemble


@dataclass(frozen=True, slots=True)
class Unit:
    """Trees of a graph that are pruned as one.

    Attributes
    ----------
    trees : TreeEnsemble
        Those of a group are joined; see `Group.ensemble`.
    node : NodeProto
        The first of the nodes that they are from.
    group : Group or None
        None for the trees of one node.
    """

    trees: TreeEnsemble
    node: Any
    group: Group | None = None


def units(bundle: Bundle, *, joined: bool, most: int | None = None) -> tuple[Any, list[Unit]]:
    """Return the graph as an ONNX model, and its units: groups first, where they are joined.

    Those that hold more nodes times values of a leaf than ``most``, together with all smaller ones,
    are left out; what could be joined is left out together.
    """
    model, nodes = tree_nodes(bundle)
    found = groups(model)
    gone = {part.node.output[0] for one in found for part in one.parts}
    parts = [[part.node for part in one.parts] for one in found]
    parts += [[node] for node in nodes if node.output[0] not in gone]
    held = list(range(len(parts)))
    if most is not None:
        held = smallest([sum(cells(ensemble_of(n)) for n in part) for part in parts], most)
    made = []
    for place in held:
        if joined and place < len(found):
            made.append(Unit(found[place].ensemble(), parts[place][0], found[place]))
        else:
            made += [Unit(ensemble_of(node), node) for node in parts[place]]
    return model, made


def smallest(sizes: Sequence[int], most: int) -> list[int]:
    """Return which sizes, from the smallest on, add up to no more than so much.

    >>> smallest([7, 3, 9, 4], 15)
    [0, 1, 3]
    """
    order = sorted(range(len(sizes)), key=lambda place: (sizes[place], place))
    fits = np.cumsum([sizes[place] for place in order]) <= most
    return sorted(place for place, fit in zip(order, fits, strict=True) if fit)


def write(model: Any, given: Sequence[Unit], trees: Sequence[TreeEnsemble]) -> None:
    """Write ensembles in the places of a model's units."""
    for unit, made in zip(given, trees, strict=True):
        if unit.group is None:
            places = [n for n in model.graph.node if unit.node.output[0] in n.output]
            places[0].CopyFrom(made.to_node(places[0]))
        else:
            # Its place may be another by now, as those written before are one node each.
            result = unit.group.parts[0].result
            found = (one for one in groups(model) if one.parts[0].result == result)
            next(found).put(model, made)
