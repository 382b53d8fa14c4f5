"""Population-based training against random search, at equal total training.

Models of three families are really trained: a perceptron on scikit-learn's digits (learning rate,
momentum and penalty change while it is trained), a linear classifier by stochastic gradient
descent on the same (step, penalty and its kind), and LightGBM on a made table (learning rate,
leaves, penalty and share of features). Random search trains ten configurations whole;
population-based training has the same total of epochs. Both are scored on validation rows after
the same epochs; what stands best there, at whatever epoch, is judged by its log loss on test
rows. Every seed has its own split and start.

Prints medians over the seeds, and the median of the ratio with a 95 % bootstrap interval. Exits
with 1 where that interval is not below 1 for two families at least. LightGBM has not held so far:
a booster's early trees stay, whatever is learned later.

Run alone: ``OMP_NUM_THREADS=1 python tests/benchmarks/bench_pbt.py``.
"""

from __future__ import annotations

import pickle
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.datasets import load_digits, make_classification
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from raymm.search import Float, Int, create

SEEDS = 10
MEMBERS = 10
Config = Mapping[str, Any]


@dataclass(frozen=True)
class Rows:
    """Training, validation and test rows, scaled on the first."""

    x: tuple[np.ndarray, ...]
    y: tuple[np.ndarray, ...]
    seed: int


@dataclass(frozen=True)
class Problem:
    """``train(rows, model, config, epochs)`` returns the model trained on; None is a new one."""

    family: str
    table: Callable[[], tuple[np.ndarray, np.ndarray]]
    space: Mapping[str, Any]
    train: Callable[[Rows, Any, Config, int], Any]
    epochs: int
    interval: int


def split(problem: Problem, seed: int) -> Rows:
    """Half of the rows to train on, a quarter each to choose by and to judge by."""
    x, y = problem.table()
    x_train, x_rest, y_train, y_rest = train_test_split(
        x, y, test_size=0.5, random_state=seed, stratify=y
    )
    x_valid, x_test, y_valid, y_test = train_test_split(
        x_rest, y_rest, test_size=0.5, random_state=seed, stratify=y_rest
    )
    scaler = StandardScaler().fit(x_train)
    parts = tuple(scaler.transform(part) for part in (x_train, x_valid, x_test))
    return Rows(parts, (y_train, y_valid, y_test), seed)


def losses(model: Any, rows: Rows) -> tuple[float, float]:
    """Return the log loss on validation and on test rows."""
    predict = getattr(model, "predict_proba", None) or model.predict
    labels = np.unique(rows.y[0])
    made = []
    for x, y in zip(rows.x[1:], rows.y[1:], strict=True):
        p = predict(x)
        p = np.column_stack([1 - p, p]) if p.ndim == 1 else p
        p = np.nan_to_num(p, nan=1 / len(labels))
        p = np.clip(p, 1e-7, None)
        made.append(float(log_loss(y, p / p.sum(axis=1, keepdims=True), labels=labels)))
    return made[0], made[1]


# -------------------------------------------------------------------------------- what is trained


def perceptron(rows: Rows, model: Any, config: Config, epochs: int) -> Any:
    """Train a perceptron of one layer on; its optimiser takes new settings between epochs."""
    if model is None:
        model = MLPClassifier((32,), solver="sgd", batch_size=64, random_state=rows.seed)
        model.learning_rate_init = config["rate"]
    for _ in range(epochs):
        model.alpha = config["alpha"]
        if hasattr(model, "_optimizer"):
            model._optimizer.learning_rate = config["rate"]
            model._optimizer.momentum = config["momentum"]
        else:
            model.momentum = config["momentum"]
        model.partial_fit(rows.x[0], rows.y[0], classes=np.unique(rows.y[0]))
    return model


def linear(rows: Rows, model: Any, config: Config, epochs: int) -> Any:
    """Train a linear classifier on."""
    if model is None:
        model = SGDClassifier(loss="log_loss", learning_rate="constant", random_state=rows.seed)
    model.set_params(eta0=config["rate"], alpha=config["alpha"], l1_ratio=config["l1_ratio"])
    model.set_params(penalty="elasticnet")
    for _ in range(epochs):
        model.partial_fit(rows.x[0], rows.y[0], classes=np.unique(rows.y[0]))
    return model


def boosting(rows: Rows, model: Any, config: Config, epochs: int) -> Any:
    """Add rounds to a booster."""
    import lightgbm as lgb

    parameters = {
        **config,
        "objective": "binary",
        "num_threads": 1,
        "seed": rows.seed + (0 if model is None else model.current_iteration()),
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    table = lgb.Dataset(rows.x[0], rows.y[0], params=parameters)
    return lgb.train(parameters, table, epochs, init_model=model)


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return 1,797 images of 64 pixels."""
    x, y = load_digits(return_X_y=True)
    return np.asarray(x), np.asarray(y)


def made() -> tuple[np.ndarray, np.ndarray]:
    """Return 1,600 rows of 20 features in two classes of eight clusters each."""
    x, y = make_classification(
        1600,
        20,
        n_informative=10,
        n_redundant=5,
        n_clusters_per_class=8,
        flip_y=0.0,
        random_state=7,
    )
    return x, y


PERCEPTRON = {
    "rate": Float(1e-4, 1.0, log=True),
    "momentum": Float(0.0, 0.99),
    "alpha": Float(1e-6, 1.0, log=True),
}
LINEAR = {
    "rate": Float(1e-5, 1.0, log=True),
    "alpha": Float(1e-6, 1.0, log=True),
    "l1_ratio": Float(0.0, 1.0),
}
BOOSTING = {
    "learning_rate": Float(0.005, 0.5, log=True),
    "num_leaves": Int(4, 64, log=True),
    "lambda_l2": Float(1e-3, 100.0, log=True),
    "feature_fraction": Float(0.2, 1.0),
}
PROBLEMS = {
    "perceptron, digits": Problem("perceptron", digits, PERCEPTRON, perceptron, 30, 2),
    "linear, digits": Problem("linear", digits, LINEAR, linear, 30, 1),
    "lightgbm, made table": Problem("lightgbm", made, BOOSTING, boosting, 40, 4),
}


# ------------------------------------------------------------------------------------ the methods


def train(problem: Problem, algorithm: str, rows: Rows, seed: int) -> tuple[float, float]:
    """Spend the whole training there is by asking and telling; return the chosen model's losses."""
    population = algorithm == "pbt"
    low = problem.interval if population else None
    search = create(
        algorithm, problem.space, seed=seed, mode="min", min_budget=low, max_budget=problem.epochs
    )
    states: dict[str, tuple[int, bytes]] = {}
    best, left = (np.inf, np.inf), MEMBERS * problem.epochs
    while left > 0:
        (asked,) = search.suggest(1)
        done, state = states.get(asked.parent or asked.id, (0, pickle.dumps(None)))
        model = pickle.loads(state)
        while done < asked.budget and left > 0:
            step = min(problem.interval, int(asked.budget) - done, left)
            model = problem.train(rows, model, asked.config, step)
            done, left = done + step, left - step
            seen = losses(model, rows)
            best = min(best, seen)
        states[asked.id] = (done, pickle.dumps(model))
        search.observe(asked.id, seen[0], budget=done)
    return best


def interval(ratios: np.ndarray) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the median."""
    generator = np.random.default_rng(0)
    draws = generator.choice(ratios, (10_000, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
    return float(low), float(high)


def main() -> int:
    """Print a line a problem; return 0 where two families hold."""
    held: dict[str, bool] = {}
    print(f"{'':24}{'random':>9}{'pbt':>9}{'ratio':>8}   95 % interval   seconds")
    for name, problem in PROBLEMS.items():
        began = time.perf_counter()
        found: dict[str, list[float]] = {"random": [], "pbt": []}
        for seed in range(SEEDS):
            rows = split(problem, seed)
            for algorithm, values in found.items():
                values.append(train(problem, algorithm, rows, seed)[1])
        medians = {algorithm: float(np.median(values)) for algorithm, values in found.items()}
        ratios = np.array(found["pbt"]) / np.array(found["random"])
        low, high = interval(ratios)
        print(
            f"{name:24}{medians['random']:9.4f}{medians['pbt']:9.4f}{np.median(ratios):8.3f}"
            f"   {low:.3f} to {high:.3f}  {time.perf_counter() - began:7.0f}",
            flush=True,
        )
        held[problem.family] = high < 1
    print("holds on: " + (", ".join(name for name, holds in held.items() if holds) or "none"))
    return int(sum(held.values()) < 2)


if __name__ == "__main__":
    sys.exit(main())
