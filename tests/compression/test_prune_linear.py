"""Linear models lose columns, and the features before them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from raymm.artifacts import Column
from raymm.bundle.run import Runner
from raymm.compression import finetuning
from raymm.compression.compressor import Rows
from raymm.compression.network import networks
from raymm.compression.prune_linear import PruneLinear
from raymm.errors import BundleError
from raymm.evaluation.metrics import metric_for

METRICS = {"binary": "roc_auc", "multiclass": "roc_auc", "regression": "r2"}


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(finetuning, "MOST_STEPS", 400)


@pytest.fixture(scope="module")
def case(dataset, trained):
    """Return a table of which two columns of twelve say all, its linear bundle and its rows."""

    def make(task):
        data = dataset(task, rows=1000)
        random = np.random.default_rng(1)
        noise = {f"n{i}": random.normal(size=1000).astype(np.float32) for i in range(8)}
        columns = tuple(Column(name=name, kind="number") for name in noise)
        schema = replace(data.schema, columns=(*columns, *data.schema.columns))
        data = replace(data, tensors={**noise, **data.tensors}, schema=schema)
        bundle, _ = trained(data, "linear")
        metric = metric_for(METRICS[task], task)
        rows = Rows(tensors=data.rows(data.train), y=data.y[data.train], metric=metric)
        return data, bundle, rows

    return make


@pytest.mark.slow
@pytest.mark.parametrize("task", METRICS)
def test_what_says_nothing_goes(case, task):
    data, bundle, rows = case(task)
    small = PruneLinear().apply(bundle, {"columns": 0.1}, rows)
    tensors, y = data.rows(data.test), data.y[data.test]
    before, after = (rows.metric(y, Runner(one).predict(tensors)) for one in (bundle, small))
    # 500 rows: a share of them has a standard deviation of at most 0.023.
    assert after > before - 0.05
    (found,) = networks(onnx.ModelProto.FromString(small.graph))
    assert found.layers[0].matrix.shape[0] == 3
    assert len(small.to_bytes()) < 0.7 * len(bundle.to_bytes())
    assert small.to_bytes() == PruneLinear().apply(bundle, {"columns": 0.1}, rows).to_bytes()


def test_recipes_fall_and_other_families_have_none(case, dataset, trained):
    _, bundle, rows = case("binary")
    shares = [float(one["columns"]) for one in PruneLinear().recipes(bundle, rows)]
    assert shares == sorted(shares, reverse=True)
    assert 1 <= len(shares) <= 3
    for family in ("mlp", "lightgbm"):
        other, _ = trained(dataset("binary"), family, 3)
        assert PruneLinear().recipes(other, rows) == ()


@pytest.mark.parametrize("share", [0.0, 2.0])
def test_shares_out_of_range_are_refused(case, share):
    _, bundle, rows = case("binary")
    with pytest.raises(BundleError, match="prune_linear needs"):
        PruneLinear().apply(bundle, {"columns": share}, rows)
