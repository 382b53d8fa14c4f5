"""A quick booster that others decide by: which columns tell something, and which interactions.

Gradient boosted trees by LightGBM at a fast rate, from rows alone. What it finds worth while holds
for slower models too; it never ships itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from raymm.artifacts import Task

Item = TypeVar("Item")
Made = TypeVar("Made")

STEPS = 10
"""At so many numbers of rounds a booster is judged, evenly spread."""
RATES = (0.1, 0.3)
"""The slowest and the fastest rate of learning; `REACH` rounds at a rate of 1 are enough."""
REACH = 15.0
_OBJECTIVES = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quick:
    """How quick boosters are grown: by one thread each, ``threads`` of them at once.

    Threads that share a small fit wait for each other most of the time, on a busy machine nearly
    all of it. ``classes`` is 0 for regression, where ``absolute`` judges by absolute errors, and
    ``logarithm`` learns, and judges by, the logarithm of 1 and the target.
    """

    task: Task
    classes: int
    seed: int
    threads: int
    absolute: bool = False
    logarithm: bool = False

    @property
    def outputs(self) -> int:
        """Trees a round."""
        return self.classes if self.task == "multiclass" else 1

    def fit(
        self,
        x: npt.NDArray[np.float32],
        y: npt.NDArray[Any],
        rounds: int,
        *,
        start: npt.NDArray[np.float64] | None = None,
        leaves: int = 31,
    ) -> Any:
        """Return a booster of so many rounds.

        Parameters
        ----------
        x : float32, shape (n, d)
        y : int64 or float64, shape (n,)
        start : float64, shape (n,) or (n, outputs), optional
            Raw outputs that the rows already have.
        leaves : int
            Of a tree, at most.
        """
        import lightgbm as lgb

        parameters = {
            "objective": _OBJECTIVES[self.task],
            "num_class": self.outputs,
            "learning_rate": float(np.clip(REACH / rounds, *RATES)),
            "num_leaves": leaves,
            "min_data_in_leaf": int(np.clip(len(y) // 100, 5, 20)),
            "feature_fraction": 0.8,
            "bagging_fraction": 0.9,
            "bagging_freq": 1,
            "lambda_l2": 0.1,
            "num_threads": 1,
            "seed": self.seed,
            "deterministic": True,
            "force_col_wise": True,
            "verbose": -1,
        }
        given = None if start is None else np.ravel(start, order="F")
        rows = lgb.Dataset(x, y, init_score=given, params={"verbose": -1})
        return lgb.train(parameters, rows, rounds)

    def target(self, y: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return what is learnt, of a target of shape (n,)."""
        return np.log1p(np.maximum(y, 0.0)) if self.logarithm else y

    def each(self, make: Callable[[Item], Made], items: Sequence[Item]) -> list[Made]:
        """Return what ``make`` makes of each item, `threads` of them at once."""
        if min(self.threads, len(items)) <= 1:
            return [make(one) for one in items]
        with ThreadPoolExecutor(min(self.threads, len(items))) as pool:
            return list(pool.map(make, items))

    def raw(self, booster: Any, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return raw outputs, shape (n,) or (n, outputs)."""
        found = booster.predict(x, raw_score=True, num_threads=1)
        return np.asarray(found, dtype=np.float64)

    def losses(
        self, booster: Any, x: npt.NDArray[np.float32], y: npt.NDArray[Any]
    ) -> npt.NDArray[np.float64]:
        """Return each row's loss after the number of rounds at which they are least.

        Float64, shape (n,): minus the logarithm of its class's probability, or its absolute error,
        whose squares count unless ``absolute`` is set. `STEPS` numbers of rounds are looked at.
        """
        rounds = booster.current_iteration()
        raw: Any = 0.0
        best: npt.NDArray[np.float64] | None = None
        for start in range(0, rounds, max(1, rounds // STEPS)):
            raw = raw + booster.predict(
                x,
                raw_score=True,
                num_threads=1,
                start_iteration=start,
                num_iteration=min(max(1, rounds // STEPS), rounds - start),
            )
            found = self.row_losses(np.asarray(raw, dtype=np.float64), y)
            if best is None or self.mean(found) < self.mean(best):
                best = found
        assert best is not None
        return best

    def mean(self, losses: npt.NDArray[np.float64]) -> float:
        """Return what is to be low: the mean of `losses`, or of their squares."""
        squared = self.task == "regression" and not self.absolute
        return float(np.mean(losses**2 if squared else losses))

    def row_losses(
        self, raw: npt.NDArray[np.float64], y: npt.NDArray[Any]
    ) -> npt.NDArray[np.float64]:
        """Return the loss of each row, shape (n,), by raw outputs, shape (n,) or (n, outputs)."""
        if self.task == "regression":
            return np.abs(y - raw)
        if self.task == "binary":
            return np.logaddexp(0.0, np.where(y == 1, -raw, raw))
        found: npt.NDArray[np.float64] = logsumexp(raw, axis=1) - raw[np.arange(len(y)), y]
        return found


def gains(booster: Any) -> npt.NDArray[np.float64]:
    """Return what each feature's splits gained, shape (d,)."""
    return np.asarray(booster.feature_importance("gain"), dtype=np.float64)
