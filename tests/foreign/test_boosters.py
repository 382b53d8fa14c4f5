"""Boosters of the libraries predict the same as bundles; what cannot be said is refused."""

from __future__ import annotations

import json
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost

from raymm.bundle.run import Runner
from raymm.data import ingest
from raymm.errors import BundleError
from raymm.foreign import boosters
from raymm.foreign.bundling import bundle_of, dataset_of
from raymm.foreign.reading import read


def taken_over(made):
    foreign = read(str(made.path))
    data, _ = dataset_of(foreign, ingest.read(str(made.csv)), "y", seed=0)
    bundle, _ = bundle_of(foreign, data)
    return foreign, data, bundle


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".txt", ".json", ".ubj"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_bundles_predict_what_the_library_does(make, task, suffix):
    made = make(task, suffix)
    foreign, data, bundle = taken_over(made)
    foreign.require_same(bundle, data)
    x = made.holdout.drop(columns="y").to_numpy(np.float32)
    booster = made.booster
    theirs = booster.predict(x) if suffix == ".txt" else booster.inplace_predict(x)
    ours = Runner(bundle).predict(data.tensors)
    ours = ours[:, 1] if task == "binary" else ours
    # Twenty float32 leaves a row; values near 50 have a step of 4e-6.
    assert np.allclose(ours, theirs, atol=1e-5 if task != "regression" else 1e-4)


@pytest.mark.parametrize(
    ("suffix", "more", "has"),
    [
        (".txt", {"objective": "poisson"}, "has the objective poisson"),
        (".txt", {"objective": "cross_entropy"}, "has the objective cross_entropy"),
        (".txt", {"linear_tree": True}, "has linear leaves"),
        (".txt", {"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1}, "averages"),
        (".txt", {"sigmoid": 2.0}, "has the sigmoid 2"),
        (".txt", {"objective": "regression", "reg_sqrt": True}, "predicts square roots"),
        (".json", {"objective": "count:poisson"}, "has the objective count:poisson"),
        (".json", {"booster": "dart", "rate_drop": 0.5}, "is made by booster=dart"),
        (".ubj", {"booster": "dart", "rate_drop": 0.5}, "is made by booster=dart"),
        (".json", {"booster": "gblinear", "max_depth": None}, "is made by booster=gblinear"),
    ],
)
def test_what_a_graph_cannot_say_is_refused(make, suffix, more, has):
    path = str(make("binary", suffix, **more).path)
    with pytest.raises(BundleError) as refused:
        read(path)
    said = str(refused.value)
    assert said.startswith(f"{path} must be a booster of plain trees")
    assert f"but it {has}" in said
    assert "raymm run TABLE --target COLUMN" in said
    assert ("onnxmltools" in said) == ("poisson" in has)


def test_weights_of_trees_are_darts_whatever_its_file_calls_it(make):
    made = make("binary", ".json")
    held = json.loads(made.path.read_text())
    model = held["learner"]["gradient_booster"]["model"]
    model["weight_drop"] = [0.5] * len(model["trees"])
    made.path.write_text(json.dumps(held))
    with pytest.raises(BundleError, match="is made by booster=dart"):
        read(str(made.path))


def test_every_oddity_is_told_and_none_is_exported_beside_one_that_cannot_be(make):
    made = make("binary", ".txt", objective="poisson", linear_tree=True)
    with pytest.raises(BundleError, match="objective poisson and has linear leaves") as refused:
        read(str(made.path))
    assert "onnxmltools" not in str(refused.value)


@pytest.mark.parametrize(
    "more", [{"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.9]}, {}]
)
def test_several_targets_are_refused(tmp_path, more):
    x = np.random.default_rng(0).normal(size=(50, 3))
    y = x[:, 0] if more else x[:, :2]
    xgboost.train({"nthread": 1, **more}, xgboost.DMatrix(x, y), 2).save_model(tmp_path / "m.json")
    with pytest.raises(BundleError, match="must predict one target, but predicts 2"):
        read(str(tmp_path / "m.json"))


@pytest.mark.parametrize("suffix", [".json", ".ubj"])
def test_a_cut_booster_never_reaches_the_library(make, suffix, monkeypatch):
    made = make("binary", suffix)
    whole = made.path.read_bytes()
    monkeypatch.setattr(xgboost, "Booster", None)
    for end in (1, 500, len(whole) // 2, len(whole) - 1):
        made.path.write_bytes(whole[:end].rstrip(b"}"))
        with pytest.raises(BundleError, match="cut or damaged") as refused:
            boosters.XGBoostFile(made.path)
        assert str(made.path) in str(refused.value)
        assert str(refused.value).endswith("Save the model again with save_model.")


@pytest.mark.parametrize("text", ['{"a": 1}', "{}", '{"learner": {"x"}'])
def test_what_xgboost_refuses_is_told_without_places_in_its_source(tmp_path, text):
    path = tmp_path / "model.json"
    path.write_text(text)
    with pytest.raises(BundleError) as refused:
        read(str(path))
    said = str(refused.value)
    assert said.startswith(f"{path} cannot be read by XGBoost; it may be cut or damaged: ")
    assert said.endswith(". Save the model again with save_model.")
    assert ".cc:" not in said


def test_an_estimator_that_stopped_early_predicts_by_its_best_rounds(tmp_path):
    import xgboost

    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(400, 3)), columns=["a", "b", "c"])
    y = (frame["a"] + random.normal(size=400) > 0).astype(int)
    how = {"n_estimators": 200, "learning_rate": 0.5, "early_stopping_rounds": 5, "n_jobs": 1}
    model = xgboost.XGBClassifier(**how)
    model.fit(frame[:200], y[:200], eval_set=[(frame[200:], y[200:])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    model.save_model(tmp_path / "model.json")
    frame[200:].assign(y=y[200:]).to_csv(tmp_path / "holdout.csv", index=False)
    foreign = read(str(tmp_path / "model.json"))
    data, _ = dataset_of(foreign, ingest.read(str(tmp_path / "holdout.csv")), "y", seed=0)
    bundle, _ = bundle_of(foreign, data)
    theirs = model.predict_proba(frame[200:])
    assert np.allclose(Runner(bundle).predict(data.tensors), theirs, atol=1e-5)


@pytest.mark.parametrize("end", [0.2, 0.6, 0.9])
def test_a_cut_text_never_reaches_the_library(make, tmp_path, end, monkeypatch):
    import lightgbm

    whole = Path(make("binary", ".txt").path).read_bytes()
    whole = whole[: whole.index(b"end of trees")]
    cut = tmp_path / "cut.txt"
    cut.write_bytes(whole[: int(end * len(whole))])
    monkeypatch.setattr(lightgbm, "Booster", None)
    with pytest.raises(BundleError, match="cut or damaged"):
        boosters.LightGBMFile(cut)


def test_a_text_without_one_of_its_trees_or_leaves_is_damaged(make, tmp_path):
    whole = Path(make("binary", ".txt").path).read_text()
    boosters.require_whole(Path(make("binary", ".txt").path))
    start, after = whole.index("Tree=1\n"), whole.index("Tree=2\n")
    fewer = whole[:start] + whole[after:]
    child = whole.replace("left_child=", "left_child=99 ", 1)
    for number, text in enumerate((fewer, child)):
        path = tmp_path / f"{number}.txt"
        path.write_text(text)
        with pytest.raises(BundleError, match="cut or damaged"):
            boosters.require_whole(path)


@pytest.mark.parametrize("suffix", [".txt", ".json"])
def test_splits_on_categories_are_refused_by_name(tmp_path, suffix):
    generator = np.random.default_rng(0)
    x = np.column_stack([generator.integers(0, 30, 400), generator.normal(size=400)])
    y = np.isin(x[:, 0], [1, 5, 7, 11, 20, 21]).astype(int)
    if suffix == ".txt":
        data = lightgbm.Dataset(x, y, categorical_feature=[0], params={"verbose": -1})
        booster = lightgbm.train({"objective": "binary", "verbose": -1}, data, 5)
    else:
        data = xgboost.DMatrix(x, y, feature_types=["c", "q"], enable_categorical=True)
        booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 5)
    path = tmp_path / f"m{suffix}"
    booster.save_model(path)
    with pytest.raises(BundleError, match=r"splits on sets of categories.*onnxmltools") as refused:
        read(str(path))
    assert str(path) in str(refused.value)
