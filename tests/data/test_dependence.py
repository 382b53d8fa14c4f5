from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from raymm.data.dependence import dependences
from raymm.data.evidence import Evidence
from raymm.data.leak import leaks

N = 900


def found(made: Any) -> set[tuple[str, str]]:
    evidence = Evidence.of(made.table.frame, made.schema)
    return {(one.rule, one.column) for one in dependences(evidence)}


def entities(name: str, agreement: float, per: int = 5, *, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    owner = rng.integers(0, N // per, N)
    own = rng.integers(0, 2, N // per)[owner]
    y = np.where(rng.random(N) < agreement, own, rng.integers(0, 2, N))
    return {"x": rng.normal(size=N), name: [f"k{v}" for v in owner], "y": [f"c{v}" for v in y]}


@pytest.mark.parametrize(
    ("name", "agreement", "per", "told"),
    [
        ("customerID", 0.9, 5, True),
        ("patient", 0.9, 5, True),
        ("customerID", 1.0, 2, True),  # so many different ones that the schema leaves them out
        ("customerID", 0.0, 5, False),
        ("street", 1.0, 5, True),
        ("street", 0.7, 5, False),
        ("customerID", 1.0, 300, False),  # three shops, not entities
    ],
)
def test_entities_whose_rows_agree_are_told(
    name: str, agreement: float, per: int, told: bool, made: Callable[..., Any]
) -> None:
    expected = {("suspected group leak", name)} if told else set()
    assert found(made(entities(name, agreement, per))) == expected


def test_numbers_of_entities_count_where_they_are_named_so(made: Callable[..., Any]) -> None:
    columns = entities("user_id", 1.0)
    numbers = [int(word[1:]) * 16_777_217 for word in columns["user_id"]]
    assert found(made({**columns, "user_id": numbers})) == {("suspected group leak", "user_id")}
    columns["amount"] = numbers
    del columns["user_id"]
    assert found(made(columns)) == set()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        *(("subject#", True), ("userId", True), ("patient", True)),
        *(("vehicle_year", False), ("Customers", False), ("store_id", False), ("street", False)),
    ],
)
def test_entities_of_many_rows_are_told_where_the_name_says_no_more(
    name: str, told: bool, made: Callable[..., Any]
) -> None:
    rng = np.random.default_rng(0)
    owner = rng.integers(0, 25, 2000)
    y = rng.normal(size=25)[owner] + rng.normal(size=2000, scale=0.3)
    columns = {"x": rng.normal(size=2000), name: 10 + owner, "y": y}
    assert found(made(columns)) == ({("suspected group leak", name)} if told else set())


def test_a_column_kept_as_codes_is_told_the_same(made: Callable[..., Any]) -> None:
    columns = entities("user_id", 1.0)
    coded = {**columns, "user_id": pd.Categorical(columns["user_id"])}
    assert found(made(coded)) == {("suspected group leak", "user_id")}


@pytest.mark.parametrize("regression", [True, False])
def test_a_target_that_moves_with_time_is_told_from_one_that_does_not(
    regression: bool, made: Callable[..., Any]
) -> None:
    rng = np.random.default_rng(3)
    days = rng.permutation(N)
    season = np.sin(days / 60) + rng.normal(scale=1.0, size=N)
    for score, told in ((season, True), (rng.normal(size=N), False)):
        y = score if regression else np.where(score > 0, "b", "a")
        when = (np.datetime64("2021-01-01") + days).astype(str)
        expected = {("suspected time leak", "when")} if told else set()
        assert found(made({"x": rng.normal(size=N), "when": when, "y": y})) == expected


def test_nothing_is_said_where_time_or_groups_part_the_rows(made: Callable[..., Any]) -> None:
    columns = entities("user_id", 1.0)
    assert found(made(columns, group="user_id")) == set()
    assert found(made({**columns, "t": range(N)}, time="t")) == set()
    plain = made(columns)
    evidence = Evidence.of(plain.table.frame, plain.schema)
    group = ("suspected group leak", "user_id")
    for parted in (False, True):
        told = {(one.rule, one.column) for one in leaks(evidence, parted=parted)}
        assert (group in told) is not parted
