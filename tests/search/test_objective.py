"""User functions: plain, generating and reporting ones give the same rungs."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from raymm.search.objective import FunctionRun, MakeCall, describe, value_of


def plain(config: dict[str, Any]) -> float:
    return float(config["x"])


def generating(config: dict[str, Any]) -> Iterator[dict[str, float]]:
    for step in range(3):
        yield {"loss": config["x"] / (step + 1)}


def reporting(config: dict[str, Any], report: Callable[..., None]) -> None:
    for step in range(3):
        report(loss=config["x"] / (step + 1))


def rungs(function: Callable[..., Any]) -> list[tuple[int, float]]:
    run, told = FunctionRun(function, {"x": 6.0}, "loss"), []
    for _ in range(10):
        rung = run.advance()
        if not told or told[-1] != (rung.rounds, rung.value):
            told.append((rung.rounds, rung.value))
        if rung.done:
            return told
    raise AssertionError("the run did not end")


def test_each_form_gives_its_values() -> None:
    assert rungs(plain) == [(1, 6.0)]
    assert rungs(generating) == rungs(reporting) == [(1, 6.0), (2, 3.0), (3, 2.0)]


def test_a_stopped_function_ends_in_report() -> None:
    left = threading.Event()

    def function(config: dict[str, Any], report: Callable[..., None]) -> None:
        try:
            while True:
                report(1.0)
        finally:
            left.set()

    run = FunctionRun(function, {}, "loss")
    run.advance()
    run.close()
    assert left.wait(1)


@pytest.mark.parametrize("given", [math.nan, math.inf, "x", None, {"acc": 1.0}, {}])
def test_what_is_no_number_is_refused(given: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="loss"):
        value_of(given, "loss")


def test_the_last_frame_of_the_user_is_told() -> None:
    def train(config: dict[str, Any]) -> float:
        raise ValueError("no such column")

    with pytest.raises(ValueError, match="column") as caught:
        FunctionRun(train, {}, "loss").advance()
    told = describe(caught.value)
    assert told.startswith("ValueError: no such column\n")
    assert told.endswith("in train")
    assert __file__ in told


def test_calls_are_seeded_by_trial() -> None:
    import random

    make = MakeCall(function=lambda config: random.random(), metric="loss", seed=3)
    values = [make(number, {}, None).advance() for number in (0, 1, 0)]
    assert values[0] == values[2] != values[1]
