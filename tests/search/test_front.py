"""Several objectives of a user's function: what was asked for, and which trials are best."""

from __future__ import annotations

import pytest

from raymm.artifacts import Trial, Trials
from raymm.errors import ConfigError
from raymm.search.front import best_of, goals_of, sought
from raymm.search.goals import Goals


def trial(number, **metrics):
    return Trial(
        id=str(number),
        number=number,
        config={},
        status="finished",
        value=metrics.get("score"),
        metrics=metrics,
    )


def test_one_metric_needs_no_goals():
    assert goals_of(None, None, "score", "max") is None


@pytest.mark.parametrize(
    "given",
    [(None, {"bytes": (None, 3)}, None, None), ({"score": "max"}, None, "score", None)],
)
def test_what_does_not_go_together_is_refused(given):
    with pytest.raises(ConfigError, match="objectives"):
        goals_of(*given)


def test_the_front_holds_what_is_allowed_and_not_dominated():
    goals = Goals(objectives={"score": "max", "bytes": "min"}, constraints={"seconds": (None, 1.0)})
    trials = (
        trial(0, score=0.9, bytes=10, seconds=0.5),
        trial(1, score=0.8, bytes=5, seconds=0.5),
        trial(2, score=0.7, bytes=7, seconds=0.5),  # worse than 1 in both
        trial(3, score=0.99, bytes=1, seconds=2.0),  # not allowed
        trial(4, score=0.95),  # tells too little
    )
    found = Trials(trials=trials, direction="maximize", metric="score")
    assert [t.number for t in best_of(found, goals)] == [0, 1]
    assert best_of(Trials(trials=trials[3:], direction="maximize", metric="score"), goals) == ()


def test_the_record_spells_modes_out():
    goals = Goals(objectives={"score": "max"}, constraints={"score": (0.5, None)})
    assert sought(goals) == {
        "objectives": {"score": "maximize"},
        "constraints": {"score": [0.5, None]},
    }
