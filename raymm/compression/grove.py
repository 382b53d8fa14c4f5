"""Trees laid out for pruning: what `TreeEnsemble` holds, with the values of each leaf in a row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from raymm.bundle.compiled import ready
from raymm.compression.seen import Seen
from raymm.compression.spread import spread
from raymm.models.trees import TreeEnsemble

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Reached = npt.NDArray[np.int32]
"""The leaf that each row reaches in each tree, shape (trees, n)."""
_TREES = 64
_ROWS = 2048
"""Trees and rows in one call of onnxruntime."""
_CELLS = 16_000_000
"""Rows times columns that sets are made to at once, for onnxruntime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grove:
    """Trees and their leaf values as a table; fields not told of are those of `TreeEnsemble`.

    Attributes
    ----------
    outputs : int64, shape (trees, width)
        Which outputs the values of a tree's leaves add to: one where every tree has one, else all.
    value : float64, shape (nodes, width)
        0 at splits.
    base : float64, shape (outputs,)
    """

    feature: Ints
    threshold: npt.NDArray[np.float32]
    missing_left: Bools
    left: Ints
    right: Ints
    roots: Ints
    outputs: Ints
    value: Floats
    base: Floats
    strict: bool

    @classmethod
    def of(cls, trees: TreeEnsemble) -> Self:
        """Lay out an ensemble."""
        count, outputs = len(trees.roots), len(trees.base)
        owner = np.searchsorted(trees.roots, trees.leaf, side="right") - 1
        first = np.zeros(count, np.int64)
        first[owner] = trees.output
        if np.array_equal(first[owner], trees.output):
            added, column = first[:, None], np.zeros(len(owner), np.int64)
        else:
            added, column = np.tile(np.arange(outputs), (count, 1)), trees.output
        value = np.zeros((len(trees.feature), added.shape[1]))
        np.add.at(value, (trees.leaf, column), trees.value.astype(np.float64))
        return cls(
            feature=trees.feature,
            threshold=trees.threshold,
            missing_left=trees.missing_left,
            left=trees.left,
            right=trees.right,
            roots=trees.roots,
            outputs=added,
            value=value,
            base=trees.base.astype(np.float64),
            strict=trees.strict,
        )

    def ensemble(self) -> TreeEnsemble:
        """Return the ensemble, its values rounded to float32.

        It has no rounds any more that could be counted, nor trees of equal weight. Which zeros
        are written is said of `raymm.models.trees.join`.
        """
        base = self.base.astype(np.float32)
        value = self.value.astype(np.float32)
        leaves = self.left < 0
        outputs = self.outputs[self.tree]
        written = leaves[:, None] & ((value != 0) | (base[outputs] != 0))
        written[:, 0] |= leaves & ~written.any(axis=1)
        leaf, column = np.nonzero(written)
        return TreeEnsemble(
            feature=self.feature,
            threshold=self.threshold,
            missing_left=self.missing_left,
            left=self.left,
            right=self.right,
            roots=self.roots,
            leaf=leaf,
            output=outputs[leaf, column],
            value=value[leaf, column],
            base=base,
            strict=self.strict,
        )

    @property
    def tree(self) -> Ints:
        """The tree of each node, shape (nodes,)."""
        return np.searchsorted(self.roots, np.arange(len(self.feature)), side="right") - 1

    @property
    def ends(self) -> Ints:
        """One past the last node of each tree, shape (trees,)."""
        return np.append(self.roots[1:], len(self.feature))

    def levels(self) -> list[Ints]:
        """Return the nodes by depth, the roots first."""
        return _levels(self.roots, self.left, self.right)

    def parents(self) -> Ints:
        """Return the split above each node, -1 above a root; shape (nodes,)."""
        parent = np.full(len(self.feature), -1)
        splits = np.flatnonzero(self.left >= 0)
        parent[self.left[splits]] = splits
        parent[self.right[splits]] = splits
        return parent

    def rebuilt(
        self, *, leaf: Bools | None = None, instead: Ints | None = None, keep: Bools | None = None
    ) -> tuple[Self, Ints]:
        """Return the trees without some of their nodes, each tree's nodes in preorder.

        Parameters
        ----------
        leaf : bool, shape (nodes,)
            Splits that become leaves, with the values that the table holds for them.
        instead : int64, shape (nodes,)
            What stands in a node's place: itself, or a node below it.
        keep : bool, shape (trees,)

        Returns
        -------
        Grove
        int64, shape (nodes,)
            The new number of each node, -1 where it is gone.
        """
        ended = self.left < 0 if leaf is None else leaf | (self.left < 0)
        stands = np.arange(len(self.feature)) if instead is None else instead
        left = np.where(ended, -1, stands[self.left])
        right = np.where(ended, -1, stands[self.right])
        kept = slice(None) if keep is None else keep
        roots = stands[self.roots][kept]
        place = _preorder(roots, left, right)
        order = np.flatnonzero(place >= 0)
        order = order[np.argsort(place[order])]
        ended, left, right = ended[order], left[order], right[order]
        made = replace(
            self,
            feature=np.where(ended, -1, self.feature[order]),
            threshold=np.where(ended, np.float32(0), self.threshold[order]),
            missing_left=self.missing_left[order] & ~ended,
            left=np.where(ended, -1, place[left]),
            right=np.where(ended, -1, place[right]),
            roots=place[roots],
            outputs=self.outputs[kept],
            value=np.where(ended[:, None], self.value[order], 0.0),
        )
        return made, place

    def folded(self) -> tuple[Self, Bools]:
        """Return the grove without trees that are one leaf, and which trees were kept.

        Their values go to the base; where leaves hold values for all outputs, to the leaves of
        the smallest tree, as with a base every leaf would have to write its zeros. An output
        keeps one tree, for without any onnxruntime leaves out the base (see
        `raymm.models.trees.join`).
        """
        single = self.left[self.roots] < 0
        constant = self.value[self.roots] * single[:, None]
        value, base, keep = self.value.copy(), self.base.copy(), ~single
        value[self.roots[single]] = 0.0
        if self.outputs.shape[1] == 1:
            np.add.at(base, self.outputs[:, 0], constant[:, 0])
            alive = np.isin(self.outputs[:, 0], self.outputs[keep, 0])
            _, first = np.unique(self.outputs[:, 0], return_index=True)
            keep[first] |= ~alive[first]
        else:
            size = np.where(single, len(value), self.ends - self.roots)
            smallest = int(np.argmin(size))
            keep[smallest] = True
            inside = np.arange(self.roots[smallest], self.ends[smallest])
            value[inside[self.left[inside] < 0]] += constant.sum(axis=0)
        made, _ = replace(self, value=value, base=base).rebuilt(keep=keep)
        return made, keep


def cells(trees: TreeEnsemble) -> int:
    """Return the size that `Grove.value` has of an ensemble, without laying it out."""
    owner = np.searchsorted(trees.roots, trees.leaf, side="right") - 1
    first = np.zeros(len(trees.roots), np.int64)
    first[owner] = trees.output
    alone = np.array_equal(first[owner], trees.output)
    return len(trees.feature) * (1 if alone else len(trees.base))


def _levels(roots: Ints, left: Ints, right: Ints) -> list[Ints]:
    found, at = [], roots
    while len(at):
        found.append(at)
        splits = at[left[at] >= 0]
        at = np.concatenate([left[splits], right[splits]])
    return found


def _preorder(roots: Ints, left: Ints, right: Ints) -> Ints:
    """Return each node's place when trees follow one another in preorder; -1 out of reach."""
    levels = _levels(roots, left, right)
    size = np.ones(len(left), np.int64)
    for at in reversed(levels):
        splits = at[left[at] >= 0]
        size[splits] += size[left[splits]] + size[right[splits]]
    place = np.full(len(left), -1)
    place[roots] = np.cumsum(size[roots]) - size[roots]
    for at in levels:
        splits = at[left[at] >= 0]
        place[left[splits]] = place[splits] + 1
        place[right[splits]] = place[splits] + 1 + size[left[splits]]
    return place


def heights(grove: Grove) -> Ints:
    """Return how many splits lie below each node on the longest way down, shape (nodes,)."""
    height = np.zeros(len(grove.feature), np.int64)
    for at in reversed(grove.levels()):
        splits = at[grove.left[at] >= 0]
        below = np.maximum(height[grove.left[splits]], height[grove.right[splits]])
        height[splits] = 1 + below
    return height


def reach(grove: Grove, x: npt.NDArray[np.float32] | Seen) -> Reached:
    """Return the leaf that each row reaches in each tree, shape (trees, n).

    Without numba it asks onnxruntime, each tree having an output of its own to which its leaves add
    their numbers: 13,209 rows through 4,124 trees of 1,165,890 nodes take 3.0 s, and 1.3 s with.

    Parameters
    ----------
    x : float32, shape (n, d), or Seen
    """
    seen = x if isinstance(x, Seen) else Seen(x)
    found = np.empty((len(grove.roots), len(seen)), np.int32)
    if (kernels := ready()) is not None and _forward(grove, seen):
        _descended(kernels, grove, seen, found)
        return found
    size = len(seen) if not seen.sets else max(1, _CELLS // seen.width)
    ends = grove.ends
    for begin in range(0, len(seen), max(1, size)):
        part = slice(begin, begin + size)
        columns = seen.columns(part)
        for first in range(0, len(grove.roots), _TREES):
            last = min(first + _TREES, len(grove.roots))
            start = int(grove.roots[first])
            answers = answered(_numbered(_slice(grove, first, last, int(ends[last - 1]))), columns)
            found[first:last, part] = answers.T.astype(np.int64) + start
    return found


def _forward(grove: Grove, seen: Seen) -> bool:
    """Return whether every way down ends at a leaf of the grove, by features that there are.

    Of sets, 0 and what is not must be told apart.
    """
    splits = np.flatnonzero(grove.left >= 0)
    children = np.stack([grove.left[splits], grove.right[splits]])
    feature, count = grove.feature[splits], len(grove.feature)
    fine = (children > splits).all() and (children < count).all() and count < np.iinfo(np.int32).max
    inside = ((grove.roots >= 0) & (grove.roots < count)).all()
    known = ((feature >= 0) & (feature < seen.width)).all()
    between = grove.threshold[splits][feature >= seen.plain.shape[1]]
    apart = (between > 0) & (between <= 1) if grove.strict else (between >= 0) & (between < 1)
    return bool(fine and inside and known and apart.all())


def _descended(kernels: Any, grove: Grove, seen: Seen, found: Reached) -> None:
    """Write what `reach` returns, in machine code."""
    rows = np.ascontiguousarray(seen.plain, np.float32)
    threshold = np.ascontiguousarray(grove.threshold, np.float32)
    missing_left = np.ascontiguousarray(grove.missing_left, np.bool_)
    feature, left, right, roots = (
        one.astype(np.int32) for one in (grove.feature, grove.left, grove.right, grove.roots)
    )
    nodes = (feature, threshold, missing_left, left, right)
    members = seen.members()

    def some(first: int) -> None:
        part = slice(first, first + _TREES)
        kernels.leaves(rows, *members, *nodes, roots[part], grove.strict, found[part])

    spread(some, range(0, len(roots), _TREES))


def _slice(grove: Grove, first: int, last: int, end: int) -> Grove:
    """Return the trees from one to another, whose nodes end at ``end``, with leaves as they lie."""
    start = int(grove.roots[first])
    nodes = slice(start, end)
    left, right = grove.left[nodes], grove.right[nodes]
    return replace(
        grove,
        feature=grove.feature[nodes],
        threshold=grove.threshold[nodes],
        missing_left=grove.missing_left[nodes],
        left=np.where(left < 0, -1, left - start),
        right=np.where(right < 0, -1, right - start),
        roots=grove.roots[first:last] - start,
        outputs=grove.outputs[first:last],
        value=grove.value[nodes],
    )


def _numbered(grove: Grove) -> TreeEnsemble:
    """Return trees whose leaves add their numbers to an output of the tree's own."""
    count = len(grove.roots)
    return replace(
        grove,
        outputs=np.arange(count)[:, None],
        value=np.arange(len(grove.feature), dtype=np.float64)[:, None],
        base=np.zeros(count),
    ).ensemble()


def answered(trees: TreeEnsemble, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return what onnxruntime makes of features, (n, d), by trees alone: (n, outputs)."""
    import onnxruntime
    from onnx import helper

    from raymm.models.trees import OPERATOR
    from raymm.onnx_builder import FLOAT, IR_VERSION, ML_DOMAIN, ML_OPSET, OPSET, make_node

    node = make_node(OPERATOR, ["x"], ["y"], domain=ML_DOMAIN, **trees.attributes())
    sides: list[Any] = [
        helper.make_tensor_value_info(name, FLOAT, ["n", size])
        for name, size in (("x", x.shape[1]), ("y", len(trees.base)))
    ]
    domains = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML_DOMAIN, ML_OPSET)]
    model = helper.make_model(
        helper.make_graph([node], "leaves", sides[:1], sides[1:]), opset_imports=domains
    )
    model.ir_version = IR_VERSION
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    parts = spread(
        lambda start: session.run(None, {"x": x[start : start + _ROWS]})[0],
        range(0, len(x), _ROWS),
    )
    return np.concatenate(parts) if parts else np.zeros((0, len(trees.base)), np.float32)
