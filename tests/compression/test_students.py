from __future__ import annotations

import numpy as np
import pytest

from raymm.compression import students
from raymm.compression.compressor import Rows
from raymm.compression.students import student
from raymm.compression.teaching import labels_alone, lesson_of
from raymm.evaluation.metrics import metric_for
from raymm.models.family import Fitting
from raymm.models.heads import Head

SIZES = ({"rounds": 20, "leaves": 6}, {"units": 8})
TASKS = ("binary", "multiclass", "regression")


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("size", SIZES)
def test_a_student_learns_and_is_the_same_each_time(dataset, task, size):
    data = dataset(task)
    rows = Rows(tensors=data.rows(data.train), y=data.y[data.train], metric=None)
    lesson = labels_alone(data.schema, rows)
    first, second = (student(data.schema, lesson, size, seed=1) for _ in range(2))
    tensors, y = data.rows(data.test), data.y[data.test]
    said = first.predict(tensors)
    assert said.tolist() == second.predict(tensors).tolist()
    metric = metric_for("r2" if task == "regression" else "accuracy", task)
    # A constant has 0, and at most half of the rows are of one class.
    assert metric(y, said) > (0.3 if task == "regression" else 0.6)
    if task != "regression":
        assert said.sum(axis=1) == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_soft_labels_are_what_a_student_comes_near_to(dataset, trained, size):
    data = dataset("multiclass")
    bundle, _ = trained(data, rounds=20)
    rows = Rows(tensors=data.rows(data.train), y=data.y[data.train], metric=None)
    even = np.full((len(rows.y), 3), 1 / 3)
    lesson = lesson_of(bundle, rows)
    flat = type(lesson)(
        tensors=lesson.tensors,
        y=lesson.y,
        target=even,
        made=lesson.made,
        made_target=np.full_like(lesson.made_target, 1 / 3),
    )
    said = student(data.schema, flat, size, seed=0).predict(rows.tensors)
    assert np.abs(said - 1 / 3).max() < 0.05


@pytest.mark.slow
def test_a_network_learns_with_noise_where_that_is_better_on_rows_it_was_not_trained_on(
    monkeypatch,
):
    """A label that most of many columns tell gains by noise; one by an exact place does not."""
    generator = np.random.default_rng(0)
    drawn = []
    trained = students._trained

    def noted(x, wanted, link, how, seed):
        drawn.append(how[1])
        return trained(x, wanted, link, how, seed)

    monkeypatch.setattr(students, "_trained", noted)
    head = Head.fit(Fitting(task="binary", classes=2, seed=0), np.arange(2))
    chosen = {}
    for name, rows, columns in (("vague", 240, 60), ("exact", 3000, 2)):
        x = generator.normal(size=(rows, columns)).astype(np.float32)
        signal = x.sum(axis=1) + 4 * generator.normal(size=rows) if name == "vague" else x[:, 0]
        y = signal > 0 if name == "vague" else np.abs(signal % 1 - 0.5) < 0.25
        students._network(x, y[:, None].astype(np.float64), head, 16, rows, 0)
        chosen[name] = drawn[-1]
    assert drawn[:2] == list(students.NOISES)
    assert chosen == {"vague": max(students.NOISES), "exact": 0.0}


def test_a_network_learns_from_three_rows_without_noise():
    head = Head.fit(Fitting(task="binary", classes=2, seed=0), np.arange(2))
    x = np.array([[0.0], [1.0], [2.0]], np.float32)
    made = students._network(x, np.array([[0.0], [0.0], [1.0]]), head, 4, 3, 0)
    assert np.isfinite(made.mean[0][0]).all()
