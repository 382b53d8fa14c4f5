"""The peers of `bench_quality.py`, each run alone in a process of the peers' own environment.

``python quality_peers.py PEER FOLDER SECONDS SEED`` reads ``FOLDER/train.parquet``, trains on it
for so many seconds with two threads, predicts ``FOLDER/test.parquet``, writes the predictions to
``FOLDER/PEER.npy`` and prints one JSON object: ``fit_seconds``, ``bytes`` (what would be shipped),
``row_ms`` (median time of a prediction for one row) and ``version``. Every peer is used as its
documentation shows, at its own settings but for the metric, the time and the threads.
"""

from __future__ import annotations

import json
import os
import pickle
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

THREADS = 2
Predict = Callable[[pd.DataFrame], np.ndarray]


def by_flaml(train: pd.DataFrame, about: dict[str, Any], seconds: float, seed: int) -> Any:
    """FLAML: ``AutoML().fit``."""
    from flaml import AutoML, __version__

    model = AutoML()
    metric = {"rmse": "rmse", "accuracy": "accuracy", "roc_auc": "roc_auc"}[about["metric"]]
    x, y = train.drop(columns=about["target"]), train[about["target"]]
    model.fit(
        x,
        y,
        task="regression" if about["task"] == "regression" else "classification",
        metric=metric,
        time_budget=seconds,
        n_jobs=THREADS,
        seed=seed,
        verbose=0,
    )
    predict = _sklearn_like(model, about)
    return predict, len(pickle.dumps(model)), __version__


def _autogluon(presets: str) -> Callable[..., Any]:
    def fit(train: pd.DataFrame, about: dict[str, Any], seconds: float, seed: int) -> Any:
        import autogluon.tabular
        from autogluon.tabular import TabularPredictor

        folder = tempfile.mkdtemp(prefix="autogluon-")
        metric = {"rmse": "root_mean_squared_error"}.get(about["metric"], about["metric"])
        predictor = TabularPredictor(
            label=about["target"],
            problem_type=about["task"],
            eval_metric=metric,
            path=folder,
            verbosity=0,
        ).fit(train, time_limit=seconds, presets=presets, num_cpus=THREADS, num_gpus=0)

        def predict(frame: pd.DataFrame) -> np.ndarray:
            frame = frame.drop(columns=about["target"], errors="ignore")
            if about["task"] == "regression":
                return predictor.predict(frame).to_numpy()
            made = predictor.predict_proba(frame)
            made.columns = [str(name) for name in made.columns]
            return made[about["classes"]].to_numpy()

        predictor.persist()
        shipped = predictor.clone_for_deployment(tempfile.mkdtemp(prefix="shipped-") + "/model")
        size = sum(file.stat().st_size for file in Path(shipped).rglob("*") if file.is_file())
        return predict, size, autogluon.tabular.__version__

    return fit


def by_optuna(train: pd.DataFrame, about: dict[str, Any], seconds: float, seed: int) -> Any:
    """Optuna's TPE over LightGBM: a holdout of a fifth, early stopping, then all rows."""
    import lightgbm
    import optuna
    from sklearn.model_selection import train_test_split

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    x, y, maps = _plain(train, about)
    labels = y if about["task"] != "regression" else None
    inner, valid = train_test_split(
        np.arange(len(y)), test_size=0.2, random_state=seed, stratify=labels
    )
    fixed = _lightgbm(about) | {"seed": seed}
    best: dict[str, Any] = {"value": None}

    def objective(trial: Any) -> float:
        given = fixed | {
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
            "num_leaves": trial.suggest_int("num_leaves", 4, 256, log=True),
            "min_child_samples": trial.suggest_int("min_child_samples", 2, 128, log=True),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.4, 1.0),
            "bagging_fraction": trial.suggest_float("bagging_fraction", 0.4, 1.0),
            "bagging_freq": 1,
            "lambda_l1": trial.suggest_float("lambda_l1", 1e-8, 10.0, log=True),
            "lambda_l2": trial.suggest_float("lambda_l2", 1e-8, 10.0, log=True),
        }
        data = lightgbm.Dataset(x.iloc[inner], y[inner])
        held = lightgbm.Dataset(x.iloc[valid], y[valid], reference=data)
        until = time.monotonic() + max(1.0, deadline - time.monotonic())

        def in_time(env: Any) -> None:
            if time.monotonic() > until:
                raise lightgbm.callback.EarlyStopException(env.iteration, [])

        booster = lightgbm.train(
            given,
            data,
            num_boost_round=2000,
            valid_sets=[held],
            callbacks=[lightgbm.early_stopping(50, verbose=False), in_time],
        )
        rounds = booster.best_iteration or booster.current_iteration()
        value = -score(about, y[valid], _shape(about, booster.predict(x.iloc[valid])))
        if best["value"] is None or value < best["value"]:
            best.update(value=value, given=given, rounds=rounds)
        return value

    deadline = time.monotonic() + 0.9 * seconds  # the rest is for the final fit
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, timeout=0.9 * seconds)
    booster = lightgbm.train(best["given"], lightgbm.Dataset(x, y), best["rounds"])

    def predict(frame: pd.DataFrame) -> np.ndarray:
        return _shape(about, booster.predict(_plain(frame, about, maps)[0]))

    return predict, len(booster.model_to_string()), optuna.__version__


def by_lightgbm(train: pd.DataFrame, about: dict[str, Any], seconds: float, seed: int) -> Any:
    """LightGBM at its defaults, as a control."""
    import lightgbm

    x, y, maps = _plain(train, about)
    booster = lightgbm.train(_lightgbm(about) | {"seed": seed}, lightgbm.Dataset(x, y))

    def predict(frame: pd.DataFrame) -> np.ndarray:
        return _shape(about, booster.predict(_plain(frame, about, maps)[0]))

    return predict, len(booster.model_to_string()), lightgbm.__version__


def _lightgbm(about: dict[str, Any]) -> dict[str, Any]:
    objective = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}
    fixed = {"objective": objective[about["task"]], "verbosity": -1, "num_threads": THREADS}
    if about["task"] == "multiclass":
        fixed["num_class"] = len(about["classes"])
    return fixed


def _plain(
    frame: pd.DataFrame, about: dict[str, Any], maps: dict[str, Any] | None = None
) -> tuple[pd.DataFrame, np.ndarray, dict[str, Any]]:
    """Turn texts into categories, as a script would, and the target into codes."""
    x = frame.drop(columns=about["target"], errors="ignore").copy()
    maps = dict(maps or {})
    for name in x.columns:
        if not pd.api.types.is_numeric_dtype(x[name]):
            maps.setdefault(name, x[name].astype("category").cat.categories)
            x[name] = pd.Categorical(x[name], categories=maps[name])
    x.columns = [f"c{place}" for place in range(x.shape[1])]
    y = np.zeros(len(frame))
    if about["target"] in frame:
        y = frame[about["target"]].to_numpy()
        if about["task"] != "regression":
            codes = {name: code for code, name in enumerate(about["classes"])}
            y = np.array([codes[str(value)] for value in y])
    return x, y, maps


def _shape(about: dict[str, Any], made: np.ndarray) -> np.ndarray:
    return np.column_stack([1 - made, made]) if about["task"] == "binary" else made


def _sklearn_like(model: Any, about: dict[str, Any]) -> Predict:
    def predict(frame: pd.DataFrame) -> np.ndarray:
        frame = frame.drop(columns=about["target"], errors="ignore")
        if about["task"] == "regression":
            return np.asarray(model.predict(frame))
        order = [str(name) for name in model.classes_]
        return model.predict_proba(frame)[:, [order.index(name) for name in about["classes"]]]

    return predict


def score(about: dict[str, Any], y: np.ndarray, made: np.ndarray) -> float:
    """Return the metric, larger being better: an error has its sign turned."""
    from sklearn.metrics import accuracy_score, roc_auc_score, root_mean_squared_error

    if about["metric"] == "rmse":
        return -float(root_mean_squared_error(y, made))
    if about["metric"] == "accuracy":
        return float(accuracy_score(y, made.argmax(axis=1)))
    return float(roc_auc_score(y, made[:, 1]))


PEERS = {
    "flaml": by_flaml,
    "autogluon-medium": _autogluon("medium_quality"),
    "autogluon-best": _autogluon("best_quality"),
    "optuna-lightgbm": by_optuna,
    "lightgbm-default": by_lightgbm,
}


def main() -> int:
    """Train one peer, and print what it took."""
    peer, folder, seconds, seed = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
    about = json.loads((folder / "about.json").read_text())
    train, test = (pd.read_parquet(folder / f"{name}.parquet") for name in ("train", "test"))
    began = time.perf_counter()
    predict, size, version = PEERS[peer](train, about, seconds, int(seed))
    took = time.perf_counter() - began
    np.save(folder / f"{peer}.npy", predict(test))
    times = []
    for place in range(20):
        row = test.iloc[[place % len(test)]].drop(columns=about["target"])
        began = time.perf_counter()
        predict(row)
        times.append(1000 * (time.perf_counter() - began))
    told = {"fit_seconds": took, "bytes": size, "row_ms": statistics.median(times)}
    print(json.dumps(told | {"version": version}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
