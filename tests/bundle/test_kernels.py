from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")
from raymm.bundle import kernels
from raymm.compression.seen import Seen

NONE = np.zeros(0, np.int32)


def _node(child: int, rank: int, column: int) -> int:
    return child << 32 | rank << 16 | column


# A tree: its root asks whether column 0 ranks below 2, its right child whether column 3 does so
# below 1.
NODES = np.array(
    [_node(1, 2, 0), _node(1, 0xFFFF, 0), _node(3, 1, 3), _node(3, 0xFFFF, 0), _node(4, 0xFFFF, 0)],
    np.uint64,
)
VALUES = np.array([0, 10, 0, 20, 30], np.float32)


def _columns(*ranks):
    return np.array([[rank << 16 | 0xFFFF for rank in row] for row in ranks], np.uint32)


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 64, 65, 200])
def test_rows_reach_their_leaves_in_any_number(rows):
    given = _columns((0, 0, 0, 0), (1, 9, 9, 9), (2, 0, 0, 0), (2, 0, 0, 1), (5, 0, 0, 7))
    expected = np.array([10, 10, 20, 30, 30], np.float32)
    places = np.arange(rows) % 5
    total = np.zeros((rows, 1), np.float32)
    trees = np.zeros(1, np.uint64), NONE, np.zeros(1, np.int32), VALUES
    kernels.descend_rows(given[places], NODES, *trees, total)
    np.testing.assert_array_equal(total[:, 0], expected[places])


@pytest.mark.parametrize("count", [1, 7, 8, 9, 17])
def test_a_row_goes_through_any_number_of_trees(count):
    roots, outputs = np.zeros(count, np.uint64), (np.arange(count) % 2).astype(np.int32)
    total = np.zeros((1, 2), np.float32)
    kernels.descend_row(_columns((2, 0, 0, 0)), NODES, roots, NONE, outputs, VALUES, total)
    np.testing.assert_array_equal(total, [[20 * (count - count // 2), 20 * (count // 2)]])


def test_leaves_of_several_values_add_all_of_them():
    first = np.array([0, 0, 2, 2, 3, 3], np.int32)
    output, value = np.array([0, 2, 1], np.int32), np.array([1, 2, 5], np.float32)
    total = np.zeros((3, 3), np.float32)
    roots = np.zeros(2, np.uint64)
    given = _columns((0, 0, 0, 0), (2, 0, 0, 0), (2, 0, 0, 1))
    kernels.descend_rows(given, NODES, roots, first, output, value, total)
    np.testing.assert_array_equal(total, [[2, 0, 4], [0, 10, 0], [0, 0, 0]])
    alone = np.zeros((1, 3), np.float32)
    kernels.descend_row(given[:1], NODES, roots, first, output, value, alone)
    np.testing.assert_array_equal(alone, total[:1])


@pytest.mark.parametrize("strict", [False, True])
def test_leaves_are_those_that_comparisons_lead_to(strict):
    # The root asks for column 1; its right child for column 0, with missing values to the left.
    nodes = {
        "feature": np.array([1, -1, 0, -1, -1], np.int32),
        "threshold": np.array([0.5, 0, -1, 0, 0], np.float32),
        "missing_left": np.array([False, False, True, False, False]),
        "left": np.array([1, -1, 3, -1, -1], np.int32),
        "right": np.array([2, -1, 4, -1, -1], np.int32),
    }
    rows = [(0, 0.25), (-2, 0.75), (7, np.nan), (np.nan, np.nan), (np.inf, -np.inf), (-1, np.inf)]
    given = np.array([*rows, (-2, 0.5)], np.float32)
    found = np.empty((2, len(given)), np.int32)
    roots = np.array([0, 2], np.int32)
    kernels.leaves(given, *Seen(given).members(), *nodes.values(), roots, strict, found)
    last = 4 if strict else 3
    assert found[0].tolist() == [1, 3, 4, 3, 1, last, 3 if strict else 1]
    assert found[1].tolist() == [4, 3, 4, 3, 4, last, 3]


def test_rows_in_a_set_go_right():
    # Column 1 is the set {9} of the first feature, column 2 the set {0, 1} of the second.
    numbers = np.array([[0.5], [1], [1]], np.float32)
    category = np.array([[9, 0], [8, 1], [1, 2]], np.int32)
    members, first = np.array([0, 2, 3], np.uint8), np.array([0, 2])
    of = np.array([0, 1], np.int32)
    nodes = (
        np.array([1, 2, -1, -1, -1], np.int32),
        np.full(5, 0.5, np.float32),
        np.zeros(5, bool),
        np.array([1, 3, -1, -1, -1], np.int32),
        np.array([2, 4, -1, -1, -1], np.int32),
    )
    found = np.empty((1, 3), np.int32)
    roots = np.zeros(1, np.int32)
    kernels.leaves(numbers, category, members, first, of, *nodes, roots, False, found)
    assert found.tolist() == [[2, 4, 3]]


def test_ranks_count_the_thresholds_below():
    thresholds = np.array(
        [-1, 0, 2.5, 7], np.float32
    )  # three of the first feature, one of the last
    starts = np.array([0, 3, 3, 4], np.int32)
    parts = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [4, 0, 1, 1]], np.int32)
    limits = np.array([[-2, 100], [-np.inf, np.inf], [-np.inf, np.inf]], np.float32)
    raw = np.array(
        [[-1, 1], [np.nextafter(np.float32(-1), np.float32(0)), 1], [np.inf, 1], [np.nan, 1],
         [15, 2], [1, 0]],
        np.float32,
    )  # fmt: skip
    columns = np.zeros((len(raw), 6), np.uint32)
    kernels.rank(raw, parts, limits, thresholds, starts, columns)
    low, high = kernels.MISSING_LEFT, kernels.MISSING_RIGHT
    assert (columns[:, 0] >> 16).tolist() == [0, 1, 3, low >> 16, 3, 2]
    assert (columns[:, 1] >> 16).tolist() == [0, 1, 3, high >> 16, 3, 2]
    assert (columns[:, 2] & 0xFFFF == 0xFFFF).all()
    # A ratio: 15 / 2 is above 7, what is infinite is missing.
    assert (columns[:, 5] >> 16).tolist() == [0, 0, high >> 16, high >> 16, 1, high >> 16]


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_pairs_round_once_as_numpy_does(kind):
    random = np.random.default_rng(kind)
    raw = (10.0 ** random.uniform(-20, 20, (2000, 2)) * random.choice([-1, 1], (2000, 2))).astype(
        np.float32
    )
    with np.errstate(all="ignore"):
        expected = (np.add, np.subtract, np.multiply, np.divide)[kind - 1](raw[:, 0], raw[:, 1])
    thresholds = np.unique(expected[np.isfinite(expected)])
    columns = np.zeros((len(raw), 2), np.uint32)
    kernels.rank(
        raw,
        np.array([[kind, 0, 1, 0]], np.int32),
        np.array([[-np.inf, np.inf]], np.float32),
        thresholds,
        np.array([0, len(thresholds)], np.int32),
        columns,
    )
    np.testing.assert_array_equal(columns[:, 0] >> 16, np.searchsorted(thresholds, expected))


def test_one_call_does_what_the_three_do():
    raw = np.array([[3.0]], np.float32)
    thresholds, starts = np.array([1, 2], np.float32), np.array([0, 2], np.int32)
    parts, limits = np.array([[0, 0, 0, 0]], np.int32), np.array([[-9, 9]], np.float32)
    node = np.array([_node(1, 2, 0), _node(1, 0xFFFF, 0), _node(2, 0xFFFF, 0)], np.uint64)
    trees = node, np.zeros(1, np.uint64), NONE, NONE[:0], np.array([0, 1, 2], np.float32)
    trees = (*trees[:3], np.zeros(1, np.int32), trees[4])
    total = np.full((1, 1), 77, np.float32)
    kernels.predict_row(
        raw, parts, limits, thresholds, starts, *trees, np.array([0.5], np.float32), total
    )
    assert total.tolist() == [[2.5]]
