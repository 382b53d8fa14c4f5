"""Sums over rows and the leaves that they reach, in machine code where there are many.

They are added in the same order in either way, so that what is made of them is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from raymm.bundle.machine_code import loaded
from raymm.compression.grove import Floats, Grove, Ints, Reached
from raymm.compression.spread import spread

Floats32 = npt.NDArray[np.float32]
Sum = Callable[[Floats32], Floats32]
MANY = 2_000_000
"""Leaves that rows reach from which on machine code is worth loading: numpy takes 5 ms a pass."""


def kernels_for(reached: Reached) -> Any:
    """Return `raymm.compression.sums_kernels` where it pays and numba is installed, else None."""
    if reached.size < MANY or not reached.flags.c_contiguous:
        return None
    return loaded("raymm.compression.sums_kernels")


def margins(grove: Grove, reached: Reached) -> Floats:
    """Return the sums of the leaves that rows reach, shape (outputs, n).

    ``reached`` holds the leaf of each row in each tree, shape (trees, n).
    """
    total = np.repeat(grove.base[:, None], reached.shape[1], axis=1)
    if (kernels := kernels_for(reached)) is not None:
        value = np.ascontiguousarray(grove.value, np.float64)

        def add(output: int) -> None:
            trees, columns = _adding(grove, output)
            kernels.margin(reached, trees, columns, value, total[output])

        spread(add, range(len(total)))
        return total
    for tree, outputs in enumerate(grove.outputs):
        for column, output in enumerate(outputs):
            total[output] += grove.value[reached[tree], column]
    return total


def weigh(grove: Grove, reached: Reached, weight: Floats) -> Floats:
    """Return the weight of the rows in each leaf, shape (nodes, width); 0 at splits.

    Parameters
    ----------
    reached : int, shape (trees, n)
        The leaf that each row reaches in each tree.
    weight : float64, shape (outputs, n)
    """
    found = np.zeros(grove.value.shape)
    if (kernels := kernels_for(reached)) is not None:
        heavy = np.ascontiguousarray(weight, np.float64)

        def gather(output: int) -> None:
            kernels.weigh(reached, *_adding(grove, output), heavy[output], found)

        spread(gather, range(len(heavy)))
        return found
    for tree, (start, end) in enumerate(zip(grove.roots, grove.ends, strict=True)):
        leaf = reached[tree] - start
        for column, output in enumerate(grove.outputs[tree]):
            counts = np.bincount(leaf, weight[output], minlength=end - start)
            found[start:end, column] = counts
    return found


def _adding(grove: Grove, output: int) -> tuple[Ints, Ints]:
    """Return the trees that add to an output, and which columns of their leaves do, each (k,)."""
    trees, columns = np.nonzero(grove.outputs == output)
    return np.ascontiguousarray(trees), np.ascontiguousarray(columns)


def sums(kernels: Any, places: Reached, nodes: int) -> tuple[Sum, Sum]:
    """Return what adds the leaves that rows reach, and what adds the rows that reach leaves.

    Parameters
    ----------
    kernels : module or None
        What `kernels_for` returned.
    places : int32, shape (n, trees)
        From 0 to nodes - 1.
    nodes : int

    Returns
    -------
    (callable, callable)
        From float32 of shape (nodes,) to (n,), and the other way round.
    """
    rows, count = places.shape
    if kernels is None:
        ones = np.ones(places.size, np.float32)
        ends = np.arange(0, places.size + 1, max(count, 1))
        adds = csr_array((ones, places.ravel(), ends), shape=(rows, nodes))
        gathers = adds.T
        return lambda leaves: adds @ leaves, lambda seen: gathers @ seen

    def added(leaves: Floats32) -> Floats32:
        found = np.empty(rows, np.float32)
        kernels.add(places, leaves, found)
        return found

    def gathered(seen: Floats32) -> Floats32:
        found = np.empty(nodes, np.float32)
        kernels.gather(places, seen, found)
        return found

    return added, gathered
