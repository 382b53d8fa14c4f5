from __future__ import annotations

import numpy as np
import pytest

from raymm.artifacts import Column, Schema
from raymm.plugins import explainers


@pytest.mark.parametrize("name", explainers.names())
@pytest.mark.parametrize("columns", [1, 3, 12])
def test_every_explainer_adds_up_and_gives_each_column_of_a_sum_its_own(
    name: str, columns: int
) -> None:
    names = [f"x{i}" for i in range(columns)]
    schema = Schema(
        columns=tuple(Column(name=n, kind="number", minimum=-1, maximum=1) for n in names),
        target="y",
        task="regression",
    )

    def predict(tensors: dict[str, np.ndarray]) -> np.ndarray:
        return sum((i + 1) * tensors[n] for i, n in enumerate(names)) + 0.5

    rows = {n: np.random.default_rng(i).normal(size=4) for i, n in enumerate(names)}
    made = explainers.get(name)(predict, schema, None, seed=0)
    found = made.explain(rows)
    assert found.columns == tuple(names)
    assert found.values.shape == found.errors.shape == (4, 1, columns)
    np.testing.assert_allclose(found.base + found.values.sum(axis=2), found.outputs, atol=1e-6)
    np.testing.assert_allclose(found.outputs[:, 0], predict(rows), atol=1e-6)
    # the background is 0 everywhere, and a linear function's contributions are its terms
    for place, column in enumerate(names):
        np.testing.assert_allclose(found.values[:, 0, place], (place + 1) * rows[column], atol=1e-5)
    np.testing.assert_array_equal(made.explain(rows).values, found.values)
