"""Ensembles of trees that other exporters wrote, read as raymm's graphs hold them.

skl2onnx and onnxmltools write ``TreeEnsembleClassifier`` and ``TreeEnsembleRegressor`` of the
operator set ai.onnx.ml 1 or 3. What they leave open is read as onnxruntime (1.32) answers it; its
classes have a single sum where all values of two classes are of the first, which then is the
second's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.bundle.tree_order import in_preorder
from raymm.errors import BundleError
from raymm.models.trees import FORMAT, OPERATOR, TreeEnsemble
from raymm.onnx_builder import ML_DOMAIN, make_node

CLASSIFIER = "TreeEnsembleClassifier"
OPERATORS = frozenset({OPERATOR, CLASSIFIER, "TreeEnsemble"})
LINKS = {"NONE": "", "LOGISTIC": "Sigmoid", "SOFTMAX": "Softmax"}
SHARES, SIDES, SIGMOIDS = "shares", "sides", "sigmoids"
"""What a single sum s says of two classes: 1 - s and s, -s and s, or the sigmoids of these."""
_TURNED = {b"BRANCH_GT": b"BRANCH_LEQ", b"BRANCH_GTE": b"BRANCH_LT"}
"""Comparisons that are true where these are not."""
_MODES = {*_TURNED, *_TURNED.values(), b"LEAF"}
WIDEST = 100_000
"""Columns that trees may read."""
_ALIKE = 2.0
"""Ratio of the largest to the smallest mean of a tree's leaves in a forest, at most."""
_WHOLE = 1e-5
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What a node of trees does.

    Attributes
    ----------
    trees : TreeEnsemble
    link : str
        What makes answers of its margins: "" for nothing, "Sigmoid" or "Softmax" of each row;
        or, of one margin, the two columns of `SHARES`, `SIDES` or `SIGMOIDS`.
    """

    trees: TreeEnsemble
    link: str

    @property
    def outputs(self) -> int:
        """How many margins a row gets."""
        return len(self.trees.base)

    def steps(self, inputs: list[str], name: str) -> tuple[list[Any], list[Any]]:
        """Return the nodes that make the margins, and their constants, of which there are none."""
        how = self.trees.attributes()
        return [make_node(OPERATOR, inputs, [name], domain=ML_DOMAIN, **how)], []


@dataclass(frozen=True, slots=True)
class _Values:
    """What leaves hold: their number, the output that it adds to, and how much, each (values,)."""

    leaf: Ints
    output: Ints
    value: Floats


def is_foreign(node: Any) -> bool:
    """Return whether a node holds trees that raymm did not write."""
    return node.op_type in OPERATORS and FORMAT not in node.doc_string


def read(node: Any) -> Read:
    """Read a node that `is_foreign`.

    Raises
    ------
    BundleError
        Says what of it raymm's trees cannot hold.
    """
    held = _attributes(node)
    classes = node.op_type == CLASSIFIER
    _require_plain(node, held)
    ids = _Ids.of(held["nodes_treeids"], held["nodes_nodeids"])
    trees = _splits(held, ids)
    part = "class" if classes else "target"
    leaf = ids.find(held[f"{part}_treeids"], held[f"{part}_nodeids"])
    values = _Values(leaf, held[f"{part}_ids"], held[f"{part}_weights"])
    labels = max(len(held.get("classlabels_int64s", ())), len(held.get("classlabels_strings", ())))
    outputs = labels if classes else int(held.get("n_targets", 1))
    base = np.asarray(held.get("base_values", np.zeros(0)), np.float32)
    link = LINKS[held.get("post_transform", b"NONE").decode()]
    averaged = held.get("aggregate_function") == b"AVERAGE"
    if averaged:
        values = replace(values, value=(values.value / len(trees.roots)).astype(np.float32))
    if classes and outputs == 2:
        values, outputs, link = _of_two(trees, values, base, link)
    elif outputs == 1:
        link = ""
    if len(values.output) and not 0 <= values.output.min() <= values.output.max() < outputs:
        raise BundleError("its values are of outputs that it does not have")
    if len(base) not in (0, outputs):
        raise BundleError(f"it has {len(base)} base values for {outputs} outputs")
    base = base if len(base) else np.zeros(outputs, np.float32)
    return Read(trees=_filled(trees, values, base, averaged), link=link)


def _attributes(node: Any) -> dict[str, Any]:
    """Return attributes by name; lists of numbers as arrays, never as Python's numbers."""
    from onnx import AttributeProto, helper

    found = dict[str, Any]()
    for one in node.attribute:
        if one.type == AttributeProto.FLOATS:
            found[one.name] = np.fromiter(one.floats, np.float32, len(one.floats))
        elif one.type == AttributeProto.INTS:
            found[one.name] = np.fromiter(one.ints, np.int64, len(one.ints))
        else:
            found[one.name] = helper.get_attribute_value(one)
    return found


def _require_plain(node: Any, held: Mapping[str, Any]) -> None:
    """Raise BundleError for what no ensemble of raymm's says."""
    if node.op_type == "TreeEnsemble":
        raise BundleError("it is the operator TreeEnsemble of ai.onnx.ml 5")
    if any(name.endswith("_as_tensor") for name in held):
        raise BundleError("its numbers are tensors, as of float64")
    odd = sorted({mode.decode() for mode in held.get("nodes_modes", ())} - {*_plain_modes()})
    if odd:
        raise BundleError(f"it compares by {', '.join(odd)}")
    link = held.get("post_transform", b"NONE").decode()
    if link not in LINKS:
        raise BundleError(f"it has the post_transform {link}")
    aggregate = held.get("aggregate_function", b"SUM").decode()
    if aggregate not in ("SUM", "AVERAGE"):
        raise BundleError(f"it has the aggregate_function {aggregate}")


def _plain_modes() -> list[str]:
    return [mode.decode() for mode in _MODES]


@dataclass(frozen=True, slots=True)
class _Ids:
    """Finds nodes, in the order of their trees' ids and their own, by these.

    Attributes
    ----------
    order : int64, shape (nodes,)
        Where the file has each.
    trees : int64, shape (trees,)
        Ids, increasing.
    tree, number : int64, shape (nodes,)
        Each node's place in ``trees``, and its id.
    """

    order: Ints
    trees: Ints
    tree: Ints
    number: Ints

    @classmethod
    def of(cls, trees: Ints, nodes: Ints) -> _Ids:
        """Put ids in order; raises BundleError where they are not distinct."""
        order = np.lexsort((nodes, trees))
        ids, tree = np.unique(trees[order], return_inverse=True)
        made = cls(order, ids, tree.astype(np.int64), nodes[order])
        if len(order) == 0 or made.number.min() < 0 or (np.diff(made._keys) < 1).any():
            raise BundleError("the ids of its nodes are not distinct")
        return made

    def find(self, trees: Ints, nodes: Ints) -> Ints:
        """Return the nodes that trees' ids and their own tell; BundleError where there is none."""
        known = np.minimum(np.searchsorted(self.trees, trees), len(self.trees) - 1)
        wanted = known * self._stride + nodes
        at = np.minimum(np.searchsorted(self._keys, wanted), len(self.tree) - 1)
        if (self.trees[known] != trees).any() or (self.number[at] != nodes).any():
            raise BundleError("it refers to nodes that are not there")
        if (self.tree[at] != known).any():
            raise BundleError("it refers to nodes that are not there")
        return at

    @property
    def _stride(self) -> int:
        return int(self.number.max()) + 1

    @property
    def _keys(self) -> Ints:
        return self.tree * self._stride + self.number


def _splits(held: Mapping[str, Any], ids: _Ids) -> TreeEnsemble:
    """Return trees whose leaves hold nothing yet, numbered by their ids.

    Where some comparisons are "less than" and others "at most", the first become the second of the
    float32 number below.
    """
    order, own = ids.order, ids.trees[ids.tree]
    modes = np.array(held["nodes_modes"], "S")[order]
    inner = modes != b"LEAF"
    yes, no = (np.full(len(order), -1) for _ in range(2))
    for side, name in ((yes, "nodes_truenodeids"), (no, "nodes_falsenodeids")):
        side[inner] = ids.find(own[inner], held[name][order][inner])
    untold = np.zeros(len(order), np.int64)
    missing = held.get("nodes_missing_value_tracks_true", untold)[order] > 0
    turned = np.isin(modes, list(_TURNED))
    less = np.isin(modes, [b"BRANCH_LT", b"BRANCH_GTE"])
    strict = bool(less.any() and less[inner].all())
    threshold = np.where(inner, held["nodes_values"][order], np.float32(0))
    if less.any() and not strict:
        threshold = np.where(less, np.nextafter(threshold, np.float32(-np.inf)), threshold)
    column = held["nodes_featureids"][order]
    if inner.any() and not 0 <= column[inner].min() <= column[inner].max() < WIDEST:
        raise BundleError(f"it reads other columns than the first {WIDEST:,}")
    return TreeEnsemble(
        feature=np.where(inner, column, -1),
        threshold=threshold.astype(np.float32),
        missing_left=inner & (missing ^ turned),
        left=np.where(turned, no, yes),
        right=np.where(turned, yes, no),
        roots=_roots(ids, np.concatenate([yes[inner], no[inner]])),
        leaf=np.zeros(0, np.int64),
        output=np.zeros(0, np.int64),
        value=np.zeros(0, np.float32),
        base=np.zeros(1, np.float32),
        strict=strict,
    )


def _roots(ids: _Ids, children: Ints) -> Ints:
    """Return the nodes that are below none; raises BundleError where trees have not one each."""
    times = np.bincount(children, minlength=len(ids.tree))
    roots = np.flatnonzero(times == 0)
    if times.max() > 1 or not np.array_equal(ids.tree[roots], np.arange(len(ids.trees))):
        raise BundleError("its nodes are no trees")
    return roots


def _of_two(
    trees: TreeEnsemble, values: _Values, base: Floats, link: str
) -> tuple[_Values, int, str]:
    """Return the values of two classes, how many outputs they have, and what makes answers."""
    if not values.output.any() and len(base) < 2:
        if link == "Sigmoid":
            return values, 1, SIGMOIDS
        # onnxruntime looks at the signs of values, not at what a row gets.
        return values, 1, SHARES if (values.value >= 0).all() else SIDES
    if len(base):
        raise BundleError("it has base values and values of both of two classes")
    if not link:
        sums = _leaf_sums(trees, values)
        low, high = _by_tree(trees, sums)
        if np.abs(high - low).sum() < _WHOLE and abs(high.sum() - 1) < _WHOLE:
            last = values.output == 1
            kept = _Values(values.leaf[last], values.output[last] - 1, values.value[last])
            return kept, 1, SHARES
    return values, 2, link


def _leaf_sums(trees: TreeEnsemble, values: _Values) -> npt.NDArray[np.float64]:
    """Return what each node's values add up to, shape (nodes,)."""
    sums = np.bincount(values.leaf, values.value.astype(np.float64), len(trees.feature))
    return np.asarray(sums, np.float64)


def _by_tree(trees: TreeEnsemble, sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the least and the largest of each tree's leaves, shape (2, trees)."""
    leaf = np.flatnonzero(trees.feature < 0)
    owner = _owners(trees)[leaf]
    low, high = np.full(len(trees.roots), np.inf), np.full(len(trees.roots), -np.inf)
    np.minimum.at(low, owner, sums[leaf])
    np.maximum.at(high, owner, sums[leaf])
    return np.stack([low, high])


def _owners(trees: TreeEnsemble) -> Ints:
    """Return each node's tree; roots may stand anywhere. BundleError where some have no tree."""
    owner = np.full(len(trees.feature), -1)
    at = trees.roots
    owner[at] = np.arange(len(at))
    while len(at):
        at = at[trees.feature[at] >= 0]
        owner[trees.left[at]] = owner[trees.right[at]] = owner[at]
        at = np.concatenate([trees.left[at], trees.right[at]])
    if (owner < 0).any():
        raise BundleError("its nodes are no trees")
    return owner


def _filled(trees: TreeEnsemble, values: _Values, base: Floats, averaged: bool) -> TreeEnsemble:
    """Return the trees in preorder with their values; zeros as `raymm.models.trees.join` has them.

    Raises
    ------
    BundleError
        When leaves hold several values of an output, or nodes are no trees.
    """
    leaf = trees.feature < 0
    owner = _owners(trees)
    used = leaf[values.leaf] & ((values.value != 0) | (base[values.output] != 0))
    at, output, value = values.leaf[used], values.output[used], values.value[used]
    # A leaf of nothing but zeros has one of the output that its tree adds to.
    own = np.zeros(len(trees.roots), np.int64)
    own[owner[values.leaf][::-1]] = values.output[::-1]
    bare = leaf.copy()
    bare[at] = False
    empty = np.flatnonzero(bare)
    places, outputs = [at, empty], [output, own[owner[empty]]]
    for one in np.flatnonzero(base):
        added = np.zeros(len(leaf), np.bool_)
        added[np.concatenate(places)[np.concatenate(outputs) == one]] = True
        always = np.bincount(owner[leaf], ~added[leaf], len(trees.roots)) == 0
        if not always.any():
            lacking = np.flatnonzero(leaf & ~added & (owner == 0))
            places, outputs = [*places, lacking], [*outputs, np.full(len(lacking), one)]
    at, output = np.concatenate(places), np.concatenate(outputs)
    value = np.pad(value, (0, len(at) - len(value)))
    order = np.lexsort((output, at))
    at, output, value = at[order], output[order], value[order]
    if ((np.diff(at) == 0) & (np.diff(output) == 0)).any():
        raise BundleError("its leaves hold several values of an output")
    made = replace(trees, leaf=at, output=output, value=value.astype(np.float32), base=base)
    try:
        made = in_preorder(_roots_first(made, owner))
    except ValueError as error:
        raise BundleError(str(error).removesuffix(".")) from error
    mean = averaged or _is_mean(made, _Values(made.leaf, made.output, made.value))
    return replace(made, trees_per_round=1 if mean else _per_round(made), averaged=mean)


def _roots_first(trees: TreeEnsemble, owner: Ints) -> TreeEnsemble:
    """Return trees with each root before its other nodes; exporters may number them otherwise."""
    rank = np.arange(len(owner))
    rank[trees.roots] = -1
    order = np.lexsort((rank, owner))
    number = np.argsort(order)
    inner = trees.feature[order] >= 0
    leaf = number[trees.leaf]
    by_leaf = np.lexsort((trees.output, leaf))
    return replace(
        trees,
        feature=trees.feature[order],
        threshold=trees.threshold[order],
        missing_left=trees.missing_left[order],
        left=np.where(inner, number[trees.left[order]], -1),
        right=np.where(inner, number[trees.right[order]], -1),
        roots=number[trees.roots],
        leaf=leaf[by_leaf],
        output=trees.output[by_leaf],
        value=trees.value[by_leaf],
    )


def _is_mean(trees: TreeEnsemble, values: _Values) -> bool:
    """Return whether trees look like shares of a mean: each says about the same, and nothing else.

    Files do not tell. Boosted trees without a base fall by the learning rate; where they are taken
    for a forest, shortened forms weigh too much, which is measured.
    """
    if trees.base.any() or len(trees.roots) < 2:
        return False
    leaf = trees.feature < 0
    owner = np.searchsorted(trees.roots, np.arange(len(leaf)), side="right") - 1
    mean = np.bincount(owner[leaf], _leaf_sums(trees, values)[leaf]) / np.bincount(owner[leaf])
    low, high = np.abs(mean).min(), np.abs(mean).max()
    return bool((np.sign(mean) == np.sign(mean[0])).all() and 0 < high <= _ALIKE * low)


def _per_round(trees: TreeEnsemble) -> int:
    """Return how many trees a boosting round made: one an output, where they take turns."""
    count, outputs = len(trees.roots), len(trees.base)
    owner = np.searchsorted(trees.roots, trees.leaf, side="right") - 1
    turns = bool((trees.output == owner % outputs).all())
    return outputs if turns and count % outputs == 0 else 1
