from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from raymm.artifacts import Column, Dataset, Lineage, Schema, Statistics
from raymm.bundle.graph import to_graph
from raymm.bundle.packed import Bundle
from raymm.bundle.pipeline import fit

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
