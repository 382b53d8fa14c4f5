from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from raymm.data.evidence import Evidence
from raymm.data.scarcity import few_of_a_class, few_rows, nearly_constant

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (9, [("few rows", "error"), ("few rows for the features", "warning")]),
        (49, [("few rows", "warning"), ("few rows for the features", "warning")]),
        (50, [("few rows", "warning")]),
        (100, []),
    ],
)
def test_rows_are_few_in_all_and_for_the_features(
    rows: int, told: list[tuple[str, str]], made: Callable[..., Any]
) -> None:
    columns = {f"x{i}": RNG.normal(size=60) for i in range(10)}
    known = made({**columns, "y": ["a", "b"] * 30}).schema
    assert [(one.rule, one.severity) for one in few_rows(rows, known)] == told


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["a", "b"] * 60, []),
        (["a"] * 19 + ["b"] * 100, ["few rows of a class"]),
        (["a"] * 30 + ["b"] * 400, ["class imbalance"]),
        (["a"] * 5 + ["b"] * 200, ["class imbalance", "few rows of a class"]),
        (["Yes", "yes", "no"] * 40, ["classes spelled alike"]),
        (["<=50K", ">50K", "A+", "A-"] * 30, []),
    ],
)
def test_classes_are_few_rare_or_spelled_alike(
    labels: list[str], told: list[str], made: Callable[..., Any]
) -> None:
    known = made({"x": RNG.normal(size=len(labels)), "y": labels})
    evidence = Evidence.of(known.table.frame, known.schema)
    found = few_of_a_class(known.schema, evidence.y, evidence.known)
    assert [one.rule for one in found] == told


def test_metrics_are_advised_where_none_is_chosen(made: Callable[..., Any]) -> None:
    labels = ["a"] * 30 + ["b"] * 400
    known = made({"x": RNG.normal(size=len(labels)), "y": labels})
    evidence = Evidence.of(known.table.frame, known.schema)
    for metric, advised in (("auto", True), ("f1", False)):
        (told,) = few_of_a_class(known.schema, evidence.y, evidence.known, metric)
        assert told.rule == "class imbalance"
        assert ("Judge the model by roc_auc" in told.remedy) is advised


def test_it_is_told_where_the_common_class_is_the_positive_one(made: Callable[..., Any]) -> None:
    for common, told in (("whole", True), ("broken", False)):
        rare = {"whole": "a break", "broken": "whole"}[common]
        labels = [rare] * 30 + [common] * 400
        known = made({"x": RNG.normal(size=len(labels)), "y": labels})
        evidence = Evidence.of(known.table.frame, known.schema)
        (found,) = few_of_a_class(known.schema, evidence.y, evidence.known)
        assert ("data.positive='a break' makes it the rare one" in found.remedy) is told


def test_columns_that_hardly_change_are_told(made: Callable[..., Any]) -> None:
    n = 400
    rare = np.arange(n) % 100 == 0
    some = np.arange(n) % 20 == 0
    columns = {
        "word": np.where(rare, "b", "a"),
        "flag": np.where(rare, "yes", "no"),
        "number": np.where(rare, RNG.normal(size=n), 0.0),
        "fine_word": np.where(some, "b", "a"),
        "fine_number": np.where(some, 5.0, 0.0),
        "x": RNG.normal(size=n),
        "y": ["a", "b"] * (n // 2),
    }
    known = made(columns)
    found = [a for c in known.schema.features for a in nearly_constant(c, known.statistics)]
    assert [one.column for one in found] == ["word", "flag", "number"]
