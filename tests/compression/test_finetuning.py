"""Students come closer to their teachers, and the same student comes out each time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import onnx
import pytest

from raymm.compression import finetuning
from raymm.compression.compressor import Rows
from raymm.compression.finetuning import Lesson, finetune, lesson_of, predicted
from raymm.compression.network import Layer, Network, networks
from raymm.evaluation.metrics import metric_for

METRICS = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "rmse"}
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(400, 5)).astype(np.float32)


def network(*widths, activation="Tanh", scale=1.0):
    random = np.random.default_rng(3)
    layers = tuple(
        Layer(
            matrix=(scale * random.normal(size=pair) / np.sqrt(pair[0])).astype(np.float32),
            bias=(0.1 * random.normal(size=pair[1])).astype(np.float32),
        )
        for pair in pairwise(widths)
    )
    bends = (activation,) * (len(layers) - 1)
    return Network(layers=layers, activations=bends, source="x", result="y")


@pytest.mark.parametrize("link", ["softmax", "values", "sigmoid"])
@pytest.mark.parametrize("activation", ["Relu", "Tanh", "Sigmoid"])
def test_gradients_are_those_of_the_loss(link, activation):
    """Central differences of a step of 1e-3 err by about 1e-6 of the third derivative."""
    made = network(5, 4, 3, activation=activation)
    x = X[:20].astype(np.float64)
    target = predicted(RANDOM.normal(size=(20, 3)), link)
    weights = [
        part.astype(np.float64) for layer in made.layers for part in (layer.matrix, layer.bias)
    ]

    def loss(parts):
        raw = replace(made, layers=finetuning._layers(parts)).hidden(x)[-1]
        if link == "values":
            return ((raw - target) ** 2).sum() / 2 / len(x)
        told = predicted(raw, link)
        entropy = target * np.log(told)
        if link == "sigmoid":
            entropy = entropy + (1 - target) * np.log(1 - told)
        return -entropy.sum() / len(x)

    slopes = finetuning._slopes(made, weights, x, target, link)
    for index, part in enumerate(weights):
        for place in [(0,) * part.ndim, tuple(side - 1 for side in part.shape)]:
            ends = []
            for step in (1e-3, -1e-3):
                moved = [one.copy() for one in weights]
                moved[index][place] += step
                ends.append(loss(moved))
            assert slopes[index][place] == pytest.approx((ends[0] - ends[1]) / 2e-3, abs=2e-5)


def test_a_student_comes_closer_to_its_teacher(monkeypatch):
    monkeypatch.setattr(finetuning, "MOST_STEPS", 300)
    teacher, student = network(5, 16, 2, scale=2.0), network(5, 8, 2)
    lesson = Lesson(teacher=teacher, x=X, labels=None, link="values", seed=0)
    done = finetune(student, lesson)
    told = teacher.hidden(X)[-1]
    before, after = (np.mean((one.hidden(X)[-1] - told) ** 2) for one in (student, done))
    assert after < before / 4
    again = finetune(student, lesson)
    for one, other in zip(done.layers, again.layers, strict=True):
        assert one.matrix.tobytes() == other.matrix.tobytes()


def test_columns_of_any_scale_are_learned_from(monkeypatch):
    """As a network of columns in thousands, far from 0, is told by its equal in plain columns."""
    monkeypatch.setattr(finetuning, "MOST_STEPS", 300)
    far = (X * 1000 + 3000).astype(np.float32)
    teacher, student = network(5, 16, 2, scale=2.0), network(5, 8, 2)
    losses = []
    for x in (X, far):
        lesson = Lesson(teacher=_moved(teacher, x), x=x, labels=None, link="values", seed=0)
        done = finetune(_moved(student, x), lesson)
        told = lesson.teacher.hidden(x)[-1]
        losses.append(np.mean((done.hidden(x)[-1] - told) ** 2))
    assert losses[1] < 2 * losses[0] + 1e-3


def _moved(made, x):
    """Return a network that says of ``x`` what ``made`` says of the same rows of `X`."""
    scale = np.float32(1) if x is X else np.float32(1000)
    shift = np.float32(0) if x is X else np.float32(3000)
    first, *others = made.layers
    matrix = first.matrix / scale
    bias = first.bias - shift * matrix.sum(axis=0)
    return replace(made, layers=(Layer(matrix=matrix, bias=bias), *others))


def test_masked_weights_stay_zero(monkeypatch):
    monkeypatch.setattr(finetuning, "MOST_STEPS", 160)
    teacher = network(5, 8, 2)
    masks = [np.random.default_rng(1).random(one.matrix.shape) < 0.4 for one in teacher.layers]
    start = tuple(
        replace(layer, matrix=layer.matrix * mask)
        for layer, mask in zip(teacher.layers, masks, strict=True)
    )
    lesson = Lesson(teacher=teacher, x=X, labels=None, link="values", seed=0)
    done = finetune(replace(teacher, layers=start), lesson, masks=masks)
    for layer, mask, old in zip(done.layers, masks, start, strict=True):
        assert not layer.matrix[~mask].any()
        assert not np.array_equal(layer.matrix, old.matrix)


def test_steps_shrink_as_networks_grow():
    small, large = network(5, 4, 2), network(400, 600, 2)
    few, most = finetuning.FEW_STEPS, finetuning.MOST_STEPS
    assert finetuning.steps(small, 10) == few < finetuning.steps(small, 4 * few + 40) < most
    assert finetuning.steps(small, 10**6) == most
    assert finetuning.FEWEST_STEPS <= finetuning.steps(large, 10**6) < few


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_labels_are_told_in_the_unit_of_the_network(dataset, trained, task):
    data = dataset(task)
    bundle, pipeline = trained(data, "mlp", rounds=5)
    (found,) = networks(onnx.ModelProto.FromString(bundle.graph))
    y = data.y[data.train]
    rows = Rows(tensors=data.rows(data.train), y=y, metric=metric_for(METRICS[task], task))
    lesson = lesson_of(bundle, found, rows, alone=True)
    if task == "regression":
        expected = pipeline.model.head.target(y)
        assert np.allclose(lesson.labels[:, 0], expected, atol=1e-3)
        assert lesson_of(bundle, found, rows, alone=False).labels is None
    elif task == "binary":
        assert np.array_equal(lesson.labels[:, 0], y)
    else:
        assert np.array_equal(lesson.labels.argmax(axis=1), y)


def test_no_label_is_learned_where_features_may_know_the_target(dataset, trained, monkeypatch):
    data = dataset("binary")
    bundle, _ = trained(data, "mlp", rounds=2)
    (found,) = networks(onnx.ModelProto.FromString(bundle.graph))
    metric = metric_for("roc_auc", "binary")
    rows = Rows(tensors=data.rows(data.train), y=data.y[data.train], metric=metric)
    assert lesson_of(bundle, found, rows, alone=True).labels is not None
    monkeypatch.setattr(finetuning, "PLAIN", frozenset({"datetime"}))
    lesson = lesson_of(bundle, found, rows, alone=True)
    assert (lesson.labels, lesson.link) == (None, "sigmoid")


def test_of_many_rows_some_are_learned_from(dataset, trained, monkeypatch):
    monkeypatch.setattr(finetuning, "MOST_ROWS", 50)
    data = dataset("binary")
    bundle, _ = trained(data, "mlp", rounds=2)
    (found,) = networks(onnx.ModelProto.FromString(bundle.graph))
    rows = Rows(
        tensors=data.rows(data.train),
        y=data.y[data.train],
        metric=metric_for("roc_auc", "binary"),
    )
    lesson = lesson_of(bundle, found, rows, alone=True)
    assert lesson.x.shape[0] == len(lesson.labels) == 50
    monkeypatch.setattr(finetuning, "MOST_CELLS", 30 * lesson.x.shape[1])
    assert len(lesson_of(bundle, found, rows, alone=True).x) == 30
