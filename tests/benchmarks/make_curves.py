"""Make the multi-fidelity tables of bench_fidelity: real trainings, one a point of a whole grid.

The published tables that install from a package registry hold the end of each training only, so
these were made: with perceptrons (scikit-learn's, and many of one shape side by side) and
LightGBM, on data that ships with scikit-learn or that it generates. Each file in ``curves/`` holds
the validation loss of every configuration of a grid after each budget (epochs, or rounds of
boosting) of a geometric series. Takes about fifteen minutes on one core::

    python tests/benchmarks/make_curves.py [NAME ...]
"""

from __future__ import annotations

import itertools
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "curves"
VERSION = 1
SHORT, LONG = (1, 3, 9, 27), (1, 3, 9, 27, 81)

Data = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Config = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """What is trained on what, over which grid, and looked at when."""

    data: Callable[[], Data]
    curves: Callable[[list[Config], Data, tuple[int, ...]], list[list[float]]]
    grid: dict[str, list[Any]]
    budgets: tuple[int, ...]


def _halves(x: np.ndarray, y: np.ndarray) -> Data:
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    one, two, first, second = train_test_split(x, y, test_size=0.5, random_state=0)
    scaler = StandardScaler().fit(one)
    return scaler.transform(one), scaler.transform(two), first, second


def digits() -> Data:
    """Hand-written digits, 8 × 8: 898 images to train on, 899 to validate."""
    from sklearn.datasets import load_digits

    return _halves(*load_digits(return_X_y=True))


def noisy() -> Data:
    """Two classes in 20 dimensions, one label in ten wrong: 1,000 rows and 1,000 rows."""
    from sklearn.datasets import make_classification

    return _halves(
        *make_classification(
            2000, 20, n_informative=8, n_clusters_per_class=4, flip_y=0.1, random_state=1
        )
    )


def friedman() -> Data:
    """Friedman's first regression function with noise, standardised: 500 rows and 500 rows."""
    from sklearn.datasets import make_friedman1

    x, y = make_friedman1(1000, 10, noise=1.0, random_state=2)
    return _halves(x, (y - y.mean()) / y.std())


def diabetes() -> Data:
    """Progress of diabetes in a year, standardised: 221 patients and 221."""
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True)
    return _halves(x, (y - y.mean()) / y.std())


def perceptrons(configs: list[Config], data: Data, budgets: tuple[int, ...]) -> list[list[float]]:
    """Return the validation cross-entropy of scikit-learn's perceptrons after each budget."""
    from sklearn.neural_network import MLPClassifier

    x, held, y, truth = data
    found = []
    for config in configs:
        own = {name: config[name] for name in config if name != "width"}
        model = MLPClassifier((config["width"],), random_state=0, **own)
        losses = []
        for epoch in range(1, budgets[-1] + 1):
            model.partial_fit(x, y, classes=np.unique(y))
            if epoch in budgets:
                sure = model.predict_proba(held)[np.arange(len(truth)), truth]
                losses.append(float(-np.mean(np.log(np.clip(sure, 1e-7, 1.0)))))
        found.append(losses)
    return found


def boosting(configs: list[Config], data: Data, budgets: tuple[int, ...]) -> list[list[float]]:
    """Return the validation loss (mean squared error) after each number of rounds."""
    import lightgbm

    x, held, y, truth = data
    fixed = {"objective": "l2", "verbose": -1, "num_threads": 1, "seed": 0, "bagging_freq": 1}
    found = []
    for config in configs:
        model = lightgbm.train({**fixed, **config}, lightgbm.Dataset(x, y), budgets[-1])
        ahead = [model.predict(held, num_iteration=budget) for budget in budgets]
        found.append([float(np.mean((values - truth) ** 2)) for values in ahead])
    return found


def side_by_side(configs: list[Config], data: Data, budgets: tuple[int, ...]) -> list[list[float]]:
    """Return the validation loss of perceptrons; those of one shape are trained at once."""
    shapes: dict[tuple[Any, ...], list[int]] = {}
    for number, config in enumerate(configs):
        shapes.setdefault(tuple(config[name] for name in SHAPE), []).append(number)
    found: list[list[float]] = [[] for _ in configs]
    for shape, numbers in shapes.items():
        rates, alphas = (
            np.array([configs[n][name] for n in numbers])[:, None, None]
            for name in ("learning_rate", "alpha")
        )
        nets = Perceptrons(data, dict(zip(SHAPE, shape, strict=True)), rates, alphas)
        for epoch in range(1, budgets[-1] + 1):
            nets.epoch()
            if epoch in budgets:
                for number, loss in zip(numbers, nets.losses(), strict=True):
                    found[number].append(float(loss))
    return found


SHAPE = ("batch_size", "width", "depth", "activation")
ACTIVATIONS: dict[str, tuple[Any, Any]] = {
    "relu": (lambda z: np.maximum(z, 0.0), lambda a: a > 0),
    "tanh": (np.tanh, lambda a: 1.0 - a * a),
    "logistic": (lambda z: 1.0 / (1.0 + np.exp(-z)), lambda a: a * (1.0 - a)),
}


class Perceptrons:
    """Perceptrons of one shape, trained by Adam with their own rates and penalties."""

    def __init__(self, data: Data, shape: Config, rates: np.ndarray, alphas: np.ndarray) -> None:
        self.x, self.held, y, truth = data
        self.classes = y.dtype.kind != "f"
        self.y, self.truth = (np.eye(2)[v] if self.classes else v[:, None] for v in (y, truth))
        self.shape, self.rates, self.alphas = shape, rates, alphas
        self.rng, self.steps = np.random.default_rng(0), 0
        sizes = [self.x.shape[1], *[shape["width"]] * shape["depth"], self.y.shape[1]]
        self.weights = []
        for ahead, behind in itertools.pairwise(sizes):
            bound = np.sqrt(6.0 / (ahead + behind))
            start = self.rng.uniform(-bound, bound, (1, ahead, behind))
            self.weights += [np.repeat(start, len(rates), 0), np.zeros((len(rates), 1, behind))]
        self.first, self.second = ([np.zeros_like(w) for w in self.weights] for _ in range(2))

    def epoch(self) -> None:
        """Go through the rows once, in a new order."""
        for rows in np.array_split(
            self.rng.permutation(len(self.x)), -(-len(self.x) // self.shape["batch_size"])
        ):
            self._step(self.x[rows], self.y[rows])

    def _forward(self, x: np.ndarray) -> list[np.ndarray]:
        act, layers = ACTIVATIONS[self.shape["activation"]][0], [x[None]]
        for number in range(0, len(self.weights), 2):
            z = layers[-1] @ self.weights[number] + self.weights[number + 1]
            layers.append(act(z) if number + 2 < len(self.weights) else z)
        if self.classes:
            top = np.exp(layers[-1] - layers[-1].max(-1, keepdims=True))
            layers[-1] = top / top.sum(-1, keepdims=True)
        return layers

    def _step(self, x: np.ndarray, y: np.ndarray) -> None:
        layers, slope = self._forward(x), ACTIVATIONS[self.shape["activation"]][1]
        back, gradients = (layers[-1] - y) / len(x), []
        for number in range(len(self.weights) - 2, -1, -2):
            here = layers[number // 2]
            decay = self.alphas * self.weights[number] / len(x)
            gradients[:0] = [here.swapaxes(1, 2) @ back + decay, back.sum(1, keepdims=True)]
            back = back @ self.weights[number].swapaxes(1, 2) * slope(here)
        self.steps += 1
        for number, gradient in enumerate(gradients):
            first, second = self.first[number], self.second[number]
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient * gradient - second)
            scale = np.sqrt(second / (1 - 0.999**self.steps)) + 1e-8
            self.weights[number] -= self.rates * (first / (1 - 0.9**self.steps)) / scale

    def losses(self) -> np.ndarray:
        """Return the validation losses: cross-entropy, or mean squared error."""
        ahead = self._forward(self.held)[-1]
        if self.classes:
            return -np.log(np.clip((ahead * self.truth).sum(-1), 1e-7, 1.0)).mean(1)
        return ((ahead - self.truth) ** 2).mean((1, 2))


RATES = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1]
TABLES = {
    "perceptron-digits": Table(
        digits,
        perceptrons,
        {
            "learning_rate_init": RATES,
            "alpha": [1e-5, 1e-3, 1e-1, 1.0],
            "batch_size": [16, 32, 64, 128],
            "width": [8, 16, 32, 64, 128],
            "solver": ["adam", "sgd"],
        },
        SHORT,
    ),
    "perceptron-noisy": Table(
        noisy,
        side_by_side,
        {
            "learning_rate": RATES,
            "alpha": [1e-4, 1e-2, 1e-1, 1.0, 10.0],
            "batch_size": [16, 64, 256],
            "width": [4, 16, 64],
            "depth": [1, 2, 3],
            "activation": ["relu", "tanh"],
        },
        SHORT,
    ),
    "perceptron-friedman": Table(
        friedman,
        side_by_side,
        {
            "learning_rate": RATES,
            "alpha": [1e-4, 1e-2, 1e-1, 1.0],
            "batch_size": [16, 32, 128],
            "width": [4, 8, 16, 32],
            "depth": [1, 2],
            "activation": ["relu", "tanh", "logistic"],
        },
        LONG,
    ),
    "boosting-diabetes": Table(
        diabetes,
        boosting,
        {
            "learning_rate": [0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6],
            "num_leaves": [2, 4, 8, 16, 31],
            "min_data_in_leaf": [2, 5, 10, 20, 40],
            "feature_fraction": [0.2, 0.5, 1.0],
            "bagging_fraction": [0.4, 0.7, 1.0],
            "lambda_l2": [0.0, 1.0, 10.0],
        },
        LONG,
    ),
}


def points(grid: dict[str, list[Any]]) -> Iterator[Config]:
    """Yield every configuration, the last parameter varying fastest."""
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def main() -> None:
    """Make the tables named on the command line, or all."""
    warnings.simplefilter("ignore")
    for name in sys.argv[1:] or TABLES:
        table, start = TABLES[name], time.perf_counter()
        data = table.data()
        with np.errstate(all="ignore"):
            found = table.curves(list(points(table.grid)), data, table.budgets)
        losses = np.nan_to_num(np.array(found), nan=np.inf).astype(np.float32)
        grid = {f"grid-{key}": np.array(values) for key, values in table.grid.items()}
        np.savez_compressed(
            FOLDER / f"{name}.npz", version=VERSION, budgets=table.budgets, losses=losses, **grid
        )
        spent = time.perf_counter() - start
        print(f"{name}: {len(losses)} configurations, {spent:.0f} s", flush=True)


if __name__ == "__main__":
    main()
