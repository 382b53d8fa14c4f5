from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymm.bundle.run import Runner
from raymm.compression import lessons
from raymm.compression.compressor import Rows
from raymm.compression.grove import Grove
from raymm.compression.lessons import lesson_of
from raymm.compression.units import units
from raymm.evaluation.metrics import metric_for


def lesson(bundle, data, joined=True):
    metric = metric_for("auto", data.schema.task)
    rows = Rows(tensors=data.rows(data.train), y=data.y[data.train], metric=metric)
    unit = units(bundle, joined=joined)[1][0]
    return lesson_of(unit, Grove.of(unit.trees), bundle, rows), rows


def test_of_many_trees_fewer_rows_are_looked_at(mix, monkeypatch):
    bundle, data = mix()
    whole, rows = lesson(bundle, data)
    assert whole.reached.shape[1] == whole.target.shape[1] == len(rows.y)
    monkeypatch.setattr(lessons, "CELLS", 6000)
    few, _ = lesson(bundle, data)
    count = 6000 // len(few.reached)
    assert few.reached.shape[1] == few.target.shape[1] == few.truth.shape[1] == count
    assert np.array_equal(few.target, whole.target[:, :count])


def test_beside_words_that_few_rows_share_no_truth_is_looked_at(mix, monkeypatch):
    bundle, data = mix()
    word = replace(bundle.schema.features[0], kind="category")
    columns = tuple(word if one.name == word.name else one for one in bundle.schema.columns)
    schema = replace(bundle.schema, columns=columns)
    rare = np.array(["a"] * 298 + ["b"] * 2)
    for values, known in ((rare, False), (np.full(300, "a"), True)):
        rows = Rows(tensors={word.name: values}, y=data.y[:300], metric=None)
        assert lessons._may_see(replace(bundle, schema=schema), rows) == known
    assert not lessons._may_see(
        replace(
            bundle,
            schema=replace(schema, columns=tuple(replace(one, kind="text") for one in columns)),
        ),
        rows,
    )


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_margins_at_the_truth_answer_the_truth(mix, task):
    """What is asked of margins as the truth is what makes the graph answer what rows are."""
    families = ("lightgbm", "xgboost", "linear") if task == "regression" else ("lightgbm",)
    bundle, data = mix(task, families, (0.5, 0.25, 0.25) if len(families) > 1 else (1.0,))
    told, rows = lesson(bundle, data)
    order = np.random.default_rng(rows.seed).permutation(len(rows.y))
    y = rows.y[order]
    if task == "binary":
        assert np.array_equal(told.truth[0], y)
        return
    answers = Runner(bundle).predict({k: v[order] for k, v in rows.tensors.items()})
    slope = np.polyfit(told.truth[0] - told.target[0], y - answers, 1)
    assert np.allclose(slope[0] * (told.truth[0] - told.target[0]), y - answers, atol=1e-2)


def test_in_a_mix_that_is_bent_no_truth_is_known(mix):
    bundle, data = mix("binary")
    assert lesson(bundle, data)[0].truth is None


def test_of_trees_that_read_many_columns_fewer_rows_are_looked_at(mix, monkeypatch):
    bundle, data = mix()
    made, rows = lesson(bundle, data)
    grove = made.whole
    monkeypatch.setattr(lessons, "CELLS", 100 * grove.outputs.size)
    assert lessons.sample(grove, rows) == 100
    place = int(np.argmax(grove.feature >= 0))
    feature = grove.feature.copy()
    feature[place] = 20 * grove.outputs.size - 1
    assert lessons.sample(replace(grove, feature=feature), rows) == 5


def test_of_several_outputs_more_rows_are_looked_at(mix, monkeypatch):
    bundle, data = mix("multiclass", ("lightgbm",), (1.0,))
    made, rows = lesson(bundle, data)
    monkeypatch.setattr(lessons, "CELLS", 100 * made.whole.outputs.size)
    assert lessons.sample(made.whole, rows) == 100 * lessons.SEVERAL
    alone = replace(made.whole, base=made.whole.base[:1])
    assert lessons.sample(alone, rows) == 100
