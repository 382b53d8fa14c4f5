"""A `TreeEnsemble` in few bytes, and back with every bit.

Trees are coded a bunch at a time, level by level: which nodes split, the feature, the place of
the threshold in a table of the feature's thresholds, where missing values go, then the leaves'
values as places in a table of theirs, or in full. What is expected of each comes from

- the node above, its neighbours and the depth;
- the node's twin, the one at the same place of the tree a bunch earlier, where both trees compare
  the same features on the way there;
- the thresholds above, which leave only a part of the table where they compare the same feature.

See ``docs/bundle.md`` for the format and `raymm.bundle.entropy` for the coder.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from raymm.bundle.counts import Counts, Ints
from raymm.bundle.entropy import Coder, Reader, Writer, quantities
from raymm.bundle.mixed_nodes import MixedGrower
from raymm.bundle.mixed_values import MixedPlaces
from raymm.bundle.parts import DAMAGED
from raymm.bundle.tree_nodes import (
    LARGEST_NODES,
    LEVELS,
    MOST_LEVELS,
    NODES_A_LEVEL,
    Budget,
    Growing,
    Nodes,
    code_missing,
    code_nodes,
)
from raymm.bundle.tree_order import Shape, arranged, code_order, order_of
from raymm.bundle.tree_tables import SIGN, code_tables, keys_of, values_of
from raymm.bundle.tree_values import Leaves, Placing, code_leaves
from raymm.errors import BundleError
from raymm.models.trees import TreeEnsemble

LARGEST_NUMBER = (1 << 31) - 1
BUNCHES = 64
LANES = 256
FEATURES = 1 << 14
FEW_LEVELS = 600
"""Levels beyond which more trees are coded together, so that several ensembles fit into a file."""
_DENSITY = 64
"""Nodes told by a byte at most: no real file tells as many; a hostile one cannot ask for more."""
_STRICT, _AVERAGED, _ORDER, _MIXED = 1, 2, 4, 16
MIXED_NODES, MIXED_VALUES = 1 << 16, 1 << 18
"""Nodes and leaves' values up to which mixtures are written; readers take more. Larger ensembles
would take long."""
_MIXED_DENSITY = 16
"""Nodes told by a byte at most where mixtures tell them: they take three times as long."""
FAST_NODES, FAST_TIMES = 20_000, 3
"""Nodes from which on machine code is used, and how many ensembles a process has coded, this one
among them, from which on it is for smaller ones too: loading it takes a second of a processor, the
first time five, and each of them then a third to a half of one less."""
_coded = itertools.count(1)
_KEYS = 1 << 33
"""More than any key of a threshold."""
_HEAD = 8
"""Numbers in front: nodes, trees, bunch, lanes, features, trees per round, flags, outputs."""


def encode(trees: TreeEnsemble, *, mixed: bool = True) -> bytes:
    """Return the bytes of an ensemble; the same ensemble gives the same bytes.

    Where it may be ``mixed``, mixtures tell what to expect unless it is large (`MIXED_NODES`,
    `MIXED_VALUES`), or that were of no use.

    Raises
    ------
    ValueError
        When the format cannot hold the ensemble: nodes that are no trees, too many or too deep;
        leaves with more than the empty threshold; values out of the order of nodes and outputs.
    """
    _require_plain(trees)
    bunch = _bunch(trees)
    shape, original = arranged(trees, bunch)
    while len(shape.levels) > FEW_LEVELS and bunch < len(trees.roots):
        bunch = min(2 * bunch, len(trees.roots))
        shape, original = arranged(trees, bunch)
    if len(shape.levels) > min(LEVELS + len(original) // NODES_A_LEVEL, MOST_LEVELS):
        raise ValueError("an ensemble must not have so many levels for its nodes")
    inner = trees.feature[original] >= 0
    used, tables = _tables(trees)
    known = _known(trees, shape, original, used, tables)
    number = np.empty(len(original), np.int64)
    number[original] = np.arange(len(original))
    order = np.lexsort((trees.output, number[trees.leaf]))
    leaves = Leaves(
        leaf=number[trees.leaf][order],
        output=trees.output[order],
        key=keys_of(trees.value)[order],
    )
    kind = order_of(shape, original)
    mixed = mixed and len(inner) <= MIXED_NODES and len(order) <= MIXED_VALUES
    mixed = mixed and not _alike(trees)
    flags = _STRICT * trees.strict + _AVERAGED * trees.averaged + _ORDER * kind + _MIXED * mixed
    lanes = _lanes(len(inner))
    head = [len(inner), len(trees.roots), bunch, lanes]
    head += [len(used), trees.trees_per_round, flags, len(trees.base)]
    coder = Writer(lanes, fast=_fast(len(inner)))
    _code_features(coder, used, len(used))
    code_tables(coder, tables, len(used), len(inner))
    sizes = np.array([len(table) for table in tables], np.int64)
    by = _expecting(mixed, sizes, len(trees.base))
    nodes = code_nodes(coder, len(trees.roots), bunch, sizes, known, by=by[0])
    code_missing(coder, nodes, _positive(nodes, tables), known)
    code_order(coder, shape, kind, original)
    code_leaves(coder, nodes, len(trees.base), leaves, by[1])
    base = trees.base.astype("<f4").tobytes()
    made = b"".join([*map(_varint, head), base, coder.finish()])
    return encode(trees, mixed=False) if mixed and len(inner) > _MIXED_DENSITY * len(made) else made


def decode(data: bytes | memoryview, budget: Budget | None = None) -> TreeEnsemble:
    """Return the ensemble that `encode` wrote.

    ``budget`` is what the file that it is of may still hold; what is read is taken from it.

    Raises
    ------
    BundleError
        When the bytes are damaged. Whatever they are, what is made is bounded by their number
        and by the limits of this module.
    """
    head, start = _read_head(data)
    count, trees, bunch, lanes, features, trees_per_round, flags, outputs = head
    budget = budget or Budget()
    budget.take_nodes(count)
    base = np.frombuffer(data[start : start + 4 * outputs], "<f4").astype(np.float32)
    coder = Reader(data[start + 4 * outputs :], lanes, fast=_fast(count))
    used = _code_features(coder, None, features)
    tables = code_tables(coder, None, features, count)
    sizes = np.array([len(table) for table in tables], np.int64)
    if (sizes == 0).any():
        raise _damaged("must have thresholds for each of their features")
    if flags >= _MIXED:
        if count > _MIXED_DENSITY * len(data):
            raise _damaged(f"must have fewer than {count} nodes")
        budget.take_mixed(count)
    by = _expecting(flags >= _MIXED, sizes, outputs)
    nodes = code_nodes(coder, trees, bunch, sizes, count, budget=budget, by=by[0])
    code_missing(coder, nodes, _positive(nodes, tables), None)
    number = code_order(coder, nodes.shape, flags % _MIXED // _ORDER, None)
    leaves = code_leaves(coder, nodes, outputs, None, by[1])
    coder.finish()
    back = np.argsort(number)
    inner = nodes.inner[back]
    threshold = values_of(np.where(inner, _thresholds(nodes, tables)[back], SIGN))
    left = nodes.left[back]
    order = np.lexsort((leaves.output, number[leaves.leaf]))
    return TreeEnsemble(
        feature=np.where(inner, np.append(used, -1)[nodes.feature[back]], -1),
        threshold=threshold,
        missing_left=nodes.missing[back],
        left=np.where(inner, number[left], -1),
        right=np.where(inner, number[np.minimum(left + 1, count - 1)], -1),
        roots=nodes.shape.roots,
        leaf=number[leaves.leaf][order],
        output=leaves.output[order],
        value=values_of(leaves.key)[order],
        base=base,
        strict=bool(flags & _STRICT),
        trees_per_round=trees_per_round,
        averaged=bool(flags & _AVERAGED),
    )


def _fast(nodes: int) -> bool:
    """Whether an ensemble of so many nodes is coded in machine code; each call is one of them."""
    return next(_coded) >= FAST_TIMES or nodes >= FAST_NODES


def _require_plain(trees: TreeEnsemble) -> None:
    """Refuse what decoding would not give back; most of it no library of trees makes."""
    leaf = trees.feature < 0
    empty = keys_of(trees.threshold[leaf]) == SIGN
    empty &= ~trees.missing_left[leaf] & (trees.feature[leaf] == -1)
    empty &= (trees.left[leaf] == -1) & (trees.right[leaf] == -1)
    apart = np.diff(trees.leaf) > 0
    alike = (np.diff(trees.leaf) == 0) & (np.diff(trees.output) > 0)
    rules = {
        "nodes, from 1 to a limit": 1 <= len(leaf) <= LARGEST_NODES,
        "outputs": len(trees.base) > 0,
        f"at most {FEATURES} features": len(np.unique(trees.feature)) <= FEATURES,
        "leaves without a threshold": bool(empty.all()),
        "values in the order of leaves and outputs": bool((apart | alike).all()),
        "values at leaves": bool(leaf[trees.leaf].all()),
        "outputs with a base": not len(trees.output)
        or 0 <= trees.output.min() <= trees.output.max() < len(trees.base),
        "numbers below 2**31": 0 < trees.trees_per_round <= LARGEST_NUMBER
        and bool((trees.feature <= LARGEST_NUMBER).all()),
    }
    for rule, held in rules.items():
        if not held:
            raise ValueError(f"an ensemble must have {rule}, but this one has not")


def _bunch(trees: TreeEnsemble) -> int:
    """Return how many trees are coded together: a round, or several where that is faster.

    A bunch's trees follow those of the bunch before, which pays where a round makes several
    trees; the more bunches, the more steps.
    """
    most = BUNCHES
    if trees.trees_per_round == 1:
        most = int(np.clip(200_000 // len(trees.feature), 8, BUNCHES))
    per_bunch = -(-len(trees.roots) // (trees.trees_per_round * most))
    return int(min(trees.trees_per_round * per_bunch, len(trees.roots)))


def _lanes(nodes: int) -> int:
    """Return how many symbols to code at once: each lane costs two bytes, and learns later."""
    lanes = 1
    while lanes < LANES and nodes > 512 * lanes:
        lanes *= 2
    return lanes


def _tables(trees: TreeEnsemble) -> tuple[Ints, list[Ints]]:
    """Return the features in use, rising, and the distinct keys of each one's thresholds."""
    splits = trees.feature >= 0
    feature, key = trees.feature[splits].astype(np.int64), keys_of(trees.threshold[splits])
    order = np.lexsort((key, feature))
    feature, key = feature[order], key[order]
    fresh = np.ones(len(key), bool)
    fresh[1:] = (np.diff(feature) != 0) | (np.diff(key) != 0)
    feature, key = feature[fresh], key[fresh]
    starts = np.flatnonzero(np.diff(feature, prepend=-1))
    return feature[starts], np.split(key, starts[1:]) if len(starts) else []


def _expecting(mixed: bool, sizes: Ints, outputs: int) -> tuple[Growing | None, Placing | None]:
    """Return what codes nodes and values' places; None for what `code_nodes` has itself."""
    if not mixed:
        return None, None
    return partial(MixedGrower, outputs=outputs), MixedPlaces(sizes)


def _alike(trees: TreeEnsemble) -> bool:
    """Return whether half of the trees compare what others do: twins alone tell those best."""
    ends = [*trees.roots[1:].tolist(), len(trees.feature)]
    seen = {
        (trees.feature[first:end].tobytes(), trees.threshold[first:end].tobytes())
        for first, end in zip(trees.roots.tolist(), ends, strict=True)
    }
    return 2 * len(seen) <= len(trees.roots)


def _known(
    trees: TreeEnsemble, shape: Shape, original: Ints, used: Ints, tables: Sequence[Ints]
) -> Nodes:
    known = Nodes.blank(len(original))
    known.inner = trees.feature[original] >= 0
    feature = trees.feature[original]
    known.feature = np.where(known.inner, np.searchsorted(used, feature), -1)
    known.missing = trees.missing_left[original]
    sizes = np.array([len(table) for table in tables], np.int64)
    every = np.repeat(np.arange(len(tables)), sizes) * _KEYS + np.concatenate([used[:0], *tables])
    asked = known.feature * _KEYS + keys_of(trees.threshold[original])
    start = np.append(np.cumsum(sizes) - sizes, 0)
    places = np.searchsorted(every, asked) - start[known.feature]
    known.place[known.inner] = places[known.inner]
    return known


def _thresholds(nodes: Nodes, tables: Sequence[Ints]) -> Ints:
    """Return the key of each node's threshold; of leaves, any number."""
    start = np.cumsum([0, *map(len, tables)])
    return np.concatenate([*tables, [0]])[start[nodes.feature] + nodes.place]


def _positive(nodes: Nodes, tables: Sequence[Ints]) -> npt.NDArray[np.bool_]:
    return _thresholds(nodes, tables)[nodes.inner] >= SIGN


def _code_features(coder: Coder, used: Ints | None, count: int) -> Ints:
    """Code the numbers of the features in use, which increase."""
    gaps = None if used is None else np.diff(used, prepend=-1) - 1
    gaps = quantities(coder, Counts(1, 33), np.zeros(count, np.int64), gaps)
    found: Ints = np.cumsum(gaps + 1) - 1
    if count and found[-1] > LARGEST_NUMBER:
        raise _damaged("must name features below 2**31")
    return found


def _varint(number: int) -> bytes:
    """Return a number as bytes of 7 bits, the lowest first; all but the last have bit 8 set."""
    made = bytearray()
    while number >= 0x80:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


def _read_head(data: bytes | memoryview) -> tuple[list[int], int]:
    head: list[int] = []
    number = shift = start = 0
    while len(head) < _HEAD:
        if start >= len(data) or shift > 28:
            raise _damaged("must begin with their numbers")
        number |= (data[start] & 0x7F) << shift
        shift += 7
        if data[start] < 0x80:
            head.append(number)
            number = shift = 0
        start += 1
    count, trees, bunch, lanes, features, trees_per_round, flags, outputs = head
    if not 1 <= count <= min(LARGEST_NODES, _DENSITY * len(data)) or features > FEATURES:
        raise _damaged(f"must have fewer than {count} nodes, {features} features")
    if not 1 <= bunch <= trees <= count or trees > BUNCHES * bunch or lanes != _lanes(count):
        raise _damaged(f"must have other than {trees} trees by {bunch} on {lanes} lanes")
    if trees_per_round < 1 or flags >= 2 * _MIXED:
        raise _damaged(f"must have other than rounds of {trees_per_round}, flags {flags}")
    if not 1 <= outputs <= (len(data) - start) // 4:
        raise _damaged(f"must have fewer than {outputs} outputs")
    return head, start


def _damaged(rule: str) -> BundleError:
    return BundleError(f"the bundle file is damaged: its trees {rule}. {DAMAGED}")
