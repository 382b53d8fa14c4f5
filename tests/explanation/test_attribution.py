from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.explanation import attribution
from raymm.explanation.attribution import Exact, contributions_by_column, explain, shapley


class Error:
    name = "mae"
    direction = "minimize"

    def __call__(self, truth: np.ndarray, prediction: np.ndarray) -> float:
        return float(
            np.abs(truth - (prediction if prediction.ndim == 1 else prediction[:, 1])).mean()
        )


def table(rows: int, seed: int, columns: int = 4) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {f"x{i}": generator.normal(size=rows) for i in range(columns)}


def exact_shapley(output, tensors, background) -> np.ndarray:
    """The definition: the weighted sum over every coalition of columns (Shapley 1953)."""
    names, n = list(tensors), len(tensors["x0"])
    d, b = len(names), len(background["x0"])

    def worth(coalition: set[str]) -> np.ndarray:
        rows = {
            k: np.repeat(tensors[k], b) if k in coalition else np.tile(background[k], n)
            for k in names
        }
        return output(rows).reshape(n, b).mean(axis=1)

    values = np.zeros((n, d))
    for place, name in enumerate(names):
        others = [other for other in names if other != name]
        for size in range(d):
            weight = factorial(size) * factorial(d - size - 1) / factorial(d)
            for chosen in combinations(others, size):
                gain = worth({*chosen, name}) - worth(set(chosen))
                values[:, place] += weight * gain
    return values


def pairs(t) -> np.ndarray:
    return t["x0"] * t["x1"] + 2 * t["x2"] ** 2 - t["x3"] * t["x0"] + 1


def triples(t) -> np.ndarray:
    return t["x0"] * t["x1"] * t["x2"] + np.sin(t["x3"])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_contributions_and_base_add_up_to_the_output(seed: int) -> None:
    rows, background = table(5, seed), table(3, seed + 1)
    parts, base = shapley(triples, rows, background, generator=np.random.default_rng(seed))
    np.testing.assert_allclose(base + parts.sum(axis=1), triples(rows), atol=1e-10)
    assert base == pytest.approx(triples(background).mean())


def test_functions_of_pairs_are_exact() -> None:
    rows, background = table(6, 0), table(4, 1)
    parts, _ = shapley(pairs, rows, background, generator=np.random.default_rng(0))
    np.testing.assert_allclose(parts, exact_shapley(pairs, rows, background), atol=1e-10)


def test_sampling_comes_to_the_exact_values() -> None:
    rows, background = table(4, 0), table(2, 1)
    expected = exact_shapley(triples, rows, background)
    generator = np.random.default_rng(0)
    few = [shapley(triples, rows, background, generator=generator)[0] for _ in range(200)]
    # The mean of 200 independent samples lies within five of its own standard errors.
    error = np.std(few, axis=0, ddof=1) / np.sqrt(200)
    assert (np.abs(np.mean(few, axis=0) - expected) <= 5 * error + 1e-10).all()


def test_columns_that_play_one_part_get_one_share_and_idle_ones_none() -> None:
    rows, background = table(3, 0), table(3, 1)
    for one in (rows, background):
        one["x1"] = one["x0"]
    parts, _ = shapley(
        lambda t: t["x0"] * t["x1"], rows, background, generator=np.random.default_rng(0)
    )
    np.testing.assert_allclose(parts[:, 0], parts[:, 1])
    np.testing.assert_array_equal(parts[:, 2:], 0)


def test_features_are_added_up_by_their_column() -> None:
    features = np.arange(24.0).reshape(2, 3, 4)
    parts, base = contributions_by_column(features, ["b", "a", "b"], ["a", "b", "c"], output=1)
    np.testing.assert_array_equal(parts, [[5, 4 + 6, 0], [17, 16 + 18, 0]])
    assert base == 7
    with pytest.raises(ValueError, match="one entry a feature"):
        contributions_by_column(features[:, 0], ["a"], ["a"])
    with pytest.raises(ValueError, match="z"):
        contributions_by_column(features[:, 0], ["a", "z", "a"], ["a"])


def booster():
    import lightgbm

    rows = table(300, 0)
    x = np.stack(list(rows.values()), axis=1).astype(np.float32)
    y = (pairs(rows) > 2).astype(np.int64)
    data = lightgbm.Dataset(x, y)
    how = {"objective": "binary", "verbose": -1, "num_threads": 1, "seed": 0}
    model = lightgbm.train(how, data, num_boost_round=20)

    def predict(tensors) -> np.ndarray:
        p = model.predict(np.stack(list(tensors.values()), axis=1).astype(np.float32))
        return np.stack([1 - p, p], axis=1)

    return predict, rows, y, model.predict(x[:10], pred_contrib=True)


@pytest.mark.slow
def test_tree_shap_is_kept_where_its_sums_are_the_outputs_log_odds_and_else_left() -> None:
    predict, rows, y, contributions = booster()
    what = {"task": "binary", "unit": "yes", "seed": 0, "rows": 10}
    kept = explain(
        predict, rows, y, Error(), exact=Exact(contributions=contributions, columns=[*rows]), **what
    )
    assert kept.unit == "log-odds of yes"
    p = predict({name: values[:10] for name, values in rows.items()})[:, 1]
    np.testing.assert_allclose(kept.outputs, np.log(p / (1 - p)), rtol=1e-6)
    wrong = Exact(contributions=contributions + 0.1, columns=[*rows])
    left = explain(predict, rows, y, Error(), exact=wrong, **what)
    assert left.unit == "probability of yes"
    np.testing.assert_allclose(left.outputs, p, atol=1e-9)
    np.testing.assert_allclose(np.sum(left.contributions, axis=1) + left.base, p, atol=1e-9)


def test_values_are_explained_in_the_targets_unit() -> None:
    rows = table(50, 0)
    found = explain(pairs, rows, pairs(rows), Error(), task="regression", unit="price", seed=0)
    assert found.unit == "price"
    assert found.columns == tuple(rows)
    assert np.shape(found.contributions) == (20, 4)
    np.testing.assert_allclose(found.outputs, pairs(rows)[:20])


def test_a_wide_table_is_explained_on_fewer_rows(monkeypatch) -> None:
    generator = np.random.default_rng(0)
    tensors = {f"c{i}": generator.normal(size=400) for i in range(30)}
    y = tensors["c0"] + 0.1 * tensors["c1"]
    most: list[int] = []

    def predict(rows):
        most.append(len(rows["c0"]))
        return rows["c0"] + 0.1 * rows["c1"]

    monkeypatch.setattr(attribution, "_CELLS", 1e6)
    told = attribution.explain(
        predict, tensors, y, Error(),
        task="regression", unit="y", seed=0, rows=50, shuffled=400,
    )  # fmt: skip
    assert len(told.outputs) == int(1e6 / (40 * 30 * 31))
    assert most[-1] == 200  # of 400: 1e6 / (6 * 30 * 30) = 185, and 200 at least
    assert told.importance[0].column == "c0"


@pytest.mark.parametrize("known", [True, False])
def test_of_a_very_wide_table_the_columns_that_contribute_most_are_shuffled(
    monkeypatch, known
) -> None:
    generator = np.random.default_rng(0)
    tensors = {f"c{i}": generator.normal(size=400) for i in range(100)}
    weights = np.zeros(100)
    weights[[70, 7, 33]] = 3.0, 2.0, 1.0
    cells = [0]

    def predict(rows):
        cells[0] += 100 * len(rows["c0"])
        return np.column_stack(list(rows.values())) @ weights

    monkeypatch.setattr(attribution, "_CELLS", 1e6)
    values = np.column_stack([part[:50] for part in tensors.values()])
    parts = np.column_stack([values * weights, np.zeros(50)])
    told = attribution.explain(
        predict, tensors, predict(tensors), Error(), task="regression", unit="y", seed=0, rows=50,
        exact=Exact(contributions=parts, columns=[*tensors]) if known else None,
    )  # fmt: skip
    # 1e6 / (6 shuffles and all of 200 rows of 100 columns) = 8 columns.
    assert len(told.importance) == 8
    assert [one.column for one in told.importance[:3]] == ["c70", "c7", "c33"]
    assert np.shape(told.contributions)[1] == 100
    assert len(told.outputs) == (50 if known else 5)
    # 1e6 / (walks there and back of 101 steps, 100 columns and 5 rows) = 9.9
    assert known or "9 background rows" in told.method
    # Each of the two may take as much, and a few calls more look at the rows as they are.
    assert cells[0] < 2.2e6


def test_few_columns_are_all_shuffled() -> None:
    rows = table(400, 0)
    found = explain(pairs, rows, pairs(rows), Error(), task="regression", unit="y", seed=0)
    assert {one.column for one in found.importance} == set(rows)
