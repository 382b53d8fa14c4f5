from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymm.artifacts import Column, Schema
from raymm.compression import grove as grove_module
from raymm.compression import lessons, parsed
from raymm.compression import seen as module
from raymm.compression.collapse import collapsed
from raymm.compression.compressor import Rows
from raymm.compression.grove import Grove, reach
from raymm.compression.lessons import lesson_of
from raymm.compression.prune import Prune
from raymm.compression.quantize import Quantize
from raymm.compression.seen import Seen, plain_columns, seen
from raymm.compression.tap import tapped, tree_nodes
from raymm.compression.units import units
from raymm.errors import BundleError
from raymm.models import trees
from raymm.models.sets import MARK, Sets, announce
from raymm.onnx_builder import FLOAT, GraphBuilder

NAMES = ("number", "day", "place")
WORDS = np.random.default_rng(0).integers(1, 2**32, (20, 2)).tolist()


@pytest.fixture
def bundle(random_trees, trained, dataset):
    """60 trees of a number, of 20 sets of 64 days and of 5 sets of 32 places."""
    builder = GraphBuilder()
    columns = [builder.input(name, FLOAT) for name in NAMES]
    features = builder.node("Concat", columns, axis=1)
    sets = Sets(3, (1, 2))
    names = [0, *(sets.column(3, words) for words in WORDS)]
    names += [sets.column(4, words[:1]) for words in WORDS[:5]]
    whole = announce(builder, features, sets)
    made = random_trees(3, count=60, features=26, width=1)
    feature = np.where(made.feature < 0, -1, np.append(names, -1)[made.feature])
    bound = np.where(feature > 0, np.float32(0.5), made.threshold)
    made = replace(made, feature=whole.placed(feature, sets), threshold=bound)
    out = builder.node("Identity", [made.to_onnx(builder, features)])
    model = builder.model([(out, "prediction", FLOAT, ["n", 1])])
    held = tuple(Column(name=name, kind="number") for name in NAMES)
    target = Column(name="y", kind="number", role="target")
    schema = Schema(columns=(*held, target), target="y", task="regression", classes=())
    other, _ = trained(dataset("regression"), rounds=1)
    return replace(other, graph=model.SerializeToString(), schema=schema)


@pytest.fixture
def rows():
    random = np.random.default_rng(1)
    made = {name: random.integers(-2, 70, 700).astype(np.float32) for name in NAMES}
    made["number"] = random.uniform(-1, 6, 700).astype(np.float32)
    for values in made.values():
        values[::23] = np.nan
    return made


def test_what_is_looked_up_is_what_the_graph_makes(bundle, rows):
    tensor = tree_nodes(bundle)[1][0].input[0]
    found, whole = seen(bundle, tensor, rows), tapped(bundle, tensor, rows)
    assert (found.plain.shape, len(found), found.width) == ((700, 3), 700, 28)
    assert plain_columns(bundle, tensor) == 3
    assert [one.count for one in found.sets] == [20, 5]
    assert np.array_equal(found.columns(slice(5, 90)), whole[5:90], equal_nan=True)
    for place in range(28):
        assert np.array_equal(found.column(place), whole[:, place], equal_nan=True)
    assert whole[:, 3:].any(axis=0).all()
    with pytest.raises(IndexError, match="28 columns"):
        found.column(28)


@pytest.mark.parametrize("numba", [True, False])
def test_rows_reach_the_leaves_that_they_reach_with_all_columns(bundle, rows, monkeypatch, numba):
    if not numba:
        monkeypatch.setattr(grove_module, "ready", lambda: None)
        monkeypatch.setattr(grove_module, "_CELLS", 28 * 99)
    node = tree_nodes(bundle)[1][0]
    grove = Grove.of(trees.TreeEnsemble.from_node(node))
    found = reach(grove, seen(bundle, node.input[0], rows))
    assert np.array_equal(found, reach(grove, tapped(bundle, node.input[0], rows)))
    assert len(np.unique(found)) > 100


@pytest.mark.parametrize("bound", [-1.0, 1.0, 64.0])
def test_thresholds_that_do_not_tell_a_set_from_its_rest_are_compared(bundle, rows, bound):
    node = tree_nodes(bundle)[1][0]
    grove = Grove.of(trees.TreeEnsemble.from_node(node))
    threshold = np.where(grove.feature >= 3, np.float32(bound), grove.threshold)
    grove = replace(grove, threshold=threshold)
    found = reach(grove, seen(bundle, node.input[0], rows))
    assert np.array_equal(found, reach(grove, tapped(bundle, node.input[0], rows)))


def test_tensors_without_sets_are_read_as_they_are(mix):
    bundle, data = mix()
    tensor = tree_nodes(bundle)[1][0].input[0]
    found = seen(bundle, tensor, data.rows(data.test))
    assert not found.sets
    assert plain_columns(bundle, tensor) is None
    assert np.array_equal(found.plain, tapped(bundle, tensor, data.rows(data.test)))


def test_sets_that_are_laid_out_otherwise_are_read_as_numbers(bundle, rows, monkeypatch):
    tensor = tree_nodes(bundle)[1][0].input[0]
    whole = tapped(bundle, tensor, rows)
    part = module.part_of
    swapped = lambda *given: replace(part(*given), places=part(*given).places[::-1])  # noqa: E731
    monkeypatch.setattr(module, "part_of", swapped)
    found = seen(bundle, tensor, rows)
    assert not found.sets
    assert np.array_equal(found.plain, whole, equal_nan=True)


def test_categories_that_there_are_not_are_refused(bundle, rows, monkeypatch):
    tensor = tree_nodes(bundle)[1][0].input[0]
    read = tapped
    beyond = lambda held, name, given: read(held, name, given) + (name != tensor)  # noqa: E731
    monkeypatch.setattr(module, "tapped", beyond)
    with pytest.raises(BundleError, match="in the table of its sets"):
        seen(bundle, tensor, rows)


def test_a_category_below_none_is_counted_from_the_end(bundle, rows, monkeypatch):
    tensor = tree_nodes(bundle)[1][0].input[0]
    whole, read = tapped(bundle, tensor, rows), tapped

    def below(held, name, given):
        made = read(held, name, given)
        # The last row of a table is that of rows without a category.
        return made if made.shape[1] > 1 else made - (made.max() + 1)

    monkeypatch.setattr(module, "tapped", below)
    found = seen(bundle, tensor, rows)
    assert np.array_equal(found.columns(slice(None)), whole, equal_nan=True)


@pytest.mark.parametrize("harm", ["operator", "maker", "number"])
def test_marks_of_somebody_elses_are_read_as_numbers(bundle, rows, harm):
    model, (node,) = tree_nodes(bundle)
    tensor, whole = node.input[0], tapped(bundle, node.input[0], rows)
    joint = next(one for one in model.graph.node if tensor in one.output)
    if harm == "operator":
        cast = next(one for one in model.graph.node if joint.input[1] in one.output)
        cast.op_type = "CastLike"
        cast.input.append(joint.input[0])
        cast.ClearField("attribute")
    elif harm == "maker":
        joint.doc_string = f"{MARK}3"
        joint.input[1] = joint.input[0]
    else:
        joint.doc_string = f"{MARK}three"
    other = replace(bundle, graph=model.SerializeToString())
    assert plain_columns(other, tensor) is None
    found = seen(other, tensor, rows)
    assert not found.sets
    if harm != "maker":
        assert np.array_equal(found.plain, whole, equal_nan=True)


def test_pruning_looks_at_as_many_rows_as_the_columns_that_are_no_sets_allow(
    bundle, rows, monkeypatch
):
    given = Rows(tensors=rows, y=np.zeros(700), metric=None)
    unit = units(bundle, joined=True)[1][0]
    whole = Grove.of(unit.trees)
    monkeypatch.setattr(lessons, "CELLS", 60 * 700)
    assert lesson_of(unit, whole, bundle, given).reached.shape == (60, 700)
    monkeypatch.setattr(lessons, "plain_columns", lambda *_: 600)
    assert lesson_of(unit, whole, bundle, given).reached.shape == (60, 70)


def test_a_set_costs_what_telling_its_categories_does_shared_by_its_splits(bundle, rows):
    given = Rows(tensors=rows, y=np.zeros(700), metric=None)
    unit = units(bundle, joined=True)[1][0]
    whole = Grove.of(unit.trees)
    costs = lesson_of(unit, whole, bundle, given).costs
    assert costs[:3].tolist() == [1, 1, 1]
    sets = [sum(int(word).bit_count() for word in words) for words in WORDS]
    for column, members in enumerate(sets, start=3):
        uses = max(1, int(np.sum(whole.feature == column)))
        # The categories of a table, and one more for all others.
        table = module.seen(bundle, tree_nodes(bundle)[1][0].input[0], rows).sets[0].table
        ways = float(np.prod([(len(table) - k) / (k + 1) for k in range(members)]))
        assert np.isclose(costs[column], 1 + np.log2(ways) / lessons.SPLIT_BITS / uses)


def test_dear_splits_go_before_cheap_ones_that_change_as_much(bundle, rows):
    node = tree_nodes(bundle)[1][0]
    grove = Grove.of(trees.TreeEnsemble.from_node(node))
    reached = reach(grove, seen(bundle, node.input[0], rows))
    weight, nodes = np.ones((1, 700)), len(grove.feature) // 3
    plain, _ = collapsed(grove, reached, weight, nodes)
    dear = np.where(np.arange(28) == 7, 50.0, 1.0)
    other, _ = collapsed(grove, reached, weight, nodes, dear)
    assert (plain.feature == 7).any()
    assert not (other.feature == 7).any()
    same, _ = collapsed(grove, reached, weight, nodes, np.ones(28))
    assert np.array_equal(same.feature, plain.feature)


def test_pruned_and_rounded_trees_of_sets_agree_with_their_reference(bundle, rows):
    given = Rows(tensors=rows, y=np.zeros(700), metric=None)
    pruned = Prune().apply(bundle, {"size": 0.5}, given)
    made = Quantize().apply(pruned, {"bits": 8, "thresholds": 5}, given)
    parsed.forget()
    node = tree_nodes(made)[1][0]
    held = trees.TreeEnsemble.from_node(node)
    x = tapped(made, node.input[0], rows)
    assert np.allclose(tapped(made, node.output[0], rows), held.margins(x), atol=1e-4)
    assert 0 < len(held.feature) < len(units(bundle, joined=True)[1][0].trees.feature)


def test_seen_of_numbers_alone_has_no_members():
    category, members, first, of = Seen(np.zeros((4, 2), np.float32)).members()
    assert category.shape == (4, 0)
    assert members.size == first.size == of.size == 0
