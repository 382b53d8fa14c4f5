"""Importance of parameters, against variances that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from raymm.artifacts import Categorical, Float, Int, Trial, Trials
from raymm.search import space as spaces
from raymm.search.importance import LEAST, importance, observed_space

SPACE = {
    "a": Float(0, 1),
    "b": Float(1e-4, 1, log=True),
    "c": Categorical(("x", "y")),
    "d": Float(0, 1, when={"c": ["y"]}),
    "n": Int(1, 8),
}


def trials(value, *, count=200, space=SPACE, direction="minimize"):
    generator = np.random.default_rng(0)
    made = []
    for number in range(count):
        config = spaces.sample(space, generator)
        found = value(config, number)
        status = "failed" if found is None else "finished"
        made.append(Trial(id=str(number), number=number, config=config, status=status, value=found))
    return Trials(trials=tuple(made), direction=direction, metric="m")


def additive(config, number=0):
    inner = 2 * config["d"] if config["c"] == "y" else 1.0
    return 4 * config["a"] + 0.5 * math.log10(config["b"]) + inner


@pytest.mark.slow
def test_shares_are_those_of_the_variances():
    # Var = 4²/12 + (0.5·4)²/12 + ½·2²/12: the inner one counts where it is active, half the time.
    expected = np.array([16 / 12, 4 / 12, 2 / 12])
    expected /= expected.sum()
    found = {one.column: one for one in importance(SPACE, trials(additive))}
    # A forest of 200 points smooths a line's ends off: shares of the small ones go to the large.
    for name, share in zip("abd", expected, strict=True):
        assert found[name].value == pytest.approx(share, abs=0.08)
        assert found[name].low <= found[name].value <= found[name].high
    assert found["c"].value < 0.03
    assert found["n"].value < 0.03
    assert sum(one.value for one in found.values()) < 1.05
    assert [one.column for one in importance(SPACE, trials(additive))][:2] == ["a", "b"]


def test_what_only_works_together_is_nobody_s_own():
    # An exclusive or has no mean effects: each alone tells nothing.
    space = {"p": Categorical((0, 1)), "q": Categorical((0, 1)), "r": Float(0, 1)}
    found = importance(space, trials(lambda c, n: float(c["p"] ^ c["q"]), space=space))
    assert max(one.value for one in found) < 0.1


def test_turning_the_metric_over_changes_nothing():
    low = importance(SPACE, trials(additive, count=60))
    high = importance(SPACE, trials(lambda c, n: -additive(c), count=60, direction="maximize"))
    assert [one.column for one in low] == [one.column for one in high]
    assert [one.value for one in low] == pytest.approx([one.value for one in high], abs=1e-6)


def test_failures_and_one_disaster_decide_nothing():
    def value(config, number):
        return None if number % 5 == 0 else 1e12 if number == 7 else additive(config)

    found = importance(SPACE, trials(value))
    assert found[0].column == "a"
    assert found[0].value > 0.5


def test_nothing_is_said_of_too_little():
    assert importance(SPACE, trials(additive, count=LEAST - 1)) == ()
    assert importance(SPACE, trials(lambda c, n: 1.0)) == ()
    assert importance(SPACE, trials(lambda c, n: None)) == ()


def test_a_space_is_read_off_its_trials():
    space = {
        "family": Categorical(("svm", "trees")),
        "svm.c": Float(1e-3, 1e3, log=True, when={"family": ["svm"]}),
        "trees.depth": Int(1, 9, when={"family": ["trees"]}),
        "trees.kind": Categorical(("gain", "all"), when={"family": ["trees"]}),
        "trees.rate": Float(0, 1, when={"trees.kind": ["gain"]}),
        "on": Categorical((True, False)),
    }
    generator = np.random.default_rng(0)
    configs = [spaces.sample(space, generator) for _ in range(200)]
    found = observed_space(configs)
    spaces.check(found)
    assert set(found) == set(space)
    for config in configs:
        assert spaces.contains(found, config)
    for name, parameter in found.items():
        assert type(parameter) is type(space[name])
        for config in configs:
            assert spaces.is_active(name, found, config) == (name in config)
    assert found["svm.c"].log
    assert not found["trees.rate"].log


def test_nothing_observed_is_no_space():
    assert observed_space([]) == {}
