"""What is pruned as one: the trees of a node, or of several that a mix adds up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raymm.bundle.packed import Bundle
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


def units(bundle: Bundle, *, joined: bool) -> tuple[Any, list[Unit]]:
    """Return the graph as an ONNX model, and its units: groups first, where they are joined."""
    model, nodes = tree_nodes(bundle)
    found = groups(model) if joined else []
    made = [Unit(one.ensemble(), one.parts[0].node, one) for one in found]
    gone = {part.node.output[0] for one in found for part in one.parts}
    alone = [node for node in nodes if node.output[0] not in gone]
    return model, [*made, *(Unit(ensemble_of(node), node) for node in alone)]


def write(model: Any, given: Sequence[Unit], trees: Sequence[TreeEnsemble]) -> None:
    """Write ensembles in the places of a model's units."""
    for unit, made in zip(given, trees, strict=True):
        if unit.group is None:
            places = [n for n in model.graph.node if unit.node.output[0] in n.output]
            places[0].CopyFrom(made.to_node(places[0]))
        else:
            # Those written before are one node each by now, so this group is the first.
            groups(model)[0].put(model, made)
