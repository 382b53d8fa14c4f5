"""The sums of `raymm.compression.sums` in machine code, by numba.

It needs the extra ``fast``. What is added up is added in the order in which scipy's sparse matrices
add it, so that the leaves are the same bit for bit; but these hold Python while they do, and here
each output has a thread of its own.

Nothing is checked here; see `raymm.bundle.jit`.
"""

from __future__ import annotations

import numpy as np

from raymm.bundle.jit import Arrays, compiled


@compiled("void(i4[:,::1], f4[::1], f4[::1])")
def add(places: Arrays, leaves: Arrays, rows: Arrays) -> None:
    """Write the sum of the leaves that each row reaches.

    Parameters
    ----------
    places : int32, shape (n, trees)
    leaves : float32, shape (nodes,)
    rows : float32, shape (n,)
        Written to.
    """
    for row in range(places.shape[0]):
        total = np.float32(0)
        for tree in range(places.shape[1]):
            total += leaves[places[row, tree]]
        rows[row] = total


@compiled("void(i4[:,::1], f4[::1], f4[::1])")
def gather(places: Arrays, rows: Arrays, leaves: Arrays) -> None:
    """Write the sum of the rows that reach each leaf; parameters as in `add`."""
    leaves[:] = np.float32(0)
    for row in range(places.shape[0]):
        value = rows[row]
        for tree in range(places.shape[1]):
            leaves[places[row, tree]] += value


@compiled("void(i4[:,::1], i8[::1], i8[::1], f8[:,::1], f8[::1])")
def margin(reached: Arrays, trees: Arrays, columns: Arrays, value: Arrays, total: Arrays) -> None:
    """Add what some trees' leaves hold to rows, tree by tree.

    Parameters
    ----------
    reached : int32, shape (all trees, n)
    trees, columns : int64, shape (t,)
        Which trees, and which column of their leaves' values.
    value : float64, shape (nodes, width)
    total : float64, shape (n,)
        Written to.
    """
    for at in range(len(trees)):
        tree, column = trees[at], columns[at]
        for row in range(len(total)):
            total[row] += value[reached[tree, row], column]


@compiled("void(i4[:,::1], i8[::1], i8[::1], f8[::1], f8[:,::1])")
def weigh(reached: Arrays, trees: Arrays, columns: Arrays, weight: Arrays, found: Arrays) -> None:
    """Add the weight of rows, float64 of shape (n,), to the leaves they reach in some trees.

    ``found``, float64 of shape (nodes, width), is written to; others are as in `margin`.
    """
    for at in range(len(trees)):
        tree, column = trees[at], columns[at]
        for row in range(len(weight)):
            found[reached[tree, row], column] += weight[row]
