import numpy as np
import onnxruntime
import pytest

from raymm.compression import unread_sets
from raymm.compression.tap import ensemble_of
from raymm.models import trees
from raymm.models.sets import Sets, announce
from raymm.onnx_builder import FLOAT, GraphBuilder

WORDS = np.random.default_rng(0).integers(1, 2**32, (20, 1)).tolist()


def stump(feature, threshold, values):
    blank = np.array([0, 0, 0])
    return trees.Tree(
        feature=np.array([feature, -1, -1]),
        threshold=np.array([threshold, 0, 0], np.float32),
        missing_left=blank,
        left=np.array([1, -1, -1]),
        right=np.array([2, -1, -1]),
        value=np.array([[0], *([value] for value in values)], np.float32),
    )


@pytest.fixture
def model():
    """Two ensembles that read a number and 12 of 20 sets of one feature, and 3 of another's."""
    builder = GraphBuilder()
    columns = [builder.input(f"f{place}", FLOAT) for place in range(3)]
    features = builder.node("Concat", columns, axis=1)
    sets = Sets(3, (1, 2))
    names = [sets.column(3, words) for words in WORDS] + [sets.column(4, w) for w in WORDS[:5]]
    whole = announce(builder, features, sets)
    outs = []
    for picked in (names[:12:2] + names[20:23], names[1:12]):
        stumps = [stump(0, 0.5, (1, 2))]
        stumps += [stump(name, 0.5, (0, 2.0**-k)) for k, name in enumerate(picked)]
        made = trees.join(stumps, np.zeros(1))
        made = trees.replace(made, feature=whole.placed(made.feature, sets))
        outs.append(made.to_onnx(builder, features))
    out = builder.node("Concat", outs, axis=1)
    return builder.model([(out, "out", FLOAT, ["n", 2])])


def answers(model, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {f"f{k}": x[:, k : k + 1] for k in range(3)})[0]


def nodes(model, kind):
    return [node for node in model.graph.node if node.op_type == kind]


def test_sets_that_no_tree_reads_go_and_no_answer_changes(model):
    x = np.random.default_rng(1).integers(-1, 34, (400, 3)).astype(np.float32)
    x[::7] = np.nan
    before, size = answers(model, x), model.ByteSize()
    unread_sets.drop(model)
    assert (answers(model, x) == before).all()
    assert model.ByteSize() < size
    masks = [node.input[1] for node in nodes(model, "BitwiseAnd")]
    widths = {one.name: one.dims[1] for one in model.graph.initializer if one.name in masks}
    assert [widths[name] for name in masks] == [12, 3]
    once = model.SerializeToString()
    unread_sets.drop(model)
    assert model.SerializeToString() == once


def test_without_any_set_the_trees_read_the_features(model):
    for node in nodes(model, trees.OPERATOR):
        held = ensemble_of(node)
        feature = np.where(held.feature > 0, 0, held.feature)
        node.CopyFrom(trees.replace(held, feature=feature).to_node(node))
    x = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    before = answers(model, x)
    unread_sets.drop(model)
    assert (answers(model, x) == before).all()
    assert {node.op_type for node in model.graph.node} == {"Concat", trees.OPERATOR, "Identity"}
    assert not model.graph.initializer


def test_a_set_that_moves_to_another_bit_is_compared_with_its_new_number(model):
    # As coarser thresholds may have left them: anything between 0 and the column's number.
    for node in nodes(model, trees.OPERATOR):
        held = ensemble_of(node)
        feature = np.where(held.feature < 3, held.feature, held.feature.max() // 2)
        kept = trees.replace(held, feature=np.where(feature >= 3, 10, feature))
        bound = np.where(kept.feature >= 3, np.float32(64), kept.threshold)
        node.CopyFrom(trees.replace(kept, threshold=bound).to_node(node))
    x = np.random.default_rng(1).integers(-1, 34, (400, 3)).astype(np.float32)
    before = answers(model, x)
    unread_sets.drop(model)
    assert len(np.unique(before)) > 2
    assert (answers(model, x) == before).all()


def test_sets_that_nothing_reads_are_left_for_others_to_take_out(model):
    for node in nodes(model, trees.OPERATOR):
        node.input[0] = nodes(model, "Concat")[0].output[0]
    unread_sets.drop(model)
    assert not nodes(model, "BitwiseAnd")
