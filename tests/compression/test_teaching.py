from __future__ import annotations

import numpy as np
import pytest

from raymm.artifacts import Column, Schema
from raymm.bundle.run import Runner
from raymm.compression import teaching
from raymm.compression.compressor import Rows
from raymm.compression.teaching import SOFT, labels_alone, lesson_of, mixtures


def rows_of(data, **how):
    return Rows(tensors=data.rows(data.train), y=data.y[data.train], metric=None, **how)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_soft_and_true_labels_are_mixed_and_made_rows_labelled_by_the_bundle(
    dataset, trained, task
):
    data = dataset(task)
    bundle, _ = trained(data, rounds=5)
    rows = rows_of(data)
    lesson = lesson_of(bundle, rows)
    said = Runner(bundle).predict(rows.tensors).reshape(len(rows.y), -1)
    true = labels_alone(bundle.schema, rows).target
    assert lesson.target == pytest.approx(SOFT * said + (1 - SOFT) * true, rel=1e-6)
    if task != "regression":
        assert true.argmax(axis=1).tolist() == rows.y.tolist()
    made = Runner(bundle).predict(lesson.made)
    assert lesson.made_target.ravel() == pytest.approx(made.ravel())
    assert len(lesson.made_target) == teaching.MADE * len(rows.y)


def test_soft_labels_are_those_of_models_that_did_not_see_the_rows(dataset, trained):
    data = dataset("regression")
    bundle, _ = trained(data, rounds=5)
    asked = []

    def soft(lineage, chosen):
        asked.append((lineage, chosen))
        return np.full(len(chosen), 7.0)

    rows = rows_of(data, soft=soft)
    lesson = lesson_of(bundle, rows)
    ((lineage, chosen),) = asked
    assert lineage is bundle.lineage
    assert chosen.tolist() == list(range(len(rows.y)))
    assert lesson.target[:, 0] == pytest.approx(SOFT * 7.0 + (1 - SOFT) * rows.y)


def test_what_is_a_step_above_1_is_no_target(dataset, trained, monkeypatch):
    data = dataset("binary")
    bundle, _ = trained(data, rounds=5)
    above = np.array([-1e-7, 1 + 1e-7])
    soft = lambda lineage, chosen: np.eye(2)[data.y[data.train]] * np.ptp(above) + above[0]  # noqa: E731
    monkeypatch.setattr(Runner, "predict", lambda self, made: np.tile(above, (len(made["f0"]), 1)))
    lesson = lesson_of(bundle, rows_of(data, soft=soft))
    for target in (lesson.target, lesson.made_target):
        assert (target.min(), target.max()) == (0.0, 1.0)


def test_no_more_rows_than_the_limit_are_learned_from(dataset, monkeypatch):
    data = dataset("binary")
    monkeypatch.setattr(teaching, "MOST_ROWS", 50)
    first, second = (labels_alone(data.schema, rows_of(data, seed=seed)) for seed in (0, 1))
    assert len(first.y) == len(second.y) == 50
    assert first.tensors["f0"].tolist() != second.tensors["f0"].tolist()


def test_made_rows_are_rows_with_some_values_of_rows_near_them():
    random = np.random.default_rng(0)
    tensors = {
        "a": random.normal(size=400).astype(np.float32),
        "word": np.array([f"w{k}" for k in range(400)], object),
    }
    # Two columns that say the same stay nearly the same where rows are near.
    tensors["b"] = tensors["a"] * 2
    tensors["a"][:3] = np.nan
    made = mixtures(tensors, np.random.default_rng(1), 1000)
    for name, values in tensors.items():
        assert {str(one) for one in made[name]} <= {str(one) for one in values}
    place = {word: row for row, word in enumerate(tensors["word"])}
    own = np.array([place[word] for word in made["word"]])
    other = ~np.isclose(made["b"], tensors["b"][own], equal_nan=True)
    # About a share of SWAPPED is swapped there, and as many where the word is; within five
    # standard deviations.
    assert abs(other.mean() - 2 * teaching.SWAPPED * (1 - teaching.SWAPPED)) < 0.07
    apart = np.abs(made["b"] - tensors["b"][own])[other]
    assert np.median(apart) < 0.3 * np.std(tensors["b"])


def test_one_row_can_only_be_repeated():
    made = mixtures({"a": np.array([3.0], np.float32)}, np.random.default_rng(0), 4)
    assert made["a"].tolist() == [3.0] * 4


def test_labels_of_a_class_that_no_row_has_have_a_place():
    schema = Schema(
        columns=(Column(name="a", kind="number"),), target="y", task="multiclass", classes="xyz"
    )
    rows = Rows(tensors={"a": np.zeros(2, np.float32)}, y=np.array([0, 2]), metric=None)
    assert labels_alone(schema, rows).target.tolist() == [[1, 0, 0], [0, 0, 1]]
