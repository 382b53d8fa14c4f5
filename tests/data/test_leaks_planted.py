"""Six planted leaks are found or made impossible, and clean tables raise few false alarms."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from raymm.artifacts import Table
from raymm.data import statistics
from raymm.data.evidence import Evidence
from raymm.data.leak import leaks
from raymm.data.validation import validate
from raymm.features.pipeline import fit_features

Maker = Callable[..., Any]
N = 600
ALARMS = {
    "suspected leak",
    "scaled before the split",
    "suspected group leak",
    "suspected time leak",
}


def alarms(made: Any) -> set[tuple[str, str]]:
    evidence = Evidence.of(made.table.frame, made.schema)
    return {(found.rule, found.column) for found in leaks(evidence)}


def plain(seed: int = 0, rows: int = N) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(3, 2, size=(rows, 3))
    return {
        **{f"x{i}": x[:, i].round(6) for i in range(3)},
        "word": rng.choice(list("abcde"), rows),
        "y": np.where(x[:, 0] + rng.normal(size=rows) > 3, "yes", "no"),
    }


def coded(columns: dict[str, Any]) -> dict[str, Any]:
    return {
        name: pd.Categorical(values) if np.asarray(values).dtype.kind in "UO" else values
        for name, values in columns.items()
    }


def test_a_copy_of_the_target_is_found(made: Maker) -> None:
    columns = plain()
    columns["copy"] = np.where(columns["y"] == "yes", "K1", "K0")
    for given in (columns, coded(columns)):
        assert alarms(made(given)) == {("suspected leak", "copy")}


def test_scaling_before_the_split_is_found(made: Maker) -> None:
    columns = plain()
    for name, decimals in (("x0", 12), ("x1", 3)):
        x = columns[name]
        columns[name] = ((x - x.mean()) / x.std()).round(decimals)
    expected = {("scaled before the split", name) for name in ("x0", "x1")}
    assert alarms(made(columns)) == expected


@pytest.mark.parametrize("encoding", ["dense", "ordinal"])
def test_scaling_and_encoding_with_test_rows_are_impossible(encoding: Any, made: Maker) -> None:
    first, other = plain(), plain()
    data = made(first).dataset()
    for name in ("x0", "x1", "x2"):
        other[name][data.test] = 1e6
    other["word"][data.test] = "zz"
    again = made(other).dataset()
    assert again.test.tolist() == data.test.tolist()
    made_of = []
    for one in (data, again):
        train = {name: values[one.train] for name, values in one.tensors.items()}
        features = fit_features(train, one.y[one.train], data.schema, encoding)
        made_of.append(features.transform(data.tensors))
    assert np.array_equal(*made_of)


@pytest.mark.slow
def test_duplicated_rows_cannot_lie_on_two_sides(made: Maker) -> None:
    columns = {name: np.concatenate([v, v, v[:100]]) for name, v in plain().items()}
    for given in (columns, coded(columns)):
        known = made(given)
        found = validate(known.table, known.schema, known.statistics)
        assert [a.observed[:8] for a in found if a.rule == "duplicate rows"] == ["700 rows"]
        data = known.dataset()
        rows = data.frame.astype(str).agg("|".join, axis=1).to_numpy()
        sides = [(data.train, data.test), *((fold.train, fold.valid) for fold in data.folds)]
        for one, two in sides:
            assert not set(rows[one]) & set(rows[two])


def test_rows_of_one_entity_are_found(made: Maker) -> None:
    columns = plain()
    owner = np.random.default_rng(1).integers(0, 120, N)
    columns["patient_id"] = [f"p{v}" for v in owner]
    columns["y"] = np.where(np.random.default_rng(2).random(120)[owner] > 0.5, "yes", "no")
    for given in (columns, coded(columns)):
        assert alarms(made(given)) == {("suspected group leak", "patient_id")}
    assert alarms(made(columns, group="patient_id")) == set()


def test_a_target_that_moves_with_time_is_found(made: Maker) -> None:
    columns = plain()
    days = np.random.default_rng(1).permutation(N)
    columns["seen"] = (np.datetime64("2020-01-01") + days).astype(str)
    columns["y"] = np.where(days + np.random.default_rng(2).normal(0, 150, N) > 300, "yes", "no")
    assert alarms(made(columns)) == {("suspected time leak", "seen")}
    assert alarms(made(columns, time="seen")) == set()


@pytest.mark.parametrize("weight", [0.0, 10.0])
@pytest.mark.parametrize("regression", [False, True])
def test_target_encoding_on_all_rows_is_found(weight: float, regression: bool, made: Maker) -> None:
    columns = plain()
    rng = np.random.default_rng(3)
    town = rng.integers(0, 150, N)
    columns["town"] = [f"t{v}" for v in town]
    if regression:
        columns["y"] = rng.normal(size=N)
    t = columns["y"] if regression else (columns["y"] == "yes").astype(float)
    sums, counts = np.bincount(town, t)[town], np.bincount(town)[town]
    columns["rate"] = ((sums + weight * t.mean()) / (counts + weight)).round(5)
    assert alarms(made(columns)) == {("suspected leak", "rate")}


def clean(seed: int) -> dict[str, Any]:
    """Return a table of a random shape whose target depends on some features, noise on top."""
    rng = np.random.default_rng(seed)
    rows = int(rng.choice([60, 120, 300, 1000]))
    width = int(rng.integers(2, 10))
    columns: dict[str, Any] = {}
    score = rng.normal(size=rows)
    for i in range(width):
        kind = rng.choice(["normal", "heavy", "whole", "word", "many", "gaps", "binary", "date"])
        x = rng.normal(size=rows)
        cells: Any = x.round(4)
        if kind == "heavy":
            cells = np.exp(1.5 * x).round(3)
        elif kind == "whole":
            cells = rng.poisson(3, rows)
        elif kind in ("word", "many"):
            levels = 5 if kind == "word" else max(2, rows // 8)
            code = rng.integers(0, levels, rows)
            cells, x = [f"w{v}" for v in code], rng.normal(size=levels)[code]
        elif kind == "gaps":
            cells = np.where(rng.random(rows) < 0.3, np.nan, x)
        elif kind == "binary":
            cells = (x > 1).astype(int)
        elif kind == "date":
            cells = (np.datetime64("2021-01-01") + rng.integers(0, 700, rows)).astype(str)
        name = f"{kind}{i}" + ("_id" if kind == "many" and rng.random() < 0.3 else "")
        columns[name] = cells
        if kind != "date" and rng.random() < 0.6:
            score = score + rng.uniform(0.2, 0.8) * x
    if rng.random() < 0.3:
        columns["y"] = np.exp(score) if rng.random() < 0.3 else score
    else:
        classes = int(rng.integers(2, 5))
        edges = np.quantile(score, np.sort(rng.uniform(0.1, 0.95, classes - 1)))
        columns["y"] = [f"c{v}" for v in np.searchsorted(edges, score)]
    return columns


@pytest.mark.slow
def test_at_most_one_clean_table_in_twenty_raises_an_alarm(made: Maker) -> None:
    # 60 tables, drawn once and for all: at most 3 may.
    wrong = {seed: found for seed in range(60) if (found := alarms(made(clean(seed))))}
    assert len(wrong) <= 3, wrong


@pytest.mark.slow
def test_of_the_shared_tables_only_the_shared_bicycles_leak(shared: Maker) -> None:
    for name in ("adult", "california_housing", "elec2", "iris", "letter", "sms_spam"):
        assert alarms(shared(name)) == set(), name
    assert alarms(shared("telco_churn")) == set()
    found = alarms(shared("bike_sharing_hour"))
    assert {column for rule, column in found if rule == "suspected leak"} == {
        "casual",
        "registered",
    }


def test_every_alarm_is_told_with_what_to_do(made: Maker) -> None:
    columns = plain()
    columns["copy"] = columns["y"]
    known = made(columns)
    table = Table(frame=known.table.frame, source="memory", sha256="")
    found = validate(table, known.schema, statistics.describe(table))
    told = [anomaly for anomaly in found if anomaly.rule in ALARMS]
    assert [anomaly.column for anomaly in told] == ["copy"]
    assert "data.exclude" in told[0].remedy
    assert all(a.rule and a.observed and a.allowed and a.remedy for a in found)
