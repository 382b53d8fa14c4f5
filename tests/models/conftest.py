from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

from raymm.artifacts import Categorical, Shape
from raymm.models.family import Fitting, Matrix
from raymm.onnx_builder import FLOAT, GraphBuilder


def _matrix(task, *, rows=400, width=5, missing=0.1, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, width)).astype(np.float32)
    x[:, 3] = random.integers(0, 4, rows)
    signal = x[:, 0] + x[:, 1] * x[:, 2] + x[:, 3]
    if missing:
        x[random.random(x.shape) < missing] = np.nan
    noisy = signal + random.normal(size=rows) * 0.5
    y = {
        "regression": 1e4 + 250.0 * noisy,
        "binary": (noisy > 1.5).astype(np.int64),
        "multiclass": np.digitize(noisy, [0.5, 1.5, 2.5]).astype(np.int64),
    }[task]
    x.setflags(write=False)
    y.setflags(write=False)
    return Matrix(x=x, y=y, names=tuple(f"f{i}" for i in range(width)))


@pytest.fixture(scope="session")
def matrix():
    return _matrix


@pytest.fixture(scope="session")
def fitting():
    def make(task, rounds=12, seed=3, threads=1):
        classes = {"regression": 0, "binary": 2, "multiclass": 4}[task]
        return Fitting(task=task, classes=classes, seed=seed, rounds=rounds, threads=threads)

    return make


@pytest.fixture(scope="session")
def graph():
    """Return the bytes of a model's graph."""

    def make(family, model, width):
        builder = GraphBuilder()
        columns = [builder.input(f"f{i}", FLOAT) for i in range(width)]
        features = builder.node("Concat", columns, axis=1)
        out = family.to_onnx(model, builder, features)
        return builder.model([(out, "out", FLOAT, ["n", "k"])]).SerializeToString()

    return make


@pytest.fixture(scope="session")
def run():
    """Return what onnxruntime makes of rows, in float32 on one thread."""

    def make(data, x):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        feed = {f"f{i}": np.ascontiguousarray(x[:, i : i + 1]) for i in range(x.shape[1])}
        return session.run(None, feed)[0]

    return make


@pytest.fixture(scope="session")
def in_space():
    """Say whether a configuration holds a value within range for every parameter."""

    def check(config, space):
        return set(config) == set(space) and all(
            config[key] in parameter.choices
            if isinstance(parameter, Categorical)
            else parameter.low <= config[key] <= parameter.high
            for key, parameter in space.items()
        )

    return check


@pytest.fixture(scope="session")
def shapes():
    """Return sizes of tables from tiny to large."""
    return [
        Shape(rows=rows, features=features, classes=3, nominal=nominal)
        for rows in (20, 150, 5000, 200_000)
        for features in (1, 12, 3000)
        for nominal in (0, 2)
    ]
