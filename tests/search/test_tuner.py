"""raymm's algorithms in a Tuner: asked, told, saved and restored; and what Tune is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raymm.artifacts import Config, Float, Space
from raymm.errors import ConfigError
from raymm.search import tuner
from raymm.search.random import Random
from raymm.search.trial import Rung

SPACE: Space = {"x": Float(-1.0, 1.0)}


class Base:
    """Stands for Tune's Searcher."""

    def __init__(self, metric: str, mode: str) -> None:
        self.metric, self.mode = metric, mode


class Algorithm(tuner.Algorithm, Base):
    pass


def algorithm(name: str = "tpe", space: Mapping[str, Any] = SPACE) -> Algorithm:
    return Algorithm(name, space, metric="loss", mode="minimize", seed=3)


def drive(searcher: Algorithm, numbers: range) -> list[Any]:
    made = []
    for number in numbers:
        config = searcher.suggest(f"t{number}")
        made.append(config)
        searcher.on_trial_result(f"t{number}", {"loss": config["x"] ** 2 + 1})
        result = {"loss": config["x"] ** 2} if number % 5 else {"loss": float("nan")}
        searcher.on_trial_complete(f"t{number}", result, error=number % 7 == 3)
    return made


def test_it_is_asked_and_told_as_the_algorithm_itself() -> None:
    searcher = algorithm("random")
    twin = Random(SPACE, mode="minimize", generator=np.random.default_rng(3))
    assert drive(searcher, range(5)) == [s.config for s in twin.suggest(5)]
    assert (searcher.metric, searcher.mode) == ("loss", "min")


def test_what_was_saved_goes_on_as_the_undisturbed_one(tmp_path: Path) -> None:
    whole = algorithm()
    drive(whole, range(10))
    whole.save(str(tmp_path / "state"))
    rest = drive(whole, range(10, 13))
    restored = algorithm()
    restored.restore(str(tmp_path / "state"))
    assert drive(restored, range(10, 13)) == rest


def test_an_exhausted_space_ends_the_tuner() -> None:
    searcher = algorithm("grid", {"x": {"int": [0, 1]}})
    assert {searcher.suggest("a")["x"], searcher.suggest("b")["x"]} == {0, 1}
    assert searcher.suggest("c") is None, "a trial that runs may yet free something"
    for name in "ab":
        searcher.on_trial_complete(name, {"loss": 1.0})
    assert searcher.suggest("c") == tuner.FINISHED


def test_what_cannot_be_done_is_refused() -> None:
    with pytest.raises(ConfigError, match="plans budgets itself"):
        algorithm("hyperband")
    searcher = algorithm()
    assert not searcher.set_search_properties("loss", "min", {"y": 1})
    assert not searcher.set_search_properties("accuracy", "max", {})
    assert searcher.set_search_properties(None, None, {})


class Steps:
    def __init__(self) -> None:
        self.count = 0

    def advance(self) -> Rung:
        self.count += 1
        value = 1 / self.count
        return Rung(rounds=self.count, value=value, fold_values=(value,), done=self.count == 3)

    def save(self) -> int:
        return self.count

    def restore(self, state: int) -> None:
        self.count = state


def make(number: int, config: Config, budget: float | None) -> Steps:
    return Steps()


def test_a_trainable_tells_plain_values_and_hands_on_states() -> None:
    trainable = tuner.Trainable()
    task = {"number": 0, "config": {}, "budget": None, "keep": True, "seconds": None, "state": 1}
    trainable.config = task
    trainable.setup(task, make=make, fetch=lambda state: state, put=lambda state: ("put", state))
    told = [trainable.step() for _ in range(2)]
    assert [tuner.told_by(one)["rung"].rounds for one in told] == [2, 3]
    assert [one["done"] for one in told] == [False, True]
    assert told[1]["state"] == ("put", 3)
    assert tuner.told_by(told[1])["rung"] == Rung(
        rounds=3, value=1 / 3, fold_values=(1 / 3,), done=True
    )
    trainable.reset_config(task)
    trainable.config = {**task, "state": None}
    assert tuner.told_by(trainable.step())["rung"].rounds == 1
