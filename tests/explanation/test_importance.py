from __future__ import annotations

import numpy as np
import pytest

from raymm.explanation.importance import permutation_importance


class SquaredError:
    name = "mse"
    direction = "minimize"

    def __call__(self, truth: np.ndarray, prediction: np.ndarray) -> float:
        return float(np.square(truth - prediction).mean())


def linear(tensors) -> np.ndarray:
    return 3.0 * tensors["a"] + 1.0 * tensors["b"] + 0.0 * tensors["c"]


@pytest.fixture
def tensors() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {name: generator.normal(size=1000) for name in ("c", "b", "a")}


def test_shuffling_a_column_of_a_linear_model_costs_twice_its_variance(tensors) -> None:
    truth = linear(tensors)
    found = permutation_importance(linear, tensors, truth, SquaredError(), seed=0)
    assert [one.column for one in found] == ["a", "b", "c"]
    for one, weight in zip(found, (3, 1, 0), strict=True):
        expected = 2 * weight**2 * tensors[one.column].var()
        # (x - x')² with x, x' independent normals has mean 2 and deviation 2·sqrt(2); over 1,000
        # rows and 5 shuffles that share x, the relative deviation is below sqrt(2/1000) = 4.5 %.
        assert one.value == pytest.approx(expected, rel=0.18, abs=1e-12)
        assert one.low <= one.value <= one.high


def test_a_column_the_model_does_not_read_has_no_importance(tensors) -> None:
    found = permutation_importance(linear, tensors, linear(tensors), SquaredError(), seed=0)
    assert (found[-1].value, found[-1].low, found[-1].high) == (0, 0, 0)


def test_a_metric_to_maximize_keeps_the_sign(tensors) -> None:
    class Minus(SquaredError):
        direction = "maximize"

        def __call__(self, truth: np.ndarray, prediction: np.ndarray) -> float:
            return -super().__call__(truth, prediction)

    truth = linear(tensors)
    one = permutation_importance(linear, tensors, truth, SquaredError(), seed=3)
    two = permutation_importance(linear, tensors, truth, Minus(), seed=3)
    assert [x.value for x in one] == pytest.approx([x.value for x in two])


def test_no_more_rows_are_predicted_than_allowed(tensors) -> None:
    sizes = set()

    def spy(rows) -> np.ndarray:
        sizes.add(len(rows["a"]))
        return linear(rows)

    permutation_importance(spy, tensors, linear(tensors), SquaredError(), seed=0, max_rows=123)
    assert sizes == {123}


def test_a_column_that_is_not_read_is_predicted_once(tensors) -> None:
    seen = []

    def predict(rows):
        seen.append(len(rows["a"]))
        return rows["a"].astype(np.float64)

    permutation_importance(predict, tensors, tensors["a"], SquaredError(), seed=0)
    assert len(seen) == 1 + 5 + (len(tensors) - 1)


@pytest.mark.slow
def test_a_shuffle_that_happens_to_move_nothing_does_not_end_the_measuring() -> None:
    rows = {"a": np.array([0.0, 0, 0, 0, 1])}
    for seed in range(20):
        found = permutation_importance(
            lambda given: 10 * given["a"],
            rows,
            10 * rows["a"],
            SquaredError(),
            seed=seed,
            repeats=40,
        )
        assert found[0].value > 0


def test_columns_that_are_not_named_are_not_shuffled(tensors) -> None:
    truth = linear(tensors)
    found = permutation_importance(linear, tensors, truth, SquaredError(), seed=0, columns={"b"})
    assert [one.column for one in found] == ["b"]
    assert found[0].value > 0
