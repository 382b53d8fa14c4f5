"""Several objectives of a user's function: what was asked for, and which trials are best."""

from __future__ import annotations

import pytest

from raymm.artifacts import Trial, Trials
from raymm.errors import ConfigError
from raymm.search.front import best_of, goals_of, sought, volume
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


def test_the_volume_is_that_between_the_front_and_the_worst_seen():
    goals = Goals(objectives={"score": "max", "bytes": "min"})
    points = ((0.9, 6.0), (0.5, 2.0), (0.1, 10.0))
    given = tuple(trial(n, score=score, bytes=size) for n, (score, size) in enumerate(points))
    found = Trials(trials=given, direction="maximize", metric="score")
    size, corner = volume(found, goals)
    assert corner == {"score": 0.1, "bytes": 10.0}
    # Two boxes down to the corner: 0.8 x 4 and 0.4 x 8, that share 0.4 x 4.
    assert size == pytest.approx(0.8 * 4 + 0.4 * 8 - 0.4 * 4)


def test_nothing_allowed_has_no_volume():
    goals = Goals(objectives={"score": "max", "bytes": "min"}, constraints={"bytes": (None, 1.0)})
    found = Trials(trials=(trial(0, score=1.0, bytes=2),), direction="maximize", metric="score")
    assert volume(found, goals) == (0.0, {})
