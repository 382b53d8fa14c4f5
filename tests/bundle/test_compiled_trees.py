from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymm.bundle.compiled_trees import laid_out
from raymm.models.trees import TreeEnsemble


def _trees(**changes):
    made = TreeEnsemble(
        feature=np.array([0, 1, -1, -1, -1, 1, -1, -1]),
        threshold=np.array([0.5, 2.0, 0, 0, 0, 2.0, 0, 0], np.float32),
        missing_left=np.array([1, 0, 0, 0, 0, 0, 0, 0], bool),
        left=np.array([1, 2, -1, -1, -1, 6, -1, -1]),
        right=np.array([4, 3, -1, -1, -1, 7, -1, -1]),
        roots=np.array([0, 5]),
        leaf=np.array([2, 3, 4, 6, 7]),
        output=np.zeros(5, np.int64),
        value=np.array([1, 2, 3, 4, 5], np.float32),
        base=np.array([0.25], np.float32),
    )
    return replace(made, **changes)


def _walk(layout, ranks):
    """Follow a row by the book: what `raymm.bundle.kernels` does."""
    total = layout.base.astype(np.float64).copy()
    for tree, root in enumerate(layout.roots.tolist()):
        at = root
        while True:
            held = int(layout.node[at])
            child, rank, column = held >> 32, held >> 16 & 0xFFFF, held & 0xFFFF
            below = child + (not ranks[column] < rank)
            if below == at:
                break
            at = below
        if len(layout.first):
            for place in range(layout.first[at], layout.first[at + 1]):
                total[layout.output[place]] += layout.value[place]
        else:
            total[layout.output[tree]] += layout.value[at]
    return total.tolist()


def _ranks(layout, row):
    found = []
    for number, value in enumerate(row):
        table = layout.thresholds[layout.starts[number] : layout.starts[number + 1]]
        found += [0, 0xFFFE] if np.isnan(value) else [int((table < value).sum())] * 2
    return found


ROWS = [(0.5, 2.0), (0.5, 2.1), (0.6, 2.0), (np.nan, np.nan), (-9.0, np.inf), (np.inf, -np.inf)]


@pytest.mark.parametrize("strict", [False, True])
def test_rows_reach_the_leaves_that_the_ensemble_says(strict):
    trees = _trees(strict=strict)
    layout = laid_out([trees], [[0, 1]], 2)
    for row in ROWS:
        expected = trees.margins(np.array([row], np.float32))[0].tolist()
        assert _walk(layout, _ranks(layout, row)) == pytest.approx(expected)


def test_several_ensembles_read_and_write_columns_of_their_own():
    several = _trees(output=np.array([0, 1, 0, 1, 0]), base=np.array([0, 1], np.float32))
    layout = laid_out([_trees(strict=True), several], [[2, 0], [1, 2]], 3)
    for row in [(*one, other) for one in ROWS for other in (0.5, 2.0, np.nan)]:
        x = np.array([row], np.float32)
        expected = [
            *_trees(strict=True).margins(x[:, [2, 0]])[0],
            *several.margins(x[:, [1, 2]])[0],
        ]
        assert _walk(layout, _ranks(layout, row)) == pytest.approx(expected)


def test_siblings_lie_side_by_side_and_trees_stay_together():
    layout = laid_out([_trees()], [[0, 1]], 2)
    assert layout.roots.tolist() == [0, 5]
    assert (layout.node >> np.uint64(32)).tolist() == [1, 3, 2, 3, 4, 6, 6, 7]
    assert len(layout.first) == 0
    assert layout.value.tolist() == [0, 0, 3, 1, 2, 0, 4, 5]


def test_thresholds_of_missing_values_alone_are_kept():
    trees = _trees(threshold=np.array([np.inf, 2.0, 0, 0, 0, -np.inf, 0, 0], np.float32))
    layout = laid_out([trees], [[0, 1]], 2)
    for row in ROWS:
        expected = trees.margins(np.array([row], np.float32))[0].tolist()
        assert _walk(layout, _ranks(layout, row)) == pytest.approx(expected)


CROOKED = {
    "a feature that there is not": {"feature": np.array([0, 2, -1, -1, -1, 1, -1, -1])},
    "a child outside": {"right": np.array([4, 99, -1, -1, -1, 7, -1, -1])},
    "a negative child": {"left": np.array([1, -2, -1, -1, -1, 6, -1, -1])},
    "a circle": {"left": np.array([1, 0, -1, -1, -1, 6, -1, -1])},
    "a child of another tree": {"left": np.array([1, 6, -1, -1, -1, 6, -1, -1])},
    "a node without a parent": {"right": np.array([4, 2, -1, -1, -1, 7, -1, -1])},
    "an output that there is not": {"output": np.array([0, 0, 0, 0, 1])},
    "a negative output": {"output": np.array([0, 0, 0, 0, -1])},
    "a value at a split": {"leaf": np.array([1, 3, 4, 6, 7])},
    "a leaf outside": {"leaf": np.array([2, 3, 4, 6, 8])},
    "no tree": {"roots": np.zeros(0, np.int64)},
    "a root outside": {"roots": np.array([0, 8])},
    "a root twice": {"roots": np.array([0, 0])},
    "a threshold that is none": {
        "threshold": np.array([np.nan, 2.0, 0, 0, 0, 2.0, 0, 0], np.float32)
    },
}


@pytest.mark.parametrize("why", CROOKED)
def test_what_is_not_sound_is_not_laid_out(why):
    assert laid_out([_trees(**CROOKED[why])], [[0, 1]], 2) is None


def test_below_the_least_number_nothing_is_asked():
    least = np.array([-np.inf, 2.0, 0, 0, 0, 2.0, 0, 0], np.float32)
    assert laid_out([_trees(threshold=least, strict=True)], [[0, 1]], 2) is None


def test_more_columns_or_thresholds_than_there_are_places_for():
    assert laid_out([_trees()], [[0, 1]], 40_000) is None
    count = 0xFFFE
    feature = np.tile([0, -1, -1], count)
    made = TreeEnsemble(
        feature=feature,
        threshold=np.where(feature < 0, 0, np.repeat(np.arange(count), 3)).astype(np.float32),
        missing_left=np.zeros(3 * count, bool),
        left=np.where(feature < 0, -1, np.arange(3 * count) + 1),
        right=np.where(feature < 0, -1, np.arange(3 * count) + 2),
        roots=np.arange(0, 3 * count, 3),
        leaf=np.zeros(0, np.int64),
        output=np.zeros(0, np.int64),
        value=np.zeros(0, np.float32),
        base=np.zeros(1, np.float32),
    )
    assert laid_out([made], [[0]], 1) is None
