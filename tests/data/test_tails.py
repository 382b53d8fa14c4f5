from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from raymm.data.evidence import Evidence
from raymm.data.tails import ruled, tails

RNG = np.random.default_rng(0)
N = 2000


def test_the_share_of_few_rows_is_that_of_known_distributions() -> None:
    # Of a standard normal distribution, E[z²; |z| > 2.576] = 0.01 + 2 · 2.576 · φ(2.576) = 0.0845.
    assert ruled(RNG.normal(size=200_000)) == pytest.approx(0.0845, abs=0.005)
    assert ruled(RNG.uniform(size=N)) < 0.04
    assert ruled(RNG.lognormal(0, 3, 10_000)) > 0.8
    assert ruled(np.full(N, 5.0)) == 0
    assert ruled(np.arange(99.0)) == 0
    assert ruled(np.where(RNG.random(N) < 0.1, 99_999.0, 0.0)) == 0
    assert ruled(np.array([1e300, -1e300] * 100)) == pytest.approx(0.01)


def found(made: Callable[..., Any], columns: dict[str, Any], metric: str = "auto") -> list[Any]:
    known = made(columns)
    return list(tails(Evidence.of(known.table.frame, known.schema), metric))


def test_a_target_ruled_by_few_rows_is_told_where_squares_count(made: Callable[..., Any]) -> None:
    heavy = {"x": RNG.normal(size=N), "y": RNG.lognormal(0, 2.5, N)}
    (told,) = found(made, heavy)
    assert (told.rule, told.column, told.severity) == ("heavy tails", "y", "warning")
    assert "mae" in told.remedy
    assert "rmsle" in told.remedy
    assert found(made, heavy, "rmse")
    assert not found(made, heavy, "mae")
    (told,) = found(made, {**heavy, "y": heavy["y"] - 1})
    assert "rmsle" not in told.remedy


def test_features_are_told_once_a_table(made: Callable[..., Any]) -> None:
    columns = {f"x{i}": RNG.lognormal(0, 4, N) for i in range(7)} | {"z": RNG.normal(size=N)}
    (told,) = found(made, {**columns, "y": RNG.normal(size=N)})
    assert told.column == ""
    assert "7 features" in told.observed
    assert "'z'" not in told.observed


@pytest.mark.parametrize("draw", ["normal", "exponential", "uniform"])
def test_usual_numbers_are_no_tails(draw: str, made: Callable[..., Any]) -> None:
    sample = getattr(RNG, draw)
    assert not found(made, {"x": sample(size=N), "y": sample(size=N)})
