from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from raymm.artifacts import Column, Dataset, Lineage, Schema, Statistics
from raymm.bundle.blend import Blend
from raymm.bundle.graph import to_graph
from raymm.bundle.packed import Bundle
from raymm.bundle.pipeline import Bench, fit
from raymm.models import trees
from raymm.onnx_builder import FLOAT, GraphBuilder

CLASSES = {"binary": ("no", "yes"), "multiclass": ("a", "b", "c"), "regression": ()}


def _dataset(task, rows=600, seed=0):
    random = np.random.default_rng(seed)
    tensors = {f"f{i}": random.normal(size=rows).astype(np.float32) for i in range(4)}
    signal = tensors["f0"] + tensors["f1"] * tensors["f2"] + 0.5 * random.normal(size=rows)
    y = {
        "regression": 50.0 + 10.0 * signal.astype(np.float64),
        "binary": (signal > 0).astype(np.int64),
        "multiclass": np.digitize(signal, [-0.5, 0.5]).astype(np.int64),
    }[task]
    columns = tuple(Column(name=name, kind="number") for name in tensors)
    target = Column(name="y", kind="number", role="target")
    return Dataset(
        tensors=tensors,
        y=y,
        frame=pd.DataFrame(tensors),
        schema=Schema(columns=(*columns, target), target="y", task=task, classes=CLASSES[task]),
        train=np.arange(rows // 2),
        test=np.arange(rows // 2, rows),
        folds=(),
        sha256="0" * 64,
        source="made here",
    )


@pytest.fixture(scope="session")
def dataset():
    return _dataset


@pytest.fixture(scope="session")
def trained():
    """Return a bundle of a family for a dataset, and its pipeline."""

    def make(data, family="lightgbm", rounds=40):
        config = {"family": family, "lightgbm.min_child_samples": 5}
        pipeline = fit(data, data.train, config, rounds=rounds, seed=0, threads=1)
        lineage = Lineage(
            run="r",
            data_sha256=data.sha256,
            source=data.source,
            seed=0,
            ledger="",
            configuration={},
            trial={},
            packages={},
        )
        statistics = Statistics(rows=len(data.train), columns=())
        bundle = Bundle(
            graph=to_graph(pipeline), schema=data.schema, statistics=statistics, lineage=lineage
        )
        return bundle, pipeline

    return make


@pytest.fixture(scope="session")
def mix(dataset, trained):
    """Return a mix of models that share their features as a bundle, and the data."""

    def make(task="regression", families=("lightgbm", "xgboost"), weights=(0.75, 0.25), rounds=30):
        data = dataset(task)
        bench = Bench(data, data.train)
        members = [bench.fit({"family": one}, rounds=rounds, seed=0, threads=1) for one in families]
        blend = Blend(members=tuple(members), weights=weights)
        return replace(trained(data, rounds=1)[0], graph=to_graph(blend)), data

    return make


@pytest.fixture(scope="session")
def random_trees():
    """Return an ensemble grown at random: whole leaf values, a base of halves, thresholds on a
    grid so that splits repeat."""

    def make(seed, count=5, features=3, width=2, grid=6):
        random = np.random.default_rng(seed)

        def tree():
            splits = int(random.integers(0, 9))
            left, right = [-1], [-1]
            for _ in range(splits):
                leaf = random.choice([i for i, child in enumerate(left) if child < 0])
                left[leaf], right[leaf] = len(left), len(left) + 1
                left += [-1, -1]
                right += [-1, -1]
            inner = np.array(left) >= 0
            size = len(left)
            return trees.Tree(
                feature=np.where(inner, random.integers(0, features, size), -1),
                threshold=np.where(inner, random.integers(0, grid, size), 0).astype(np.float32),
                missing_left=inner & (random.random(size) < 0.5),
                left=np.array(left),
                right=np.array(right),
                value=random.integers(-2, 3, (size, width)).astype(np.float32),
                outputs=tuple(range(width)),
            )

        base = [0.5, -2.0][:width]
        return trees.join([tree() for _ in range(count)], base)

    return make


@pytest.fixture(scope="session")
def around():
    """Return rows at, just beside and beyond an ensemble's thresholds, with missing values."""

    def make(ensemble, count=400):
        random = np.random.default_rng(0)
        at = np.unique(ensemble.threshold)
        near = [np.nextafter(at, np.float32(side)) for side in (-np.inf, np.inf)]
        ends = np.array([np.nan, np.inf, -np.inf], np.float32)
        return random.choice(np.concatenate([at, *near, ends]), (count, 3)).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def as_graph():
    """Return the bytes of a graph of an ensemble alone, from three columns to its margins."""

    def make(ensemble):
        builder = GraphBuilder()
        columns = [builder.input(f"f{i}", FLOAT) for i in range(3)]
        out = ensemble.to_onnx(builder, builder.node("Concat", columns, axis=1))
        model = builder.model([(out, "out", FLOAT, ["n", len(ensemble.base)])])
        return model.SerializeToString()

    return make


@pytest.fixture(scope="session")
def run():
    """Return what a graph of `as_graph` answers."""

    def answer(graph, x):
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        return session.run(None, {f"f{i}": x[:, i : i + 1] for i in range(3)})[0]

    return answer
