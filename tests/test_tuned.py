"""What tuning gives back."""

from __future__ import annotations

import html.parser
import math

import pytest

from raymm.artifacts import Trial, Trials
from raymm.search.account import Budgets
from raymm.search.goals import Goals
from raymm.tuned import Tuned


def trial(number, value, **metrics):
    return Trial(
        id=str(number),
        number=number,
        config={"x": number / 2, **({"y": "<b>"} if number % 2 else {})},
        status="failed" if value is None else "finished",
        value=value,
        rungs=() if value is None else ((1, value),),
        seconds=0.5,
        error="ValueError: deep" if value is None else "",
        metrics=metrics,
    )


TRIALS = tuple(trial(n, None if n == 3 else float((n - 4) ** 2)) for n in range(8))
FOUND = Tuned(
    run="train-1",
    trials=Trials(trials=TRIALS, direction="minimize", metric="loss", resumed=2, seconds=3.0),
    budgets=Budgets(given={0: 1.0, 1: 9.0}, whole=9.0),
)


def test_the_best_is_at_hand():
    assert (FOUND.best_config, FOUND.best_value) == ({"x": 2.0}, 0.0)
    assert [one.number for one in FOUND.front] == [4]
    assert FOUND.hypervolume == 0.0


def test_the_repr_is_one_short_line():
    assert repr(FOUND) == "Tuned(train-1: loss 0, the lowest of 8 trials, at {'x': 2.0})"
    assert repr(FOUND.trials) == "Trials(8 trials, best loss 0)"


def test_the_frame_has_a_row_a_trial_and_a_column_a_parameter():
    frame = FOUND.to_frame()
    assert frame["trial"].tolist() == list(range(8))
    assert frame["loss"].dtype == "float64"
    assert math.isnan(frame["loss"][3])
    assert frame["state"].tolist()[:4] == ["stopped at 1 of 9", "finished", "finished", "failed"]
    assert list(frame.columns)[-2:] == ["config/x", "config/y"]
    assert frame["config/y"].notna().tolist() == [bool(n % 2) for n in range(8)]
    assert frame.sort_values("loss").iloc[0]["config/x"] == FOUND.best_config["x"]


def test_other_numbers_have_columns_too():
    made = (trial(0, 1.0, loss=1.0, bytes=7.0), trial(1, 2.0, loss=2.0, bytes=5.0))
    found = Tuned(run="r-1", trials=Trials(trials=made, direction="minimize", metric="loss"))
    assert found.to_frame()["bytes"].tolist() == [7.0, 5.0]


class Reader(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.rows, self.open = 0, []

    def handle_starttag(self, tag, attrs):
        self.rows += tag == "tr"
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_notebooks_show_the_leaders_escaped():
    page = FOUND._repr_html_()
    reader = Reader()
    reader.feed(page)
    assert (reader.open, reader.rows) == ([], 1 + 5)
    assert "&lt;b&gt;" in page
    assert "<b>&" not in page
    assert "2 more" in page  # seven have a value


def test_the_summary_counts_what_was_cut_short():
    told = FOUND.summary()
    assert (told["trials"], told["stopped_trials"], told["failed_trials"]) == (7, 1, 1)
    assert told["best"] == {"configuration": {"x": 2.0}, "value": 0.0}
    assert "front" not in told


GOALS = Goals(objectives={"loss": "min", "bytes": "min"}, constraints={"bytes": (None, 8.0)})


def test_several_objectives_have_a_front_and_its_volume():
    points = [(1.0, 7.0), (2.0, 5.0), (3.0, 6.0), (0.5, 9.0)]
    made = tuple(trial(n, a, loss=a, bytes=b) for n, (a, b) in enumerate(points))
    found = Tuned(
        run="r-1", trials=Trials(trials=made, direction="minimize", metric="loss"), goals=GOALS
    )
    told = found.summary()
    assert [one["trial"] for one in told["front"]] == [0, 1]
    assert told["front"][1]["values"] == {"loss": 2.0, "bytes": 5.0}
    # Down to (3, 9): 2 x 2 and 1 x 4, that share 1 x 2.
    assert told["hypervolume"] == found.hypervolume == pytest.approx(6.0)
    assert told["reference"] == {"loss": 3.0, "bytes": 9.0}
    assert found.best_config == {"x": 0.0}, "the best alone, trial 3, breaks the constraint"
    assert "2 of 4 trials on the front" in repr(found)
    Reader().feed(found._repr_html_())


def test_where_nothing_keeps_the_constraints_the_best_is_still_told():
    made = (trial(0, 1.0, loss=1.0, bytes=9.0),)
    found = Tuned(
        run="r-1", trials=Trials(trials=made, direction="minimize", metric="loss"), goals=GOALS
    )
    assert (found.front, found.best_value, found.hypervolume) == ((), 1.0, 0.0)
    assert found.summary()["front"] == []
