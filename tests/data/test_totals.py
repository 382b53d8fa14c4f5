from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from raymm.data.evidence import Evidence
from raymm.data.totals import totals

N = 500
RNG = np.random.default_rng(0)


def found(made: Any) -> dict[str, str]:
    evidence = Evidence.of(made.table.frame, made.schema)
    return {one.column: one.observed for one in totals(evidence)}


def parts() -> dict[str, Any]:
    return {name: RNG.gamma(2, 50, N).round(2) for name in ("a", "b", "c", "other")}


def test_sums_differences_and_products_are_told_with_their_formula(
    made: Callable[..., Any],
) -> None:
    for make, told in (
        (lambda p: p["a"] + p["b"], {"y = a + b", "y = b + a"}),
        (lambda p: p["a"] - p["b"] + 7000, {"y = a - b up to a constant"}),
        (lambda p: p["a"] * p["b"], {"y = a × b", "y = b × a"}),
        (lambda p: p["a"] / p["b"], {"y = a / b"}),
        (lambda p: 0.3 * p["a"] + 0.7 * p["b"], {"y is a weighted sum of a, b",
                                                "y is a weighted sum of b, a"}),
    ):  # fmt: skip
        given = parts()
        answer = found(made({**given, "y": make(given)}))
        assert set(answer) == {"a", "b"}
        assert set(answer.values()) <= told


def test_many_parts_of_one_total_are_all_found(made: Callable[..., Any]) -> None:
    months = {f"m{i}": RNG.gamma(2, 50, N).round(2) for i in range(12)}
    gap = np.where(RNG.random(N) < 0.05, np.nan, RNG.normal(size=N))
    for total in (sum(months.values()), sum(months.values()) / 12):
        assert set(found(made({**months, "gap": gap, "y": total}))) == set(months)


def test_a_good_sum_a_lone_copy_and_an_outlier_are_no_formula(made: Callable[..., Any]) -> None:
    given = parts()
    noise = RNG.normal(scale=5, size=N)
    assert found(made({**given, "y": given["a"] + given["b"] + noise})) == {}
    assert found(made({**given, "y": given["a"]})) == {}
    huge = {name: np.where(np.arange(N) == 7, 1e9, values) for name, values in given.items()}
    y = np.where(np.arange(N) == 7, 3e9, RNG.gamma(2, 50, N))
    assert found(made({**huge, "y": y})) == {}
    # A law of nature without noise has weights that nobody writes.
    assert found(made({**given, "y": 31.4159 * given["a"] + 2.71828 * given["b"]})) == {}


def test_a_few_rows_make_no_formula(made: Callable[..., Any]) -> None:
    wide = {f"x{i}": RNG.normal(size=60) for i in range(60)}
    assert found(made({**wide, "y": RNG.normal(size=60)})) == {}


def test_the_parts_of_all_rented_bicycles_are_named(shared: Callable[..., Any]) -> None:
    told = found(shared("bike_sharing_hour"))
    assert set(told) == {"casual", "registered"}
    assert set(told.values()) == {"cnt = registered + casual"}


@pytest.mark.parametrize("name", ["california_housing", "adult"])
def test_tables_without_a_formula_have_none(name: str, shared: Callable[..., Any]) -> None:
    assert found(shared(name)) == {}
