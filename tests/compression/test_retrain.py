from __future__ import annotations

import numpy as np
import pytest

from raymm.compression.compressor import Rows
from raymm.compression.retrain import Retrain


def test_the_labels_alone_decide(dataset, trained):
    data = dataset("binary")
    rows = Rows(tensors=data.rows(data.train), y=data.y[data.train], metric=None)
    size = {"rounds": 5, "leaves": 4}
    first, second = (trained(data, rounds=rounds)[0] for rounds in (2, 30))
    made = [Retrain().apply(one, size, rows) for one in (first, second)]
    assert made[0].graph == made[1].graph
    turned = Rows(tensors=rows.tensors, y=1 - rows.y, metric=None)
    assert Retrain().apply(first, size, turned).graph != made[0].graph


@pytest.mark.slow
@pytest.mark.parametrize("count", [10, 250])
def test_few_rows_are_not_trained_on(dataset, trained, count):
    data = dataset("binary")
    bundle, _ = trained(data, rounds=300)
    chosen = np.arange(count)
    rows = Rows(tensors=data.rows(chosen), y=data.y[chosen], metric=None)
    assert bool(Retrain().recipes(bundle, rows)) == (count >= 200)
