from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymm.compression import grove as grove_module
from raymm.compression.grove import Grove, cells, heights, reach
from raymm.models import trees as reference


@pytest.mark.parametrize("seed", range(6))
def test_an_ensemble_comes_back_in_preorder_with_the_same_answers(random_trees, around, seed):
    trees = random_trees(seed)
    x = around(trees)
    again, place = Grove.of(trees).rebuilt()
    assert np.array_equal(np.sort(place), np.arange(len(trees.feature)))
    assert np.array_equal(again.ensemble().margins(x), trees.margins(x))
    splits = np.flatnonzero(again.left >= 0)
    assert np.array_equal(again.left[splits], splits + 1)


@pytest.mark.parametrize("seed", range(6))
def test_rows_reach_the_leaves_that_the_reference_says(random_trees, around, monkeypatch, seed):
    monkeypatch.setattr(reference, "_TOGETHER", 16)
    trees = random_trees(seed, count=70)
    x = around(trees)
    assert np.array_equal(reach(Grove.of(trees), x).T, trees.leaves(x))


@pytest.mark.parametrize("seed", range(6))
def test_rows_reach_the_same_leaves_without_numba(random_trees, around, monkeypatch, seed):
    trees = random_trees(seed, count=70)
    x = around(trees)
    monkeypatch.setattr(grove_module, "ready", lambda: None)
    assert np.array_equal(reach(Grove.of(trees), x).T, trees.leaves(x))


@pytest.mark.parametrize("harm", ["circle", "beyond", "feature", "root"])
def test_no_machine_code_runs_over_trees_that_lead_astray(random_trees, monkeypatch, harm):
    grove = Grove.of(random_trees(1))
    split = int(np.flatnonzero(grove.left >= 0)[0])
    right, feature, roots = grove.right.copy(), grove.feature.copy(), grove.roots.copy()
    if harm == "circle":
        right[split] = split
    elif harm == "beyond":
        right[split] = len(right)
    elif harm == "feature":
        feature[split] = 10_000
    else:
        roots[-1] = len(right)
    astray = replace(grove, right=right, feature=feature, roots=roots)

    def never(*_):
        raise AssertionError("machine code ran")

    monkeypatch.setattr(grove_module, "_descended", never)
    monkeypatch.setattr(grove_module, "answered", lambda trees, x: np.zeros((len(x), 1)))
    monkeypatch.setattr(grove_module, "_slice", lambda *_: grove)
    monkeypatch.setattr(grove_module, "ready", object)
    reach(astray, np.zeros((3, 20), np.float32))
    with pytest.raises(AssertionError, match="machine code ran"):
        reach(grove, np.zeros((3, 20), np.float32))


def test_a_leaf_for_a_split_takes_all_below_it(random_trees, around):
    grove = Grove.of(random_trees(1))
    root = int(grove.roots[np.argmax(grove.left[grove.roots] >= 0)])
    value = grove.value.copy()
    value[root] = 7.0
    leaf = np.arange(len(grove.feature)) == root
    cut, place = replace(grove, value=value).rebuilt(leaf=leaf)
    assert cut.left[place[root]] == -1
    assert (cut.value[place[root]] == 7.0).all()
    assert len(cut.feature) == len(grove.feature) - np.sum(grove.tree == grove.tree[root]) + 1


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("keep_one", [True, False])
def test_folding_changes_no_answer_in_onnxruntime_either(
    random_trees, around, run, as_graph, width, keep_one
):
    trees = random_trees(3, width=width)
    grove = Grove.of(trees)
    ended = grove.left >= 0
    if keep_one:
        ended &= grove.tree != grove.tree[np.flatnonzero(grove.left >= 0)[0]]
    value = np.where(ended[:, None], 2.0, grove.value)
    cut, _ = replace(grove, value=value).rebuilt(leaf=ended)
    folded, keep = cut.folded()
    assert len(folded.roots) == keep.sum() < len(cut.roots)
    x = around(trees)
    expected = cut.ensemble().margins(x)
    # Values are whole and the base halves: float32 sums are exact.
    assert np.array_equal(folded.ensemble().margins(x), expected)
    assert np.array_equal(run(as_graph(folded.ensemble()), x), expected)


def test_heights_count_splits_on_the_longest_way(random_trees):
    grove = Grove.of(random_trees(2))
    height = heights(grove)
    splits = grove.left >= 0
    assert (height[~splits] == 0).all()
    below = np.maximum(height[grove.left[splits]], height[grove.right[splits]])
    assert np.array_equal(height[splits], below + 1)


@pytest.mark.parametrize("width", [1, 2])
def test_how_large_a_table_of_values_is_is_known_before_it_is_laid_out(random_trees, width):
    trees = random_trees(2, width=width)
    assert cells(trees) == Grove.of(trees).value.size
    # Each tree adds to one output: a column is enough.
    owner = np.searchsorted(trees.roots, trees.leaf, side="right") - 1
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    single = replace(
        trees,
        leaf=trees.leaf[first],
        output=np.arange(len(first)) % width,
        value=trees.value[first],
    )
    assert cells(single) == Grove.of(single).value.size == len(trees.feature)
