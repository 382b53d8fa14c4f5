"""Models of other exporters become raymm's, with the answers of scikit-learn and of the graph."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from scipy.special import logit
from sklearn.ensemble import (
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)

from raymm.foreign import ensembles
from raymm.foreign.rewriting import hard_rows, rewrite
from raymm.models.trees import FORMAT, TreeEnsemble

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(600, 4)).astype(np.float32)
SIGNAL = X[:, 0] + X[:, 1] * X[:, 2] + 0.3 * RANDOM.normal(size=len(X))
TWO, THREE = (SIGNAL > 0).astype(int), np.digitize(SIGNAL, [-0.5, 0.5])


def answers(model, x=X, result="probabilities"):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run([result], {"rows": x})[0]


def hard():
    x = np.concatenate([X[:200], RANDOM.choice(X.ravel(), (200, 4))])
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, 1e30, -1e30], np.float32)
    return np.where(RANDOM.random(x.shape) < 0.3, RANDOM.choice(odd, x.shape), x)


def forest(labels, **more):
    return RandomForestClassifier(20, random_state=0, **more).fit(X, labels)


def boosted(labels):
    return GradientBoostingClassifier(n_estimators=15, random_state=0).fit(X, labels)


def ours(model):
    return [node for node in model.graph.node if FORMAT in node.doc_string]


@pytest.mark.parametrize("labels", [TWO, THREE])
@pytest.mark.parametrize("kind", [forest, boosted])
def test_classifiers_answer_as_scikit_learn_does(exported, kind, labels):
    model = kind(labels)
    if kind is forest:
        node = exported.forest(model)
    else:
        shares = np.bincount(labels) / len(labels)
        base = [logit(shares[1])] if len(shares) == 2 else np.log(shares).tolist()
        node = exported.boosted(model, base)
    graph = exported.graph(node, 4, len(model.classes_))
    found = rewrite(graph, "probabilities")
    assert (found.count, found.refused) == (1, ())
    assert found.columns == (2 if labels is TWO else 0)
    assert len(ours(found.model)) == 1
    assert not any(one.op_type == "Cast" for one in found.model.graph.node)
    assert np.allclose(answers(found.model), model.predict_proba(X), atol=1e-6)
    x = hard()
    assert np.allclose(answers(found.model, x), answers(graph, x), atol=1e-6)
    trees = TreeEnsemble.from_node(ours(found.model)[0])
    assert trees.averaged == (kind is forest)
    assert trees.rounds == (20 if kind is forest else 15)
    assert len(trees.base) == (1 if labels is TWO else 3)


@pytest.mark.parametrize("how", [{"aggregate_function": "AVERAGE"}, {}])
def test_regressors_answer_as_scikit_learn_does(exported, how):
    model = RandomForestRegressor(20, random_state=0).fit(X, 100 + SIGNAL)
    trees = [one.tree_ for one in model.estimators_]
    part = exported.leaves(trees, 1.0 if how else 1 / 20)
    graph = exported.graph(exported.regressor(exported.attributes(trees), part, **how), 4, 1)
    found = rewrite(graph, "probabilities")
    assert (found.count, found.columns) == (1, 1)
    assert np.allclose(answers(found.model)[:, 0], model.predict(X), rtol=1e-6)
    x = hard()
    assert np.allclose(answers(found.model, x), answers(graph, x), rtol=1e-6)
    assert TreeEnsemble.from_node(ours(found.model)[0]).averaged


def test_missing_values_go_where_training_sent_them(exported):
    holes = np.where(RANDOM.random(X.shape) < 0.2, np.nan, X)
    model = RandomForestClassifier(10, random_state=0).fit(holes, TWO)
    found = rewrite(exported.graph(exported.forest(model), 4, 2), "probabilities")
    assert TreeEnsemble.from_node(ours(found.model)[0]).missing_left.any()
    assert np.allclose(answers(found.model, holes), model.predict_proba(holes), atol=1e-6)


def test_what_stands_before_and_behind_stays(exported):
    node = exported.forest(forest(THREE, max_depth=4))
    node.input[0] = "scaled"
    scaler = helper.make_node(
        "Scaler", ["rows"], ["scaled"], domain="ai.onnx.ml", offset=[0.1] * 4, scale=[2.0] * 4
    )
    behind = helper.make_node(
        "Normalizer", ["probabilities"], ["normal"], domain="ai.onnx.ml", norm="L1"
    )
    graph = exported.graph(node, 4, 3, before=[scaler], after=[behind])
    found = rewrite(graph, "normal")
    operators = [one.op_type for one in found.model.graph.node]
    assert operators == ["Scaler", "TreeEnsembleRegressor", "Normalizer"]
    assert (found.count, found.columns) == (1, 0)
    x = hard()
    assert np.allclose(answers(found.model, x, "normal"), answers(graph, x, "normal"), atol=1e-6)


def test_labels_that_are_read_are_told(exported):
    graph = exported.graph(exported.forest(forest(TWO, max_depth=2)), 4, 2)
    found = rewrite(graph, "output_label")
    assert found.count == 0
    assert found.refused == ("TreeEnsembleClassifier: the labels that it tells are read",)


def test_other_numbers_are_told(exported):
    node = exported.forest(forest(TWO, max_depth=2))
    node.input[0] = "wide"
    cast = helper.make_node("Cast", ["rows"], ["wide"], to=TensorProto.DOUBLE)
    found = rewrite(exported.graph(node, 4, 2, before=[cast]), "probabilities")
    assert found.refused == ("TreeEnsembleClassifier: it reads other numbers than float32",)


def test_categories_are_told(exported):
    node = exported.forest(forest(TWO, max_depth=2))
    graph = exported.graph(node, 4, 2)
    (modes,) = (one for one in graph.graph.node[0].attribute if one.name == "nodes_modes")
    modes.strings[:] = [one.replace(b"LEQ", b"EQ") for one in modes.strings]
    found = rewrite(graph, "probabilities")
    assert found.refused == ("TreeEnsembleClassifier: it compares by BRANCH_EQ",)
    assert np.array_equal(answers(found.model), answers(graph))


def test_another_answer_on_one_side_of_a_split_is_told(exported, monkeypatch):
    """A threshold one step of float32 away is found by the rows at thresholds."""
    true = ensembles.read

    def wrong(node):
        found = true(node)
        found.trees.threshold[0] = np.nextafter(found.trees.threshold[0], np.float32(np.inf))
        return found

    graph = exported.graph(exported.forest(forest(TWO, max_depth=1)), 4, 2)
    assert rewrite(graph, "probabilities").count == 1
    monkeypatch.setattr(ensembles, "read", wrong)
    found = rewrite(graph, "probabilities")
    assert found.count == 0
    assert "answers hard rows" in found.refused[0]


def test_given_models_and_constants_that_nothing_reads(exported):
    graph = exported.graph(exported.forest(forest(TWO, max_depth=2)), 4, 2)
    graph.graph.initializer.append(numpy_helper.from_array(np.ones(9, np.float32), "unread"))
    before = graph.SerializeToString()
    found = rewrite(graph, "probabilities")
    assert graph.SerializeToString() == before
    assert "unread" not in [one.name for one in found.model.graph.initializer]
    assert [one.name for one in found.model.graph.output] == ["probabilities"]


def test_hard_rows_stand_on_both_sides_of_each_threshold(exported):
    node = exported.forest(forest(TWO, max_depth=2))
    trees = ensembles.read(node).trees
    x = hard_rows(trees, np.random.default_rng(0))
    for column in np.unique(trees.feature[trees.feature >= 0]):
        for at in trees.threshold[trees.feature == column]:
            for side in (at, np.nextafter(at, np.float32(9)), np.nextafter(at, np.float32(-9))):
                assert (x[:, column] == side).any()
        assert np.isnan(x[:, column]).any()
        assert np.isinf(x[:, column]).any()
