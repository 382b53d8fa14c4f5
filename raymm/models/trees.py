"""An ensemble of decision trees in flat arrays, and its ONNX form.

LightGBM, XGBoost and scikit-learn forests are read into `TreeEnsemble`, which becomes one
``TreeEnsembleRegressor`` node of the operator set ai.onnx.ml (version 3). Compression reads the
same type back from a graph with `TreeEnsemble.from_node`, so it knows nothing of the libraries.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import onnx

from raymm.errors import BundleError
from raymm.models.sets import wide
from raymm.onnx_builder import ML_DOMAIN, GraphBuilder, add_attributes, make_node

OPERATOR = "TreeEnsembleRegressor"
FORMAT = "raymm.trees/1"
_TOGETHER = 256
"""Trees that rows go down together in the reference: the nodes of more leave the cache."""
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEnsemble:
    """Trees whose leaves add to one or more outputs.

    Nodes of all trees lie one after another; a tree is the nodes from its root up to the next
    root. Rows go left where the feature is at most the threshold (less than it where ``strict``),
    or is NaN and the node sends missing values left.

    Attributes
    ----------
    feature : int64, shape (nodes,)
        Column compared; -1 at a leaf.
    threshold : float32, shape (nodes,)
        0 at a leaf.
    missing_left : bool, shape (nodes,)
    left, right : int64, shape (nodes,)
        Node numbers of the children; -1 at a leaf.
    roots : int64, shape (trees,)
        Node numbers of the roots, increasing, the first 0.
    leaf, output : int64, shape (values,)
        Leaf values: the leaf's node number (never decreasing) and the output it adds to.
    value : float32, shape (values,)
    base : float32, shape (outputs,)
        What every row starts from.
    strict : bool
        Whether the comparison is "less than" rather than "at most".
    trees_per_round : int
        How many trees one boosting round made; 1 for a forest.
    averaged : bool
        True for a forest: the trees' values are shares of a mean, so that fewer trees must weigh
        more. False where each tree corrects those before it.
    """

    feature: Ints
    threshold: npt.NDArray[np.float32]
    missing_left: Bools
    left: Ints
    right: Ints
    roots: Ints
    leaf: Ints
    output: Ints
    value: npt.NDArray[np.float32]
    base: npt.NDArray[np.float32]
    strict: bool = False
    trees_per_round: int = 1
    averaged: bool = False

    @property
    def rounds(self) -> int:
        """Boosting rounds, or trees of a forest."""
        return len(self.roots) // self.trees_per_round

    def first(self, rounds: int) -> Self:
        """Return the ensemble of the first ``rounds`` rounds; a forest's trees are reweighted.

        Raises
        ------
        ValueError
            When ``rounds`` is not between 1 and `rounds`.
        """
        if not 1 <= rounds <= self.rounds:
            raise ValueError(f"rounds must be from 1 to {self.rounds}, but got {rounds}")
        trees = rounds * self.trees_per_round
        if trees >= len(self.roots):
            return self
        nodes = int(self.roots[trees])
        values = int(np.searchsorted(self.leaf, nodes))
        scale = np.float32(len(self.roots) / trees if self.averaged else 1.0)
        return replace(
            self,
            feature=self.feature[:nodes],
            threshold=self.threshold[:nodes],
            missing_left=self.missing_left[:nodes],
            left=self.left[:nodes],
            right=self.right[:nodes],
            roots=self.roots[:trees],
            leaf=self.leaf[:values],
            output=self.output[:values],
            value=self.value[:values] * scale,
        )

    def leaves(self, x: npt.NDArray[np.float32]) -> Ints:
        """Return the node number of the leaf that each row reaches, shape (n, trees)."""
        found = np.empty((len(x), len(self.roots)), np.int64)
        for first in range(0, len(self.roots), _TOGETHER):
            roots = self.roots[first : first + _TOGETHER]
            at = np.repeat(roots, len(x))
            going = np.flatnonzero(self.feature[at] >= 0)
            node, row = at[going], going % len(x)
            while len(going):
                seen, threshold = x[row, self.feature[node]], self.threshold[node]
                goes_left = (seen < threshold) if self.strict else (seen <= threshold)
                goes_left |= np.isnan(seen) & self.missing_left[node]
                node = np.where(goes_left, self.left[node], self.right[node])
                inner = self.feature[node] >= 0
                at[going[~inner]] = node[~inner]
                going, node, row = going[inner], node[inner], row[inner]
            found[:, first : first + _TOGETHER] = at.reshape(len(roots), len(x)).T
        return found

    def margins(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Evaluate by the book, summing in float64: the reference for every other form.

        Parameters
        ----------
        x : float32, shape (n, d)

        Returns
        -------
        float64, shape (n, outputs)
        """
        table = np.zeros((len(self.feature), len(self.base)))
        table[self.leaf, self.output] = self.value
        total = np.repeat(self.base[None, :].astype(np.float64), len(x), axis=0)
        for start in range(0, len(x), 256):
            reached = self.leaves(x[start : start + 256])
            for tree in range(reached.shape[1]):
                total[start : start + 256] += table[reached[:, tree]]
        return total

    def attributes(self) -> dict[str, Any]:
        """Return the ONNX node's attributes and its ``doc_string``, which holds the rounds."""
        counts = np.diff(np.append(self.roots, len(self.feature)))
        trees = np.repeat(np.arange(len(self.roots)), counts)
        first = np.repeat(self.roots, counts)
        inner = self.feature >= 0
        mode = b"BRANCH_LT" if self.strict else b"BRANCH_LEQ"
        return {
            "n_targets": len(self.base),
            "base_values": self.base,
            "aggregate_function": "SUM",
            "post_transform": "NONE",
            "nodes_treeids": trees,
            "nodes_nodeids": np.arange(len(first)) - first,
            "nodes_featureids": np.maximum(self.feature, 0),
            "nodes_values": self.threshold,
            "nodes_modes": np.where(inner, mode, b"LEAF"),
            "nodes_truenodeids": np.where(inner, self.left - first, 0),
            "nodes_falsenodeids": np.where(inner, self.right - first, 0),
            "nodes_missing_value_tracks_true": self.missing_left.astype(np.int64),
            "target_treeids": trees[self.leaf],
            "target_nodeids": self.leaf - first[self.leaf],
            "target_ids": self.output,
            "target_weights": self.value,
            "doc_string": json.dumps(
                {
                    "format": FORMAT,
                    "trees_per_round": self.trees_per_round,
                    "averaged": self.averaged,
                }
            ),
        }

    def to_onnx(self, builder: GraphBuilder, features: str) -> str:
        """Add the node; ``features`` is float32 (n, d). Returns margins, float32 (n, outputs)."""
        seen = wide(builder, features)
        return builder.node(OPERATOR, [seen], domain=ML_DOMAIN, **self.attributes())

    def to_node(self, like: onnx.NodeProto) -> onnx.NodeProto:
        """Return a node that does this ensemble's work between the tensors of ``like``."""
        return make_node(
            OPERATOR,
            list(like.input),
            list(like.output),
            name=like.name,
            domain=ML_DOMAIN,
            **self.attributes(),
        )

    def fill(self, node: onnx.NodeProto) -> None:
        """Make a node without attributes do this ensemble's work; it is what `to_node` returns."""
        held = self.attributes()
        node.op_type, node.domain, node.doc_string = OPERATOR, ML_DOMAIN, held.pop("doc_string")
        add_attributes(node, held)

    @classmethod
    def from_node(cls, node: onnx.NodeProto) -> Self:
        """Read back what `to_onnx` wrote.

        Raises
        ------
        BundleError
            When the node was written by something else.
        """
        try:
            note = json.loads(node.doc_string)
        except ValueError:
            note = None
        if node.op_type != OPERATOR or not isinstance(note, dict) or note.get("format") != FORMAT:
            raise BundleError(
                f"the node must be a {OPERATOR} written by raymm ({FORMAT}), but it is a "
                f"{node.op_type} without that mark. Build the bundle again with this raymm."
            )
        kinds = (onnx.AttributeProto.FLOATS, onnx.AttributeProto.INTS)
        held = {a.name: _numbers(a) for a in node.attribute if a.type in kinds}
        (modes,) = (a.strings for a in node.attribute if a.name == "nodes_modes")
        trees = held["nodes_treeids"]
        if len(trees) == 0 or trees[0] != 0 or not np.isin(np.diff(trees), (0, 1)).all():
            raise BundleError(
                "the trees of a node must be numbered from 0 on, but are not. Build the bundle "
                "again with this raymm."
            )
        roots = np.searchsorted(trees, np.arange(int(trees[-1]) + 1))
        first = roots[trees]
        inner = np.fromiter((mode != b"LEAF" for mode in modes), np.bool_, len(modes))

        def inside(name: str) -> Ints:
            return np.where(inner, held[name] + first, -1)

        return cls(
            feature=np.where(inner, held["nodes_featureids"], -1),
            threshold=held["nodes_values"],
            missing_left=held["nodes_missing_value_tracks_true"] > 0,
            left=inside("nodes_truenodeids"),
            right=inside("nodes_falsenodeids"),
            roots=roots,
            leaf=held["target_nodeids"] + roots[held["target_treeids"]],
            output=held["target_ids"],
            value=held["target_weights"],
            base=held["base_values"],
            strict=b"BRANCH_LT" in modes,
            trees_per_round=int(note["trees_per_round"]),
            averaged=bool(note["averaged"]),
        )


def _numbers(attribute: onnx.AttributeProto) -> npt.NDArray[Any]:
    """Return an attribute's numbers, never all of them as Python's: these take eight times more."""
    if attribute.type == onnx.AttributeProto.FLOATS:
        return np.fromiter(attribute.floats, np.float32, len(attribute.floats))
    return np.fromiter(attribute.ints, np.int64, len(attribute.ints))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One tree whose node 0 is the root; fields as in `TreeEnsemble`, children counted from 0.

    ``value`` has shape (nodes, outputs) and is read at leaves only; ``outputs`` names the output
    of each of its columns. Zeros add nothing and are left out.
    """

    feature: npt.NDArray[Any]
    threshold: npt.NDArray[np.float32]
    missing_left: npt.NDArray[Any]
    left: npt.NDArray[Any]
    right: npt.NDArray[Any]
    value: npt.NDArray[np.float32]
    outputs: tuple[int, ...] = (0,)


def join(
    trees: Sequence[Tree],
    base: npt.ArrayLike,
    *,
    strict: bool = False,
    trees_per_round: int = 1,
    averaged: bool = False,
) -> TreeEnsemble:
    """Lay trees one after another; see `TreeEnsemble` for the parameters.

    Leaf values of zero are left out, except for outputs with a base: onnxruntime (measured with
    1.32) adds the base only to outputs that some leaf of the row adds to.
    """
    start = np.asarray(base, np.float32)
    sizes = [len(tree.feature) for tree in trees]
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    leaf, output, value = [], [], []
    for root, tree in zip(roots, trees, strict=True):
        based = start[list(tree.outputs)] != 0
        used = (np.asarray(tree.feature) < 0)[:, None] & ((tree.value != 0) | based)
        # Each leaf needs one value at least, also where all of its values are zero.
        used[:, 0] |= (np.asarray(tree.feature) < 0) & ~used.any(axis=1)
        node, column = np.nonzero(used)
        leaf.append(node + root)
        output.append(np.asarray(tree.outputs, np.int64)[column])
        value.append(tree.value[node, column])

    def children(name: str) -> Ints:
        return np.concatenate(
            [
                np.where(np.asarray(tree.feature) < 0, -1, np.asarray(getattr(tree, name)) + root)
                for root, tree in zip(roots, trees, strict=True)
            ]
        ).astype(np.int64)

    feature = np.maximum(np.concatenate([tree.feature for tree in trees]), -1).astype(np.int64)
    threshold = np.concatenate([tree.threshold for tree in trees]).astype(np.float32)
    missing_left = np.concatenate([tree.missing_left for tree in trees]).astype(bool)
    return TreeEnsemble(
        feature=feature,
        threshold=np.where(feature < 0, np.float32(0), threshold),
        missing_left=missing_left & (feature >= 0),
        left=children("left"),
        right=children("right"),
        roots=roots,
        leaf=np.concatenate(leaf).astype(np.int64),
        output=np.concatenate(output).astype(np.int64),
        value=np.concatenate(value).astype(np.float32),
        base=start,
        strict=strict,
        trees_per_round=trees_per_round,
        averaged=averaged,
    )


def round_down(threshold: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return the largest float32 values that are at most the float64 thresholds.

    Every float32 x has ``x <= threshold`` exactly where ``x <= round_down(threshold)``.
    """
    exact = np.asarray(threshold, np.float64)
    with np.errstate(over="ignore"):
        near = exact.astype(np.float32)
        below = np.nextafter(near, np.float32(-np.inf))
    down: npt.NDArray[np.float32] = np.where(near.astype(np.float64) > exact, below, near)
    return down
