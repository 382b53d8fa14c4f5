"""User functions: plain, generating and reporting ones give the same rungs."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from raymm.search.objective import FunctionRun, MakeCall, Report, describe, place_of, value_of


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


def counting(config: dict[str, Any], report: Report) -> None:
    """Train on from a count of steps; the value is what was trained in all."""
    trained = report.checkpoint or []
    assert len(trained) == report.step
    while True:
        trained.append(config["x"])
        report(sum(trained), checkpoint=trained)


def drive(run: FunctionRun) -> list[tuple[int, float]]:
    told = [run.advance()]
    while not told[-1].done:
        told.append(run.advance())
    return [(rung.rounds, rung.value) for rung in told]


def test_a_budget_ends_a_function_and_a_restored_one_goes_on_beyond() -> None:
    first = FunctionRun(counting, {"x": 1.0}, "loss", budget=3)
    assert drive(first) == [(1, 1.0), (2, 2.0), (3, 3.0)]
    second = FunctionRun(counting, {"x": 10.0}, "loss", budget=5)
    second.restore(first.save())
    assert drive(second) == [(4, 13.0), (5, 23.0)]
    # The first one's state is a snapshot: others may start from it too.
    third = FunctionRun(counting, {"x": 2.0}, "loss", budget=3)
    third.restore(first.save())
    assert drive(third) == [(4, 5.0)], "a spent budget brings one report all the same"


def test_a_function_without_checkpoints_begins_anew() -> None:
    for function in (generating, reporting):
        run = FunctionRun(function, {"x": 6.0}, "loss", budget=2)
        assert drive(run) == [(1, 6.0), (2, 3.0)]
        assert run.save() is None
        again = FunctionRun(function, {"x": 6.0}, "loss", budget=3)
        again.restore(run.save())
        assert drive(again) == [(1, 6.0), (2, 3.0), (3, 2.0)]


def test_a_checkpoint_older_than_the_last_report_is_where_training_goes_on() -> None:
    def function(config: dict[str, Any], report: Report) -> None:
        for step in range(report.step, 9):
            report(float(step), checkpoint=step if step == 1 else None)

    run = FunctionRun(function, {}, "loss", budget=4)
    assert drive(run) == [(1, 0.0), (2, 1.0), (3, 2.0), (4, 3.0)]
    again = FunctionRun(function, {}, "loss", budget=4)
    again.restore(run.save())
    assert drive(again) == [(3, 2.0), (4, 3.0)]


def test_what_has_ended_by_itself_gives_its_last_value_again() -> None:
    def function(config: dict[str, Any], report: Report) -> None:
        for step in range(report.step, 2):
            report(float(step), checkpoint=step)

    run = FunctionRun(function, {}, "loss", budget=9)
    drive(run)
    again = FunctionRun(function, {}, "loss", budget=27)
    again.restore(run.save())
    assert drive(again) == [(2, 1.0)]


def test_a_folder_is_handed_on_with_its_files(tmp_path: Path) -> None:
    seen = []

    def function(config: dict[str, Any], report: Report) -> None:
        if report.checkpoint is not None:
            seen.append(report.checkpoint)
            assert (report.checkpoint / "deep" / "weights").read_bytes() == b"0"
        (tmp_path / "deep").mkdir(exist_ok=True)
        for step in range(3):
            (tmp_path / "deep" / "weights").write_text(str(step))
            report(0.0, checkpoint=str(tmp_path) if step == 0 else None)

    run = FunctionRun(function, {}, "loss", budget=2)
    drive(run)
    again = FunctionRun(function, {}, "loss", budget=3)
    again.restore(run.save())
    drive(again)
    again.close()
    assert len(seen) == 1
    assert not seen[0].exists(), "the folder is removed after the trial"


@pytest.mark.parametrize("thing", [threading.Lock(), Path("no/such/folder")])
def test_what_cannot_be_kept_is_refused_where_it_is_reported(thing: Any) -> None:
    def function(config: dict[str, Any], report: Report) -> None:
        report(1.0, checkpoint=thing)

    with pytest.raises((TypeError, ValueError), match="checkpoint") as caught:
        FunctionRun(function, {}, "loss").advance()
    assert describe(caught.value).endswith("in function")


def test_a_trial_that_goes_on_draws_other_numbers() -> None:
    import random

    def function(config: dict[str, Any], report: Report) -> None:
        while True:
            report(random.random(), checkpoint=0)

    make = MakeCall(function=function, metric="loss", seed=0)
    run = make(4, {}, 2)
    first = drive(run)  # type: ignore[arg-type]
    again = make(4, {}, 4)
    again.restore(run.save())  # type: ignore[attr-defined]
    assert not {value for _, value in first} & {value for _, value in drive(again)}  # type: ignore[arg-type]


def test_every_objective_must_be_given():
    run = FunctionRun(
        lambda c: {"error": 1.0, "bytes": 2.0}, {}, "error", needed=("error", "bytez")
    )
    with pytest.raises(TypeError, match='must give "bytez", but it gave "error", "bytes"'):
        run.advance()


@pytest.mark.parametrize("returned", [{"loss": 1.0}, {}, "x", math.nan])
def test_a_value_that_cannot_be_used_points_to_the_function(returned: Any) -> None:
    def train(config: dict[str, Any]) -> Any:
        return returned

    with pytest.raises((TypeError, ValueError)) as caught:
        FunctionRun(train, {}, "accuracy").advance()
    told = describe(caught.value)
    line = train.__code__.co_firstlineno
    assert told.endswith(f"\n{__file__}, line {line}, in train")
    assert len(told.splitlines()) == 2, "no frame of raymm's is told"


def test_a_function_that_reports_nothing_is_pointed_to() -> None:
    def train(config: dict[str, Any], report: Report) -> None:
        pass

    with pytest.raises(TypeError, match="gave no loss") as caught:
        FunctionRun(train, {}, "loss").advance()
    assert describe(caught.value).endswith("in train")


def test_a_callable_that_is_no_function_has_a_place_too() -> None:
    class Training:
        def __call__(self, config: dict[str, Any]) -> float:
            return math.nan

    assert place_of(Training()).endswith("in __call__")
    assert place_of(abs) == ""
