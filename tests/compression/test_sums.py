from __future__ import annotations

import numpy as np
import pytest

from raymm.compression import sums
from raymm.compression.grove import Grove, reach


@pytest.fixture(params=[1, 2])
def grown(random_trees, request):
    grove = Grove.of(random_trees(0, count=10, width=request.param))
    x = np.random.default_rng(1).uniform(-1, 6, (500, 3)).astype(np.float32)
    return grove, reach(grove, x)


def test_margins_are_the_sums_of_the_leaves_that_rows_reach(grown):
    grove, reached = grown
    expected = np.repeat(grove.base[:, None], 500, axis=1)
    for row in range(500):
        for tree, leaf in enumerate(reached[:, row]):
            expected[grove.outputs[tree], row] += grove.value[leaf]
    assert np.array_equal(sums.margins(grove, reached), expected)


def test_rows_are_counted_in_the_leaves_that_they_reach(grown):
    grove, reached = grown
    weight = np.random.default_rng(2).uniform(0, 2, (len(grove.base), 500))
    found = sums.weigh(grove, reached, weight)
    for tree, (start, end) in enumerate(zip(grove.roots, grove.ends, strict=True)):
        expected = weight[grove.outputs[tree]].sum(axis=1)
        assert np.allclose(found[start:end].sum(axis=0), expected, rtol=1e-12), tree
    assert (found[grove.left >= 0] == 0).all()


def test_few_rows_and_trees_need_no_machine_code(grown):
    _, reached = grown
    assert sums.kernels_for(reached) is None


def test_leaves_and_rows_are_added_up():
    places = np.array([[0, 2], [1, 2], [0, 3]], np.int32)
    added, gathered = sums.sums(None, places, 4)
    assert added(np.array([1, 2, 4, 8], np.float32)).tolist() == [5, 6, 9]
    assert gathered(np.array([1, 2, 4], np.float32)).tolist() == [5, 2, 3, 4]
