import numpy as np
import pytest

from raymm.models.sets import Sets, appended, gathered


def test_each_set_is_a_column_behind_the_features_of_its_feature(graph_of_features, run):
    sets = Sets(width=3, places=(2, 0))
    nodes = [sets.column(3, [0b1001]), sets.column(4, [1, 1]), sets.column(3, [0, 0b10])]
    assert sets.column(3, [0b1001]) == nodes[0]  # the same set is kept once
    features = np.array([0, *nodes, 2, -1])
    # Those of feature 0 stand before those of feature 2.
    assert sets.placed(features, sets).tolist() == [0, 4, 3, 5, 2, -1]
    tables = sets.tables()
    assert {place: table.shape for place, table in tables.items()} == {0: (34, 1), 2: (35, 1)}
    x = np.array(
        [[0, 9, 3], [32, 9, 33], [1, 9, 34], [-0.5, 9, 0.9], [np.nan, 9, -1], [3e9, 9, 3e38]],
        np.float32,
    )
    made = run(graph_of_features(sets.to_onnx, 3), x)
    assert np.array_equal(made[:, :3], x, equal_nan=True)
    assert (made[:, 3:] > 0).tolist() == [
        [1, 1, 0], [1, 0, 1], [0, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0],
    ]  # fmt: skip


def test_more_than_eight_sets_take_more_bytes(graph_of_features, run):
    sets = Sets(width=1, places=(0,))
    words = np.random.default_rng(0).integers(1, 2**32, (37, 3)).tolist()
    nodes = sets.placed(np.array([sets.column(1, held) for held in words]), sets)
    assert sets.tables()[0].shape == (97, 5)
    made = run(graph_of_features(sets.to_onnx, 1), np.arange(96, dtype=np.float32)[:, None])
    assert made.shape == (96, 38)
    inside = [[held[row // 32] >> row % 32 & 1 for held in words] for row in range(96)]
    assert ((made[:, nodes] > 0) == np.array(inside)).all()


def test_without_a_set_features_stay_as_they_are(graph_of_features, run):
    x = np.ones((2, 3), np.float32)
    assert run(graph_of_features(Sets(3, (1,)).to_onnx, 3), x).tolist() == x.tolist()


def test_appended_features_are_gathered_into_the_first_of_each():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert appended(x, (2, 0)).tolist() == [[0, 1, 2, 2, 0], [3, 4, 5, 5, 3]]
    assert appended(x, ()) is x
    shares = np.array([[1.0, 2, 3, 10, 20, 100]])
    assert gathered(shares, (2, 0)).tolist() == [[21, 2, 13, 100]]
    assert gathered(shares, ()) is shares


@pytest.fixture
def graph_of_features():
    """Return a graph that only makes features of columns f0, f1, …"""
    from raymm.onnx_builder import FLOAT, GraphBuilder

    def make(nodes, width):
        builder = GraphBuilder()
        columns = [builder.input(f"f{place}", FLOAT) for place in range(width)]
        out = nodes(builder, builder.node("Concat", columns, axis=1))
        return builder.model([(out, "out", FLOAT, ["n", "k"])]).SerializeToString()

    return make
