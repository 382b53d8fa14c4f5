"""Multi-layer perceptrons, by scikit-learn.

The space is an architecture: how many layers, and the width of each, which is active only where
there are that many; then the activation and the solver with parameters of its own. A round of
training is one pass over the rows, or over the next `ROWS_A_ROUND` of a larger table, so a
round's time does not grow with the table.

Predictions use a running mean of the weights (Polyak & Juditsky 1992, "Acceleration of stochastic
approximation by averaging"), which takes away the noise of a constant learning rate without a
schedule that would have to know where training ends.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Categorical, Config, Float, Int, Shape, Space, Task
from raymm.models.family import Family, Fitting, Matrix
from raymm.models.heads import Head
from raymm.onnx_builder import GraphBuilder
from raymm.plugins import family

Weights = tuple[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]], ...]

DEPTHS = 1, 2, 3, 4
ROUNDS = 300
ROWS_A_ROUND = 2_000
MEMORY = 0.9
"""Part of the mean weights that is kept each round; less at first, as a mean of few rounds is."""
SMALL, LARGE = 2_000, 10_000
"""Rows under which layers are narrow, and from which on they may be wide."""
FEWEST_STEPS = 8
"""Steps of the solver in a round that a batch must leave room for."""
OPERATORS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}


@dataclass(slots=True, kw_only=True)
class Net:
    """A perceptron of scikit-learn, the mean of its weights, and its rows, to be trained on.

    ``mean`` holds (matrix, bias) of each layer, float32 of shapes (inputs, outputs), (outputs,);
    ``train`` is None in a `Family.state` alone.
    """

    perceptron: Any
    mean: Weights
    rounds: int
    train: Matrix | None
    how: Fitting
    head: Head


@family("mlp")
class Mlp(Family):
    """Layers of weighted sums, each bent by an activation, trained on small batches."""

    encoding = "dense"
    order = 50

    def space(self, task: Task, shape: Shape) -> Space:
        """Return the architecture and how it is trained; narrower layers where rows are few."""
        widest = 64 if shape.rows < SMALL else 256 if shape.rows >= LARGE else 128
        widths = {
            f"width_{layer}": Int(
                8, widest, log=True, when={"layers": tuple(d for d in DEPTHS if d >= layer)}
            )
            for layer in DEPTHS
        }
        return {
            "layers": Categorical(DEPTHS),
            **widths,
            "activation": Categorical(tuple(OPERATORS)),
            "solver": Categorical(("adam", "sgd")),
            "adam_rate": Float(3e-4, 3e-2, log=True, when={"solver": ("adam",)}),
            "sgd_rate": Float(3e-3, 0.3, log=True, when={"solver": ("sgd",)}),
            "momentum": Float(0.5, 0.98, when={"solver": ("sgd",)}),
            "batch_size": Int(32, 512, log=True),
            "alpha": Float(1e-5, 10.0, log=True),
        }

    def portfolio(self, task: Task, shape: Shape) -> Sequence[Config]:
        """Return one small layer with a strong penalty, and two; or two wide nets for many rows."""
        small = shape.rows < SMALL
        two: dict[str, Any] = {
            "layers": 2,
            "width_1": 64 if small else 128,
            "width_2": 32 if small else 64,
            "activation": "relu",
            "solver": "adam",
            "adam_rate": 3e-3,
            "batch_size": 64 if small else 128,
            "alpha": 0.1,
        }
        one = {key: value for key, value in two.items() if key != "width_2"}
        one |= {"layers": 1, "width_1": 32, "adam_rate": 1e-3, "alpha": 3.0}
        if shape.rows < LARGE:
            return one, two
        return {**two, "alpha": 1e-3}, {**two, "width_1": 256, "width_2": 128, "adam_rate": 1e-3}

    def max_rounds(self, config: Config) -> int:
        """Return `ROUNDS`."""
        return ROUNDS

    def fit(self, config: Config, train: Matrix, how: Fitting) -> Net:
        """Train a perceptron; see `Family.fit`."""
        head = Head.fit(how, train.y)
        made = _perceptron(config, how, min(len(train.y), ROWS_A_ROUND))
        model = Net(perceptron=made, mean=(), rounds=0, train=train, how=how, head=head)
        return self.extend(model, how.rounds)

    def state(self, model: Net) -> Net:
        """Return the perceptron without its training rows; see `Family.state`."""
        return replace(model, train=None)

    def resume(self, state: Net, config: Config, train: Matrix, how: Fitting) -> Net:
        """Give a perceptron its training rows again; see `Family.resume`.

        Its own draws go on where they stood, so it becomes what it would have been.
        """
        return replace(state, train=train, how=replace(how, seed=state.how.seed))

    def extend(self, model: Net, rounds: int) -> Net:
        """Train on up to ``rounds`` rounds in all; see `Family.extend`.

        Raises
        ------
        ValueError
            By scikit-learn, when the weights grow beyond all bounds: the rate is too large.
        """
        assert model.train is not None
        x, y = model.train.x, model.train.y
        if model.how.task == "regression":
            y = model.head.target(y).astype(np.float32)
        named = {} if model.how.task == "regression" else {"classes": np.arange(model.how.classes)}
        with (
            limited_threads(model.how.threads),
            warnings.catch_warnings(),
            np.errstate(all="ignore"),
        ):
            warnings.simplefilter("ignore")
            for number in range(model.rounds, rounds):
                rows = _rows(len(y), number, model.how.seed)
                model.perceptron.partial_fit(x[rows], y[rows], **named)
                model.mean = _averaged(model.mean, model.perceptron, number)
                model.rounds = number + 1
        return model

    def predict(
        self, model: Net, x: npt.NDArray[np.float32], share: float = 1.0
    ) -> npt.NDArray[np.float64]:
        """Return probabilities or values; see `Family.predict`."""
        with limited_threads(model.how.threads), np.errstate(all="ignore"):
            raw = x
            for number, (matrix, bias) in enumerate(model.mean):
                raw = raw @ matrix + bias
                if number < len(model.mean) - 1:
                    raw = _activated(raw, model.perceptron.activation)
        return model.head.predict(raw)

    def to_onnx(self, model: Net, builder: GraphBuilder, features: str) -> str:
        """Add a product and an activation a layer, and the head; see `Family.to_onnx`."""
        raw = features
        for number, (matrix, bias) in enumerate(model.mean):
            raw = builder.node("Gemm", [raw, builder.constant(matrix), builder.constant(bias)])
            if number < len(model.mean) - 1:
                raw = builder.node(OPERATORS[model.perceptron.activation], [raw])
        return model.head.to_onnx(builder, raw)


def _perceptron(config: Config, how: Fitting, rows: int) -> Any:
    """Return scikit-learn's estimator, untrained; what ``config`` lacks has its default."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    depth = int(config.get("layers") or 1)
    solver = str(config.get("solver") or "adam")
    rate = config.get(f"{solver}_rate") or (1e-3 if solver == "adam" else 1e-2)
    batch = min(int(config.get("batch_size") or 128), rows // FEWEST_STEPS)
    make = MLPRegressor if how.task == "regression" else MLPClassifier
    return make(
        hidden_layer_sizes=tuple(int(config.get(f"width_{n + 1}") or 32) for n in range(depth)),
        activation=str(config.get("activation") or "relu"),
        solver=solver,
        alpha=float(config.get("alpha") or 0.0),
        batch_size=max(1, batch),
        learning_rate_init=float(rate),
        momentum=float(config.get("momentum") or 0.9),
        # A generator rather than a seed: each round shuffles the rows anew.
        random_state=np.random.RandomState(how.seed % 2**32),
    )


def _rows(count: int, number: int, seed: int) -> Any:
    """Return which rows a round trains on: all, or the next ones of a shuffled large table."""
    if count <= ROWS_A_ROUND:
        return slice(None)
    rounds = count // ROWS_A_ROUND
    order = np.random.default_rng([seed, number // rounds]).permutation(count)
    start = number % rounds * ROWS_A_ROUND
    return np.sort(order[start : start + ROWS_A_ROUND])


def _averaged(mean: Weights, perceptron: Any, number: int) -> Weights:
    """Return the running mean with the weights after round ``number`` in it."""
    latest = tuple(
        (matrix.astype(np.float32), bias.astype(np.float32))
        for matrix, bias in zip(perceptron.coefs_, perceptron.intercepts_, strict=True)
    )
    kept = np.float32(min(MEMORY, number / (number + 10)))
    return tuple(
        (old[0] * kept + new[0] * (1 - kept), old[1] * kept + new[1] * (1 - kept))
        for old, new in zip(mean or latest, latest, strict=True)
    )


def _activated(raw: npt.NDArray[np.float32], activation: str) -> npt.NDArray[np.float32]:
    if activation == "relu":
        return np.maximum(raw, np.float32(0))
    bent: npt.NDArray[np.float32] = np.tanh(raw if activation == "tanh" else raw / 2)
    # 1 / (1 + exp(-x)) is (1 + tanh(x / 2)) / 2, which cannot overflow.
    return bent if activation == "tanh" else (bent + np.float32(1)) / np.float32(2)


@contextlib.contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """Let the linear algebra of a block use so many threads."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(count):
        yield
