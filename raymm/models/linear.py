"""Linear models: logistic regression and ridge regression, by scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Config, Float, Shape, Space, Task
from raymm.models.family import Family, Fitting, Matrix
from raymm.models.heads import ABSENT, Head
from raymm.onnx_builder import GraphBuilder
from raymm.plugins import family

NEWTON_LIMIT = 400
"""Coefficients up to which Newton's method, cubic in them, is faster than L-BFGS."""
SPARSE_BELOW = 0.2
"""Share of non-zero cells under which a sparse matrix is faster (hashed text, one-hot)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Raw outputs are ``x @ coefficients + intercept``.

    ``coefficients`` is float32 of shape (d, outputs), ``intercept`` (outputs,); ``mean`` (d,) is
    the training rows' mean, from which contributions are counted.
    """

    coefficients: npt.NDArray[np.float32]
    intercept: npt.NDArray[np.float32]
    mean: npt.NDArray[np.float64]
    head: Head


@family("linear")
class Linear(Family):
    """A weighted sum of features with an L2 penalty."""

    encoding = "dense"
    order = 20
    sparse = True

    def space(self, task: Task, shape: Shape) -> Space:
        """Return the penalty's strength; "C" is its inverse, as scikit-learn names it."""
        if task == "regression":
            return {"alpha": Float(1e-3, 1e4, log=True)}
        return {"C": Float(1e-4, 100.0, log=True)}

    def portfolio(self, task: Task, shape: Shape) -> Sequence[Config]:
        """Return scikit-learn's default and a stronger penalty."""
        if task == "regression":
            return {"alpha": 1.0}, {"alpha": 100.0}
        return {"C": 1.0}, {"C": 0.03}

    def fit(self, config: Config, train: Matrix, how: Fitting) -> Fitted:
        """Solve the penalised problem; see `Family.fit`."""
        head = Head.fit(how, train.y)
        solve = _ridge if how.task == "regression" else _logistic
        coefficients, intercept = solve(config, train, head)
        return Fitted(
            coefficients=np.ascontiguousarray(coefficients, np.float32),
            intercept=np.asarray(intercept, np.float32),
            mean=train.x.mean(axis=0, dtype=np.float64),
            head=head,
        )

    def predict(
        self, model: Fitted, x: npt.NDArray[np.float32], share: float = 1.0
    ) -> npt.NDArray[np.float64]:
        """Return probabilities or values; see `Family.predict`."""
        return model.head.predict(x @ model.coefficients + model.intercept)

    def to_onnx(self, model: Fitted, builder: GraphBuilder, features: str) -> str:
        """Add one product and the head; see `Family.to_onnx`."""
        raw = builder.node(
            "Gemm",
            [features, builder.constant(model.coefficients), builder.constant(model.intercept)],
        )
        return model.head.to_onnx(builder, raw)

    def contributions(
        self, model: Fitted, x: npt.NDArray[np.float32], rounds: int | None = None
    ) -> npt.NDArray[np.float64]:
        """Return coefficient times distance from the mean; see `Family.contributions`.

        Equal to Shapley values where features are taken as independent (Lundberg & Lee 2017,
        corollary 1).
        """
        weight = model.coefficients.T.astype(np.float64)
        shares = (x - model.mean)[:, None, :] * weight[None]
        base = model.mean @ weight.T + model.intercept
        bases = np.broadcast_to(base[None, :, None], (*shares.shape[:2], 1))
        shares = np.concatenate([shares, bases], axis=2)
        return model.head.contributions(shares if model.head.outputs > 1 else shares[:, 0])


def _ridge(config: Config, train: Matrix, head: Head) -> tuple[npt.NDArray[Any], ...]:
    from sklearn.linear_model import Ridge

    ridge = Ridge(alpha=float(config.get("alpha") or 1.0), solver="cholesky")
    with warnings.catch_warnings():
        # A singular matrix makes scikit-learn turn to its SVD solver and say so.
        warnings.simplefilter("ignore")
        ridge.fit(train.x.astype(np.float64), head.target(train.y))
    return ridge.coef_[:, None], np.atleast_1d(ridge.intercept_)


def _logistic(config: Config, train: Matrix, head: Head) -> tuple[npt.NDArray[Any], ...]:
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    width = train.x.shape[1]
    present = np.unique(train.y).astype(int)
    full = np.zeros((width, head.classes)), np.full(head.classes, ABSENT)
    if len(present) == 1:
        full[1][present] = 0.0
    else:
        newton = width * (len(present) if len(present) > 2 else 1) <= NEWTON_LIMIT
        sparse = not newton and np.count_nonzero(train.x) < SPARSE_BELOW * train.x.size
        x = csr_matrix(train.x, dtype=np.float64) if sparse else train.x.astype(np.float64)
        logistic = LogisticRegression(
            C=float(config.get("C") or 1.0),
            solver="newton-cholesky" if newton else "lbfgs",
            max_iter=50 if newton else 300,
        )
        with warnings.catch_warnings():
            # A model that stopped at the iteration limit is still a model; the search judges it.
            warnings.simplefilter("ignore")
            logistic.fit(x, train.y)
        weight, bias = logistic.coef_.T, logistic.intercept_
        if len(present) == 2:
            weight, bias = np.hstack([-weight / 2, weight / 2]), np.array([-bias[0], bias[0]]) / 2
        full[0][:, present], full[1][present] = weight, bias
    if head.task == "binary":
        return full[0][:, 1:] - full[0][:, :1], full[1][1:] - full[1][:1]
    return full
