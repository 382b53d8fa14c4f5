"""A mixed table with every kind of column, and a tiny family, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from raymm.artifacts import (
    NO_TIME,
    Column,
    Config,
    Dataset,
    Fold,
    Lineage,
    Schema,
    Shape,
    Space,
    Statistics,
    Task,
    Trial,
)
from raymm.models.family import Family, Fitting, Matrix
from raymm.onnx_builder import GraphBuilder
from raymm.plugins import families, family


class Tiny(Family):
    """Ridge regression on the targets (one column a class), softmax over the result."""

    encoding = "dense"

    def space(self, task: Task, shape: Shape) -> Space:
        return {}

    def fit(self, config: Config, train: Matrix, how: Fitting) -> Any:
        targets = np.eye(how.classes)[train.y] * 4 if how.classes else train.y[:, None]
        x = np.hstack([train.x.astype(np.float64), np.ones((len(train.x), 1))])
        weights = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ targets)
        return weights.astype(np.float32), bool(how.classes)

    def predict(self, model: Any, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        weights, soft = model
        raw = (x @ weights[:-1] + weights[-1]).astype(np.float64)
        if not soft:
            return raw[:, 0]
        power = np.exp(raw - raw.max(axis=1, keepdims=True))
        return power / power.sum(axis=1, keepdims=True)

    def to_onnx(self, model: Any, builder: GraphBuilder, features: str) -> str:
        weights, soft = model
        raw = builder.node("MatMul", [features, builder.constant(weights[:-1])])
        raw = builder.node("Add", [raw, builder.constant(weights[-1:])])
        return builder.node("Softmax", [raw], axis=1) if soft else raw


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[None]:
    """File the tiny family for a module of this folder, and take it out again."""
    families.names()  # the built-in parts first, as in a running program
    family("tiny_for_tests")(Tiny)
    yield
    for kept in (families._parts, families._traits):
        kept.pop("tiny_for_tests")


CLASSES = {"binary": ("no", "yes"), "multiclass": ("a", "b", "ü"), "regression": ()}
COLUMNS = (
    Column(name="amount", kind="number"),
    Column(name="heavy tail", kind="number"),
    Column(name="constant", kind="number"),
    Column(name="flag", kind="boolean"),
    Column(name="", kind="category"),
    Column(name="ü", kind="category"),
    Column(name="a b", kind="datetime"),
    Column(name="a-b", kind="text"),
    Column(name="prediction", kind="number"),
    Column(name="constant_1", kind="number"),
)


def _tensors(rows: int, generator: np.random.Generator) -> dict[str, npt.NDArray[Any]]:
    words = np.array(["alpha", "beta", "gamma", "delta", "WIN!", "12345", "now"], dtype=object)
    numbers = generator.normal(size=(4, rows)).astype(np.float32)
    numbers[0, generator.random(rows) < 0.1] = np.nan
    return {
        "amount": numbers[0],
        "heavy tail": np.exp(4 * numbers[1]).astype(np.float32),
        "constant": np.ones(rows, dtype=np.float32),
        "flag": generator.choice(np.array([0, 1, np.nan], dtype=np.float32), size=rows),
        "": generator.choice(np.array(["", "x", "y", "Z z"], dtype=object), size=rows),
        "ü": np.array([f"é{i}" for i in generator.geometric(0.2, size=rows)], dtype=object),
        "a b": np.where(
            generator.random(rows) < 0.1, NO_TIME, generator.integers(0, 2_000_000_000, size=rows)
        ),
        "a-b": np.array(
            [" ".join(generator.choice(words, size=generator.integers(0, 9))) for _ in range(rows)],
            dtype=object,
        ),
        "prediction": numbers[2],
        "constant_1": numbers[3] * np.float32(1e6),
    }


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., Dataset]:
    def make(task: Task, rows: int = 600, seed: int = 0) -> Dataset:
        generator = np.random.default_rng(seed)
        tensors = _tensors(rows, generator)
        signal = (
            np.nan_to_num(tensors["amount"])
            + (tensors[""] == "x")
            + np.array(["WIN!" in text for text in tensors["a-b"]])
            + 0.3 * generator.normal(size=rows)
        )
        y: npt.NDArray[Any] = signal * 1000.0 + 50.0
        if task != "regression":
            shares = np.linspace(0, 1, len(CLASSES[task]) + 1)[1:-1]
            y = np.searchsorted(np.quantile(signal, shares), signal).astype(np.int64)
        target = Column(name="target", kind="category", role="target")
        everything = np.arange(rows, dtype=np.int64)
        train, test = everything[: rows * 3 // 4], everything[rows * 3 // 4 :]
        return Dataset(
            tensors=tensors,
            y=y,
            frame=pd.DataFrame(index=everything),
            schema=Schema(
                columns=(*COLUMNS, target), target="target", task=task, classes=CLASSES[task]
            ),
            train=train,
            test=test,
            folds=(Fold(train=train[::2], valid=train[1::2]),),
            sha256="0" * 64,
            source="generated",
        )

    return make


@pytest.fixture
def statistics() -> Statistics:
    return Statistics(rows=0, columns=())


@pytest.fixture
def lineage() -> Lineage:
    return Lineage(
        run="r",
        data_sha256="0" * 64,
        source="generated",
        seed=3,
        ledger="",
        configuration={},
        trial={},
        packages={},
    )


@pytest.fixture
def make_trial() -> Callable[[str], Trial]:
    def make(name: str, rounds: int = 12, others: Sequence[tuple[str, Any]] = ()) -> Trial:
        config = {"family": name, **dict(others)}
        return Trial(id="0", number=0, config=config, status="finished", rounds=rounds)

    return make
