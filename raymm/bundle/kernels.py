"""Rows through trees in machine code, by numba; needs the extra ``fast``.

Trees wait for memory and for comparisons that nobody can foresee, not for arithmetic. So eight ways
down are under way at once, of one row those through eight trees, of many rows those of eight rows
through one tree; and none of them has a branch: the children of a node lie side by side, and which
of them is next is added as a number.

A node is 64 bits: the place of its first child, a rank and a column. A leaf's child is itself. A
column of a row holds how many thresholds of all trees its feature is above, in the upper half of
32 bits whose lower half is ones; the row goes left where that is below the lower 32 bits of the
node. `raymm.bundle.compiled_trees` lays nodes out so.

Nothing is checked here; see `raymm.bundle.jit`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from raymm.bundle.jit import Arrays, compiled, inlined

BLOCK = 64
"""Rows that all trees see before the next ones are taken up: they stay in the cache."""
MISSING_LEFT, MISSING_RIGHT = 0x0000FFFF, 0xFFFEFFFF
"""What a column holds where its feature is missing, and is sent left or right."""
_LOW = 0xFFFF


@inlined
def _made(raw: Arrays, row: int, part: Arrays, limit: Arrays) -> float:
    """Return a feature of a row, NaN where it is missing; see `rank`."""
    value = raw[row, part[1]]
    if part[0] > 0:
        other = raw[row, part[2]]
        if part[0] == 1:
            value = np.float32(value + other)
        elif part[0] == 2:
            value = np.float32(value - other)
        elif part[0] == 3:
            value = np.float32(value * other)
        else:
            value = np.float32(value / other)
    if np.isnan(value) or (part[3] != 0 and np.isinf(value)):
        value = np.float32(np.nan)
    else:
        value = min(max(value, limit[0]), limit[1])
    made: float = value
    return made


@inlined
def _rank(
    raw: Arrays,
    row: int,
    parts: Arrays,
    limits: Arrays,
    thresholds: Arrays,
    starts: Arrays,
    columns: Arrays,
) -> None:
    for feature in range(parts.shape[0]):
        value = _made(raw, row, parts[feature], limits[feature])
        if np.isnan(value):
            columns[row, 2 * feature] = MISSING_LEFT
            columns[row, 2 * feature + 1] = MISSING_RIGHT
            continue
        start, count = starts[feature], starts[feature + 1] - starts[feature]
        while count > 0:
            half = (count + 1) >> 1
            start = start + half if thresholds[start + half - 1] < value else start
            count -= half
        above = (start - starts[feature]) << 16 | _LOW
        columns[row, 2 * feature] = columns[row, 2 * feature + 1] = above


@compiled("void(f4[:,::1], i4[:,::1], f4[:,::1], f4[::1], i4[::1], u4[:,::1])", anyway=True)
def rank(
    raw: Arrays,
    parts: Arrays,
    limits: Arrays,
    thresholds: Arrays,
    starts: Arrays,
    columns: Arrays,
) -> None:
    """Make every feature of raw rows, and write its rank among the thresholds to its two columns.

    Parameters
    ----------
    raw : float32, shape (n, r)
    parts : int32, shape (d, 4)
        Of each feature: 0 for a column of ``raw`` as it is, 1 to 4 where it is added to another,
        or less, times or by it; the column; the other; 1 where what is infinite is missing, else 0.
    limits : float32, shape (d, 2)
        The least and the largest that a feature may be.
    thresholds : float32, shape (t,)
        Those of each feature, rising.
    starts : int32, shape (d + 1,)
        Where those of each feature begin.
    columns : uint32, shape (n, 2 d)
        Written to. Of each feature's two, missing values go left by the first.
    """
    for row in range(raw.shape[0]):
        _rank(raw, row, parts, limits, thresholds, starts, columns)


@compiled(
    "void(f4[:,::1], i4[::1], f4[::1], u1[:,::1], i4[::1], u1[::1], u4[::1], u4[::1], u4[:,:])",
    anyway=True,
)
def look_up(  # noqa: PLR0913, PLR0917  (what a table and its sets are made of, one array each)
    raw: Arrays,
    part: Arrays,
    limit: Arrays,
    held: Arrays,
    byte: Arrays,
    mask: Arrays,
    outside: Arrays,
    inside: Arrays,
    columns: Arrays,
) -> None:
    """Write to the columns of a feature's sets of categories which of them raw rows are in.

    Parameters
    ----------
    raw : float32, shape (n, r)
    part, limit : int32, shape (4,), and float32, shape (2,)
        Of the feature, as in `rank`.
    held : uint8, shape (categories + 1, bytes)
        The last row stands for what is no category.
    byte, mask : int32 and uint8, shape (k,)
        Of each set, where its bit is in a row of ``held``, and the bit.
    outside, inside : uint32, shape (k,)
        What a set's columns hold for rows that are not in it, and that are.
    columns : uint32, shape (n, 2 k)
        Written to.
    """
    rest = held.shape[0] - 1
    for row in range(raw.shape[0]):
        value = _made(raw, row, part, limit)
        category = int(value) if value > -1 and value < rest else rest
        for place in range(byte.shape[0]):
            found = inside[place] if held[category, byte[place]] & mask[place] else outside[place]
            columns[row, 2 * place] = columns[row, 2 * place + 1] = found


@inlined
def _next(node: Arrays, columns: Arrays, row: int, place: int) -> int:
    """Return where a row is a step on."""
    held = node[place]
    right = columns[row, held & np.uint64(_LOW)] >= np.uint32(held)
    below: Any = (held >> np.uint64(32)) + np.uint64(right)
    return below  # type: ignore[no-any-return]


@inlined
def _down(node: Arrays, columns: Arrays, row: int, place: int, moved: int) -> tuple[int, int]:
    """Return where a row is two steps on, and other than 0 where the second led somewhere."""
    between = _next(node, columns, row, place)
    below = _next(node, columns, row, between)
    return below, moved | (below ^ between)


@inlined
def _add(
    leaves: Arrays,
    count: int,
    start: int,
    first: Arrays,
    output: Arrays,
    value: Arrays,
    total: Arrays,
) -> None:
    """Add what the leaves hold that some rows reached, to the rows of ``total`` from one on."""
    if count == 1 and total.shape[1] == 1 and first.shape[0] == 0:
        one = total[start, 0]
        for tree in range(leaves.shape[0]):
            one += value[leaves[tree, 0]]
        total[start, 0] = one
        return
    for tree in range(leaves.shape[0]):
        if first.shape[0] == 0:
            for row in range(count):
                total[start + row, output[tree]] += value[leaves[tree, row]]
        else:
            for row in range(count):
                leaf = leaves[tree, row]
                for place in range(first[leaf], first[leaf + 1]):
                    total[start + row, output[place]] += value[place]


@compiled("void(u4[:,::1], u8[::1], u8[::1], i4[::1], i4[::1], f4[::1], f4[:,::1])", anyway=True)
def descend_row(
    columns: Arrays,
    node: Arrays,
    roots: Arrays,
    first: Arrays,
    output: Arrays,
    value: Arrays,
    total: Arrays,
) -> None:
    """Do for a single row what `descend_rows` does for many."""
    leaves = np.empty((roots.shape[0], 1), np.uint32)
    x, many = columns, roots.shape[0] - roots.shape[0] % 8
    for tree in range(0, many, 8):
        a, b, c, d = roots[tree], roots[tree + 1], roots[tree + 2], roots[tree + 3]
        e, f, g, h = roots[tree + 4], roots[tree + 5], roots[tree + 6], roots[tree + 7]
        moved = np.uint64(1)
        while moved != 0:
            a, moved = _down(node, x, 0, a, np.uint64(0))
            b, moved = _down(node, x, 0, b, moved)
            c, moved = _down(node, x, 0, c, moved)
            d, moved = _down(node, x, 0, d, moved)
            e, moved = _down(node, x, 0, e, moved)
            f, moved = _down(node, x, 0, f, moved)
            g, moved = _down(node, x, 0, g, moved)
            h, moved = _down(node, x, 0, h, moved)
        leaves[tree, 0], leaves[tree + 1, 0], leaves[tree + 2, 0], leaves[tree + 3, 0] = a, b, c, d
        leaves[tree + 4, 0], leaves[tree + 5, 0], leaves[tree + 6, 0] = e, f, g
        leaves[tree + 7, 0] = h
    for tree in range(many, roots.shape[0]):
        a, moved = roots[tree], np.uint64(1)
        while moved != 0:
            a, moved = _down(node, x, 0, a, np.uint64(0))
        leaves[tree, 0] = a
    _add(leaves, 1, 0, first, output, value, total)


@compiled("void(u4[:,::1], u8[::1], u8[::1], i4[::1], i4[::1], f4[::1], f4[:,::1])", anyway=True)
def descend_rows(
    columns: Arrays,
    node: Arrays,
    roots: Arrays,
    first: Arrays,
    output: Arrays,
    value: Arrays,
    total: Arrays,
) -> None:
    """Add what the leaves hold that rows reach; each output is summed in the order of the trees.

    Parameters
    ----------
    columns : uint32, shape (n, 2 d)
        As `rank` writes them.
    node : uint64, shape (nodes,)
    roots : uint64, shape (trees,)
    first : int32, shape (nodes + 1,) or (0,)
        Where the values of each node begin among all; empty where each tree adds to one output.
    output : int32, shape (values,) or (trees,)
        What each value, or each tree, adds to.
    value : float32, shape (values,) or (nodes,)
    total : float32, shape (n, outputs)
        Added to.
    """
    x = columns
    leaves = np.empty((roots.shape[0], BLOCK), np.uint32)
    for start in range(0, x.shape[0], BLOCK):
        count = min(BLOCK, x.shape[0] - start)
        for tree in range(roots.shape[0]):
            root = roots[tree]
            for at in range(0, count - count % 8, 8):
                r = start + at
                a, b, c, d, e, f, g, h = root, root, root, root, root, root, root, root
                moved = np.uint64(1)
                while moved != 0:
                    a, moved = _down(node, x, r, a, np.uint64(0))
                    b, moved = _down(node, x, r + 1, b, moved)
                    c, moved = _down(node, x, r + 2, c, moved)
                    d, moved = _down(node, x, r + 3, d, moved)
                    e, moved = _down(node, x, r + 4, e, moved)
                    f, moved = _down(node, x, r + 5, f, moved)
                    g, moved = _down(node, x, r + 6, g, moved)
                    h, moved = _down(node, x, r + 7, h, moved)
                leaves[tree, at], leaves[tree, at + 1], leaves[tree, at + 2] = a, b, c
                leaves[tree, at + 3], leaves[tree, at + 4], leaves[tree, at + 5] = d, e, f
                leaves[tree, at + 6], leaves[tree, at + 7] = g, h
            for at in range(count - count % 8, count):
                a, moved = root, np.uint64(1)
                while moved != 0:
                    a, moved = _down(node, x, start + at, a, np.uint64(0))
                leaves[tree, at] = a
        _add(leaves, count, start, first, output, value, total)


@compiled(
    "void(f4[:,::1], i4[:,::1], f4[:,::1], f4[::1], i4[::1],"
    "u8[::1], u8[::1], i4[::1], i4[::1], f4[::1], f4[::1], f4[:,::1])",
    anyway=True,
)
def predict_row(  # noqa: PLR0913, PLR0917  (what features and trees are made of, one array each)
    raw: Arrays,
    parts: Arrays,
    limits: Arrays,
    thresholds: Arrays,
    starts: Arrays,
    node: Arrays,
    roots: Arrays,
    first: Arrays,
    output: Arrays,
    value: Arrays,
    base: Arrays,
    total: Arrays,
) -> None:
    """Do `rank` and `descend_rows` for a single row in one call, and add ``base``."""
    columns = np.empty((1, 2 * parts.shape[0]), np.uint32)
    rank(raw, parts, limits, thresholds, starts, columns)
    total[:] = np.float32(0)
    descend_row(columns, node, roots, first, output, value, total)
    for place in range(base.shape[0]):
        total[0, place] += base[place]


@compiled(
    "void(f4[:,::1], i4[:,::1], u1[::1], i8[::1], i4[::1],"
    "i4[::1], f4[::1], b1[::1], i4[::1], i4[::1], i4[::1], b1, i4[:,::1])",
    anyway=True,
)
def leaves(  # noqa: PLR0913, PLR0917  (what trees are made of, one array each)
    rows: Arrays,
    category: Arrays,
    members: Arrays,
    first: Arrays,
    of: Arrays,
    feature: Arrays,
    threshold: Arrays,
    missing_left: Arrays,
    left: Arrays,
    right: Arrays,
    roots: Arrays,
    strict: bool,
    found: Arrays,
) -> None:
    """Write the leaf that each row reaches in each tree, for trees as `TreeEnsemble` holds them.

    Four rows at once by children that lie side by side, as above, were no faster.

    Parameters
    ----------
    rows : float32, shape (n, d)
    category : int32, shape (n, k)
        Of each row, in each of k features whose sets of categories are columns beyond ``rows``.
    members : uint8
        Bit by bit, which categories each set holds; rows in it go right.
    first : int64, shape (sets,)
        Where the categories of each set begin in ``members``.
    of : int32, shape (sets,)
        Which of the k features each set is of.
    feature, left, right : int32, shape (nodes,)
        Of a leaf, ``left`` is below 0; of others, both are further on than the node is.
    threshold : float32, shape (nodes,)
    missing_left : bool, shape (nodes,)
    roots : int32, shape (trees,)
    strict : bool
        Whether rows go left that are less, rather than at most, a threshold.
    found : int32, shape (trees, n)
        Written to.
    """
    for tree in range(roots.shape[0]):
        for row in range(rows.shape[0]):
            at = roots[tree]
            while left[at] >= 0:
                column = feature[at]
                if column >= rows.shape[1]:
                    column -= rows.shape[1]
                    held = category[row, of[column]]
                    goes_left = members[first[column] + (held >> 3)] >> (held & 7) & 1 == 0
                    at = left[at] if goes_left else right[at]
                    continue
                value = rows[row, column]
                if np.isnan(value):
                    goes_left = missing_left[at]
                elif strict:
                    goes_left = value < threshold[at]
                else:
                    goes_left = value <= threshold[at]
                at = left[at] if goes_left else right[at]
            found[tree, row] = at
