"""Models that the libraries trained and saved by themselves, and rows that they have not seen."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

OBJECTIVES = {
    "binary": ("binary", "binary:logistic"),
    "multiclass": ("multiclass", "multi:softprob"),
    "regression": ("regression", "reg:squarederror"),
}


@dataclass(frozen=True)
class Trained:
    """A model file, a holdout with the target ``y``, and the library's own object."""

    path: Path
    holdout: pd.DataFrame
    booster: Any

    @property
    def csv(self) -> Path:
        path = self.path.with_suffix(".csv")
        self.holdout.to_csv(path, index=False)
        return path


def table(task: str, rows: int = 800) -> pd.DataFrame:
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 4)).astype(np.float32)
    x[random.random(x.shape) < 0.05] = np.nan
    full = np.nan_to_num(x)
    signal = full[:, 0] + full[:, 1] * full[:, 2] + 0.3 * random.normal(size=rows)
    y = {
        "regression": 50 + 10 * signal,
        "binary": (signal > 0).astype(int),
        "multiclass": np.digitize(signal, [-0.5, 0.5]),
    }[task]
    return pd.DataFrame(x, columns=["a b", "c", "d", "e"]).assign(y=y)


def trained(folder: Path, task: str, suffix: str, **more: Any) -> Trained:
    """Train LightGBM (.txt) or XGBoost (.json, .ubj) on half of the rows and save it."""
    frame = table(task)
    here, rest = frame[:400], frame[400:].reset_index(drop=True)
    x, y = here.drop(columns="y"), here["y"]
    if more.pop("unnamed", False):
        x = x.to_numpy()
    path = folder / f"model{suffix}"
    objective = OBJECTIVES[task][suffix != ".txt"]
    classes = {"num_class": 3} if task == "multiclass" else {}
    if suffix == ".txt":
        import lightgbm

        how = {"objective": objective, "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5}
        booster = lightgbm.train({**how, **classes, **more}, lightgbm.Dataset(x, y), 20)
    else:
        import xgboost

        how = {"objective": objective, "nthread": 1, "verbosity": 0, "max_depth": 3}
        booster = xgboost.train({**how, **classes, **more}, xgboost.DMatrix(x, y), 20)
    booster.save_model(path)
    return Trained(path=path, holdout=rest, booster=booster)


@pytest.fixture
def make(tmp_path):
    def made(task: str = "binary", suffix: str = ".txt", **more: Any) -> Trained:
        return trained(tmp_path, task, suffix, **more)

    return made


@pytest.fixture(scope="session")
def exported():
    """The module beside this that writes trees as other exporters do."""
    spec = importlib.util.spec_from_file_location(
        "raymm_tests_exported", Path(__file__).with_name("exported.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
