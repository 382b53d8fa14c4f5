"""Linear models of other exporters are read as the sums that onnxruntime answers by."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import helper
from sklearn.linear_model import LinearRegression, LogisticRegression

from raymm.errors import BundleError
from raymm.foreign.ensembles import SIGMOIDS
from raymm.foreign.linear import is_linear, read
from raymm.foreign.rewriting import rewrite

RANDOM = np.random.default_rng(0)
X = (RANDOM.normal(size=(400, 5)) * [1, 10, 0.1, 1, 1]).astype(np.float32)
SIGNAL = X[:, 0] + 0.1 * X[:, 1] - 3 * X[:, 2] + 0.2 * RANDOM.normal(size=len(X))
TWO, THREE = (SIGNAL > 0).astype(int), np.digitize(SIGNAL, [-0.5, 0.5])


def answers(model, x=X):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(["probabilities"], {"rows": x})[0]


def classifier(coefficients, intercepts, labels, link):
    return helper.make_node(
        "LinearClassifier", ["rows"], ["label", "probabilities"], domain="ai.onnx.ml",
        coefficients=coefficients, intercepts=intercepts, post_transform=link,
        classlabels_ints=list(range(labels)),
    )  # fmt: skip


@pytest.mark.parametrize("labels", [TWO, THREE])
def test_classifiers_answer_as_scikit_learn_does(exported, labels):
    model = LogisticRegression(max_iter=1000).fit(X, labels)
    node = exported.linear(model)
    graph = exported.graph(node, 5, len(model.classes_))
    found = rewrite(graph, "probabilities")
    two = labels is TWO
    assert (found.count, found.columns, found.refused) == (1, 2 if two else 0, ())
    assert read(node).outputs == (1 if two else 3)
    assert not any(is_linear(one) for one in found.model.graph.node)
    assert np.allclose(answers(found.model), model.predict_proba(X), atol=1e-5)
    assert np.allclose(answers(found.model, 9 * X), answers(graph, 9 * X), atol=1e-5)


def test_regressors_answer_as_scikit_learn_does(exported):
    model = LinearRegression().fit(X, 100 + SIGNAL)
    found = rewrite(exported.graph(exported.linear(model, target=True), 5, 1), "probabilities")
    assert (found.count, found.columns) == (1, 1)
    assert np.allclose(answers(found.model)[:, 0], model.predict(X), rtol=1e-5)


@pytest.mark.parametrize(
    ("coefficients", "intercepts", "link"),
    [([0.5, -1.0], [0.3], "LOGISTIC"), ([0.5, -1.0, -0.5, 1.0], [-0.3, 0.3], "LOGISTIC")],
)
def test_two_classes_may_have_a_single_sum(exported, coefficients, intercepts, link):
    node = classifier(coefficients, intercepts, 2, link)
    assert (read(node).outputs, read(node).link) == (1, SIGMOIDS)
    graph = exported.graph(node, 2, 2)
    found = rewrite(graph, "probabilities")
    assert found.count == 1
    assert np.allclose(answers(found.model, X[:, :2]), answers(graph, X[:, :2]), atol=1e-6)


@pytest.mark.parametrize("link", ["NONE", "SOFTMAX", "LOGISTIC"])
def test_regressors_of_several_targets_have_what_follows(exported, link):
    node = helper.make_node(
        "LinearRegressor", ["rows"], ["probabilities"], domain="ai.onnx.ml", targets=3,
        coefficients=[0.5, -1.0, 0.2, 3.0, 1.0, 1.0], intercepts=[0.1, 0.2, 0.3],
        post_transform=link,
    )  # fmt: skip
    graph = exported.graph(node, 2, 3)
    found = rewrite(graph, "probabilities")
    assert (found.count, found.refused) == (1, ())
    assert np.allclose(answers(found.model, X[:, :2]), answers(graph, X[:, :2]), atol=1e-5)


def test_scores_stay_scores(exported):
    graph = exported.graph(classifier([0.5, -1.0, 0.2, 3.0, 1.0, 1.0], [0.0] * 3, 3, "NONE"), 2, 3)
    found = rewrite(graph, "probabilities")
    assert (found.count, found.columns) == (1, 0)
    assert np.allclose(answers(found.model, X[:, :2]), answers(graph, X[:, :2]), rtol=1e-5)


@pytest.mark.parametrize(
    ("node", "told"),
    [
        (classifier([0.5] * 6, [0.0] * 3, 3, "LOGISTIC"), "each class from all others"),
        (classifier([0.5] * 4, [0.0] * 2, 2, "LOGISTIC"), "each class from all others"),
        (classifier([0.5] * 2, [0.0], 2, "NONE"), "no LOGISTIC"),
        (classifier([0.5] * 2, [0.0], 2, "PROBIT"), "post_transform PROBIT"),
        (classifier([0.5] * 5, [0.0] * 2, 2, "SOFTMAX"), "5 coefficients and 2 intercepts"),
    ],
)
def test_what_raymm_has_no_form_of_is_told(node, told):
    with pytest.raises(BundleError, match=told):
        read(node)


def test_another_answer_is_told(exported, monkeypatch):
    from raymm.foreign import linear

    true = linear.read

    def wrong(node):
        found = true(node)
        found.matrix[0] += 0.001
        return found

    model = LogisticRegression().fit(X, TWO)
    graph = exported.graph(exported.linear(model), 5, 2)
    monkeypatch.setattr(linear, "read", wrong)
    found = rewrite(graph, "probabilities")
    assert found.count == 0
    assert "answers hard rows" in found.refused[0]
