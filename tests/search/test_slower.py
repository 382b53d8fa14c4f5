"""The best so far is tried again at a slower rate, now and then, and each only once."""

import numpy as np
import pytest

from raymm.artifacts import Categorical, Float, Int
from raymm.search.random import Random
from raymm.search.searcher import Result
from raymm.search.slower import EVERY, FACTOR, Slower

SPACE = {
    "family": Categorical(("boosted", "other")),
    "boosted.rate": Float(0.02, 0.2, True, {"family": ("boosted",)}),
    "boosted.x": Float(0.0, 1.0, False, {"family": ("boosted",)}),
    "other.y": Float(0.0, 1.0, False, {"family": ("other",)}),
}
RATES = {"boosted": "boosted.rate"}


def score(config):
    """A slower rate is a little better; the other family is behind."""
    if config["family"] == "other":
        return config["other.y"] - 1.0
    return config["boosted.x"] - config["boosted.rate"] / 10


def played(trials, mode="maximize", budget=None, value=score):
    made = Slower(Random(SPACE, mode=mode, generator=np.random.default_rng(0)), RATES)
    sign = 1.0 if mode == "maximize" else -1.0
    asked = []
    for _ in range(trials):
        (one,) = made.suggest(1)
        asked.append(one)
        made.observe([Result(one.id, one.config, sign * value(one.config), budget)])
    return asked


@pytest.mark.parametrize("mode", ["maximize", "minimize"])
def test_every_so_often_the_best_is_slowed(mode):
    asked = played(3 * EVERY + 3, mode)
    slowed = [(place, one) for place, one in enumerate(asked) if one.id.startswith("slower")]
    assert [place for place, _ in slowed] == [EVERY, 2 * EVERY, 3 * EVERY]
    for place, one in slowed:
        known = [
            other.config
            for other in asked[:place]
            if other.config["family"] == "boosted"
            and other.config["boosted.x"] == one.config["boosted.x"]
        ]
        slowed_to = one.config["boosted.rate"]
        (like,) = [c for c in known if c["boosted.rate"] * FACTOR <= slowed_to][-1:]
        assert one.config["boosted.rate"] == max(0.02, FACTOR * like["boosted.rate"])
    first = asked[EVERY].config
    best = max(
        (one.config for one in asked[:EVERY] if one.config["family"] == "boosted"), key=score
    )
    assert first["boosted.x"] == best["boosted.x"]


def test_what_is_as_slow_as_can_be_stays_as_it_is():
    asked = played(80)
    slowed = [one.config for one in asked if one.id.startswith("slower")]
    assert len({(c["boosted.x"], c["boosted.rate"]) for c in slowed}) == len(slowed) > 3
    assert all(c["boosted.rate"] >= 0.02 for c in slowed)


def test_what_was_stopped_early_is_not_slowed():
    assert not [one for one in played(40, budget=30.0) if one.id.startswith("slower")]


def test_families_without_a_rate_are_passed_over():
    def height(config):
        return score(config) + (10.0 if config["family"] == "other" else 0.0)

    slowed = [one for one in played(40, value=height) if one.id.startswith("slower")]
    assert slowed
    assert all(one.config["family"] == "boosted" for one in slowed)


def test_what_is_no_number_is_never_the_best():
    def height(config):
        found = score(config)
        return float("nan") if found < 0.3 else float("inf") if found < 0.6 else found

    slowed = [one.config for one in played(80, value=height) if one.id.startswith("slower")]
    assert slowed
    assert all(config["boosted.x"] > 0.6 for config in slowed)


def test_all_that_earlier_runs_tell_is_one_turn():
    made = Slower(Random(SPACE, mode="maximize", generator=np.random.default_rng(0)), RATES)
    old = Random(SPACE, mode="maximize", generator=np.random.default_rng(1)).suggest(5 * EVERY)
    made.observe([Result(f"old-{one.id}", one.config, score(one.config)) for one in old])
    assert [one.id.startswith("slower") for one in made.suggest(4)] == [True, False, False, False]


def test_a_rate_that_is_no_float_is_passed_over():
    space = {**SPACE, "boosted.rate": Int(1, 9, False, {"family": ("boosted",)})}
    made = Slower(Random(space, mode="maximize", generator=np.random.default_rng(0)), RATES)
    for _ in range(3 * EVERY):
        (one,) = made.suggest(1)
        assert not one.id.startswith("slower")
        made.observe([Result(one.id, one.config, 1.0)])
