from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from raymm.artifacts import Column, Dataset, Fold, Schema
from raymm.bundle.pipeline import Bench, family_config, fit
from raymm.errors import ConfigError, SearchError
from raymm.plugins import families


def test_a_family_gets_its_own_keys_without_their_prefix():
    config = {"family": "tiny_for_tests", "tiny_for_tests.a": 1, "lightgbm.a": 2, "free": 3}
    family, own = family_config(config)
    assert isinstance(family, families.get("tiny_for_tests"))
    assert own == {"a": 1}


@pytest.mark.parametrize(
    ("config", "rule"), [({}, 'must name its "family"'), ({"family": "tiny_for_test"}, "mean")]
)
def test_a_family_must_be_named_and_known(config, rule):
    with pytest.raises(ConfigError, match=rule):
        family_config(config)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_predictions_have_the_shape_of_the_task_and_learn(task, make_dataset):
    dataset = make_dataset(task)
    config = {"family": "tiny_for_tests"}
    pipeline = fit(dataset, dataset.train, config, rounds=1, seed=0, threads=1)
    predictions = pipeline.predict(dataset.rows(dataset.test))
    truth = dataset.y[dataset.test]
    assert predictions.dtype == np.float64
    if task == "regression":
        assert predictions.shape == truth.shape
        assert np.corrcoef(predictions, truth)[0, 1] > 0.8
    else:
        assert predictions.shape == (len(truth), len(dataset.schema.classes))
        np.testing.assert_allclose(predictions.sum(axis=1), 1, atol=1e-9)
        # Chance is one in the number of classes.
        right = np.mean(predictions.argmax(axis=1) == truth)
        assert right > 1.5 / len(dataset.schema.classes)


def test_rows_outside_the_training_rows_change_nothing(make_dataset):
    first, second = make_dataset("binary", rows=200), make_dataset("binary", rows=200)
    for name, values in second.tensors.items():
        values[second.test] = values[0]
        assert values is second.tensors[name]
    made = [
        fit(d, d.train, {"family": "tiny_for_tests"}, rounds=1, seed=0, threads=1)
        for d in (first, second)
    ]
    rows = first.rows(first.test)
    np.testing.assert_array_equal(made[0].predict(rows), made[1].predict(rows))


@pytest.mark.parametrize("how", ["raises", "predicts"])
def test_what_grows_beyond_all_bounds_is_trained_with_another_seed(how, make_dataset, monkeypatch):
    kind, seeds, bad = families.get("tiny_for_tests"), [], {0}
    plain, told = kind.fit, kind.predict

    def fitted(self, config, train, given):
        seeds.append(given.seed)
        if how == "raises" and len(seeds) - 1 in bad:
            raise ValueError("Solver produced non-finite parameter weights.")
        return plain(self, config, train, given)

    def predicted(self, model, x, *more):
        made = told(self, model, x, *more)
        return made * np.nan if how == "predicts" and len(seeds) - 1 in bad else made

    monkeypatch.setattr(kind, "fit", fitted)
    monkeypatch.setattr(kind, "predict", predicted)
    dataset = make_dataset("binary")

    def run():
        given = {"family": "tiny_for_tests"}
        return fit(dataset, dataset.train, given, rounds=1, seed=0, threads=1)

    assert np.isfinite(run().predict(dataset.rows(dataset.test))).all()
    assert len(set(seeds)) == len(seeds) == 2
    seeds.clear()
    bad.update({1, 2})
    with pytest.raises(SearchError, match=r"non-finite|bounds"):
        run()
    assert len(seeds) == 3


def test_another_error_is_raised_at_once(make_dataset, monkeypatch):
    calls = []

    def fitted(self, config, train, given):
        calls.append(given.seed)
        raise ValueError("boom")

    monkeypatch.setattr(families.get("tiny_for_tests"), "fit", fitted)
    dataset = make_dataset("binary")
    given = {"family": "tiny_for_tests"}
    with pytest.raises(ValueError, match="boom"):
        fit(dataset, dataset.train, given, rounds=1, seed=0, threads=1)
    assert len(calls) == 1


def levels_of(rows, levels):
    """A category of so many levels, of which all rows but the last tenth are for training."""
    words = np.array([f"w{k % levels}" for k in range(rows)], dtype=object)
    train, test = np.arange(rows * 9 // 10), np.arange(rows * 9 // 10, rows)
    cut = len(train) * 4 // 5
    return Dataset(
        tensors={"word": words, "number": np.arange(rows, dtype=np.float32)},
        y=(np.arange(rows) // levels + np.arange(rows) % 3) % 2,
        frame=pd.DataFrame({"word": words}),
        schema=Schema(
            columns=(Column(name="word", kind="category"), Column(name="number", kind="number")),
            target="y",
            task="binary",
            classes=("no", "yes"),
        ),
        train=train,
        test=test,
        folds=(Fold(train=train[:cut], valid=train[cut:]),),
        sha256="0" * 64,
        source="words.csv",
    )


@pytest.mark.parametrize("encoding", ["ordinal", "dense"])
def test_folds_and_the_final_model_make_a_category_into_the_same(encoding):
    # 25 levels: 5,400 training rows are enough for their order, the 4,320 of the fold are not.
    dataset = levels_of(6000, 25)
    fold, whole = Bench(dataset, dataset.folds[0].train), Bench(dataset, dataset.train)
    made = [type(bench.features(encoding)[0].transforms[0]) for bench in (fold, whole)]
    assert made[0] is made[1]
    assert "target" not in made[0].name
