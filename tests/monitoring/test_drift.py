from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import Batch, Column, ColumnStatistics, ManyValues, Statistics
from raymm.data.statistics import of_tensor
from raymm.monitoring.drift import Drift, judge
from raymm.monitoring.predictions import bins_of, predicted
from raymm.monitoring.sketches import cells_of
from raymm.sections import MonitoringConfig


def batch(values: dict[str, np.ndarray], predictions: np.ndarray | None = None) -> Batch:
    rows = len(next(iter(values.values())))
    kept = np.empty(0) if predictions is None else predictions
    return Batch(rows=rows, version=1, seconds=0.01, tensors=values, predictions=kept)


def test_thinned_rows_take_no_part_of_a_window(
    statistics_of: Callable[..., Statistics], clock: Any
) -> None:
    values = np.random.default_rng(0).normal(size=3000).astype(np.float32)
    made = Drift(statistics_of(x0=values), config=MonitoringConfig(window=1000), clock=clock)
    thin = Batch(
        rows=900, version=1, seconds=1.0, predictions=np.full(900, 0.5), ids=(), thinned=True
    )
    for start in range(0, 900, 300):
        made.update(thin)
        made.update(batch({"x0": values[start : start + 300]}))
    assert made.state()["windows"] == 0
    made.update(batch({"x0": values[900:1000]}))
    assert made.state()["windows"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("rows", [50, 200, 1000])
def test_chance_alarms_no_oftener_than_accepted(rows: int) -> None:
    """Ten deciles and 2 % missing, at α = 0.02: binomial bound of six standard deviations."""
    generator = np.random.default_rng(0)
    alpha, rounds, m = 0.02, 3000, 5000
    shares = np.array([0.098] * 10 + [0.0, 0.02])
    base = ColumnStatistics(
        name="x", kind="number", rows=m, missing=0, distinct=m, edges=tuple(range(9)), counts=()
    )
    alarms = 0
    cells = cells_of(base)
    for _ in range(rounds):
        cells.reference = generator.multinomial(m, shares)
        cells.counts = generator.multinomial(rows, shares)
        found = judge(cells, cells.counts, whole=alpha / 2, share=alpha / 4)
        alarms += bool(found.reasons)
    assert alarms <= rounds * alpha + 6 * np.sqrt(rounds * alpha * (1 - alpha))


def shifted(
    statistics_of: Callable[..., Statistics], clock: Any, shift: float, windows: int
) -> tuple[int, Drift]:
    """Serve windows of 2,000 rows with 20 features, the first of them shifted; one an hour."""
    generator = np.random.default_rng(1)
    names = [f"f{i}" for i in range(20)]
    training = {name: generator.normal(size=10_000) for name in names}
    config = MonitoringConfig(window=2000)
    drift = Drift(statistics_of(**training), config=config, clock=clock)
    found = 0
    for _ in range(windows):
        clock.now += 3600
        rows = {name: generator.normal(size=2000).astype(np.float32) for name in names}
        rows["f0"] += np.float32(shift)
        drift.update(batch(rows))
        found += "f0" in drift.report()["drifted"]
    return found, drift


def test_a_shift_of_a_fifth_of_a_deviation_is_found_at_2000_rows(
    statistics_of: Callable[..., Statistics], clock: Any
) -> None:
    """In 2,000 rows the ranks move by 0.2·√(2000·10000/12000)·0.97 ≈ 7.9 deviations, over a
    threshold of about 4.8 at 2·10⁻⁶: missing one in 20 windows has a probability of 0.02.
    """
    found, drift = shifted(statistics_of, clock, 0.2, 20)
    assert found >= 19
    assert drift.report()["features"]["f0"]["reasons"][0] == "location"


def test_a_shift_that_begins_within_a_window_is_found_within_2000_rows(
    statistics_of: Callable[..., Statistics], clock: Any
) -> None:
    generator = np.random.default_rng(6)
    drift = Drift(
        statistics_of(x=generator.normal(size=10_000)), config=MonitoringConfig(), clock=clock
    )
    for rows, shift in ((5_600, 0.0), (2000, 0.2)):
        clock.now += 7200
        drift.update(batch({"x": generator.normal(shift, size=rows).astype(np.float32)}))
        assert drift.report()["drifted"] == (["x"] if shift else [])


def test_a_burst_of_missing_values_is_seen_before_the_window_is_full(
    statistics_of: Callable[..., Statistics], clock: Any
) -> None:
    generator = np.random.default_rng(7)
    drift = Drift(
        statistics_of(x=generator.normal(size=10_000)), config=MonitoringConfig(), clock=clock
    )
    values = generator.normal(size=500).astype(np.float32)
    values[::20] = np.nan
    drift.update(batch({"x": values}))
    report = drift.report()
    assert (report["window"]["complete"], report["drifted"]) == (0, ["x"])
    assert report["features"]["x"]["reasons"] == ["missing"]
    drift.update(batch({"x": generator.normal(size=500).astype(np.float32)}))
    assert drift.report()["features"]["x"]["streak"] == 1
    # Told with the share that was found and its rows, until the window after it is complete.
    burst = drift.report()["features"]["x"]["bursts"]["missing"]
    assert burst["rows"] == 250
    assert abs(burst["share"] - 0.05) < 0.01
    drift.update(batch({"x": generator.normal(size=1000).astype(np.float32)}))
    one = drift.report()["features"]["x"]
    assert (one["drifted"], one["reasons"], one["bursts"]) == (False, [], {})


def test_it_is_told_which_rows_windows_are_of_and_which_reasons_are_of_the_open_one(
    statistics_of: Callable[..., Statistics], clock: Any
) -> None:
    generator = np.random.default_rng(7)
    statistics = statistics_of(x=generator.normal(size=10_000))
    drift = Drift(statistics, config=MonitoringConfig(window=500), clock=clock)
    window = drift.report()["window"]
    assert (window["last"], window["open"]) == (None, {"rows": 0, "from": None})
    began = clock.now
    for rows in (300, 200, 150):
        clock.now += 60
        drift.update(batch({"x": generator.normal(size=rows).astype(np.float32)}))
    window = drift.report()["window"]
    assert window["last"] == {"rows": 500, "from": began + 60, "to": began + 120}
    assert window["open"] == {"rows": 150, "from": began + 180}
    values = np.full(150, np.nan, np.float32)
    drift.update(batch({"x": values}))
    one = drift.report()["features"]["x"]
    assert (one["reasons"], one["early"], one["streak"]) == (["missing"], ["missing"], 0)
    again = Drift(statistics, config=MonitoringConfig(window=500), clock=clock)
    again.merge(json.loads(json.dumps(drift.state())))
    assert again.report() == drift.report()
    drift.update(batch({"x": generator.normal(size=200).astype(np.float32)}))
    one = drift.report()["features"]["x"]
    assert (one["reasons"][0], one["early"], one["streak"]) == ("missing", [], 1)
    assert drift.report()["window"]["open"] == {"rows": 0, "from": None}


def test_a_state_without_looks_is_gone_on_from(
    statistics_of: Callable[..., Statistics], clock: Any
) -> None:
    values = np.linspace(-2, 2, 700)
    drift = Drift(statistics_of(x=values), config=MonitoringConfig(), clock=clock)
    drift.update(batch({"x": values.astype(np.float32)}))
    state = dict(drift.state())
    blocks = np.sum([*state.pop("blocks")["x"], state["cells"]["x"]], axis=0)
    state["cells"] = {"x": blocks.tolist()}
    for key in ("looked", "early", "saved", "opened_at", "last"):
        del state[key]
    older = Drift(statistics_of(x=values), config=MonitoringConfig(), clock=clock)
    older.merge(state)
    assert older.report()["window"]["filled"] == 700
    older.update(batch({"x": values[:300].astype(np.float32)}))
    assert older.report()["window"]["complete"] == 1
    assert sum(older.state()["verdicts"]["x"]["counts"]) == 1000


@pytest.mark.slow
def test_no_shift_no_alarm_in_four_days(
    statistics_of: Callable[..., Statistics], clock: Any
) -> None:
    """At 0.01 accepted a day, 4 days may spend 0.05: the expected number of false alarms."""
    _, drift = shifted(statistics_of, clock, 0.0, 96)
    report = drift.report()
    assert report["window"]["complete"] == 96
    assert report["window"]["drifted"] <= 1  # two or more have a probability of about 0.001


@given(
    gaps=st.lists(st.floats(0, 200_000), min_size=1, max_size=200),
    daily=st.floats(0.001, 1),
)
def test_windows_never_spend_more_than_accepted(gaps: list[float], daily: float) -> None:
    now = [0.0]
    config = MonitoringConfig(false_alarms_per_day=daily)
    drift = Drift(Statistics(rows=0, columns=()), config=config, clock=lambda: now[0])
    spent = 0.0
    for gap in gaps:
        now[0] += gap
        spent += drift._spend()
    assert spent <= daily * (1 + now[0] / 86400) * (1 + 1e-9)


def test_a_few_missing_values_where_there_were_none_are_found(
    statistics_of: Callable[..., Statistics], clock: Any
) -> None:
    generator = np.random.default_rng(2)
    drift = Drift(
        statistics_of(x=generator.normal(size=10_000)), config=MonitoringConfig(), clock=clock
    )
    values = generator.normal(size=1000).astype(np.float32)
    values[:30] = np.nan
    drift.update(batch({"x": values}))
    assert "missing" in drift.report()["features"]["x"]["reasons"]


def test_a_new_category_is_found(clock: Any) -> None:
    column = ColumnStatistics(
        name="c",
        kind="category",
        rows=900,
        missing=0,
        distinct=2,
        values=("a", "b"),
        counts=(600, 300),
    )
    drift = Drift(Statistics(rows=900, columns=(column,)), config=MonitoringConfig(), clock=clock)
    values = np.array(["a"] * 650 + ["b"] * 310 + ["new"] * 40, object)
    drift.update(batch({"c": values}))
    assert "unlisted" in drift.report()["features"]["c"]["reasons"]


def crowded(share: dict[str, float], clock: Any, *, shift: str, windows: int) -> list[list[str]]:
    """Serve windows of 1,000 rows of a column that 10,000 rows of training were drawn of.

    Returns
    -------
    The reasons of each window, one an hour. ``shift`` is put into a twentieth of the rows.
    """
    generator = np.random.default_rng(3)
    words, chance = np.array(list(share), object), np.array(list(share.values()))
    chance = chance / chance.sum()
    training = generator.choice(words, 10_000, p=chance)
    column = Column(name="c", kind="category")
    drift = Drift(
        Statistics(
            rows=10_000,
            columns=(of_tensor(training, column),),
            many=(ManyValues.of("c", Counter(training.tolist())),),
        ),
        config=MonitoringConfig(),
        clock=clock,
    )
    found = []
    for _ in range(windows):
        clock.now += 3600
        rows = generator.choice(words, 1000, p=chance)
        if shift:
            rows[generator.random(1000) < 0.05] = shift
        drift.update(batch({"c": rows}))
        found.append(drift.report()["features"]["c"]["reasons"])
    return found


LAWS = {
    "60 alike": {f"v{i}": 1.0 for i in range(60)},
    "200 alike": {f"v{i}": 1.0 for i in range(200)},
    "2,000 alike": {f"v{i}": 1.0 for i in range(2000)},
    "Zipf": {f"v{i}": 1 / (i + 1) for i in range(3000)},
}


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
def test_many_values_alarm_by_change_alone(law: str, clock: Any) -> None:
    """At 0.01 false alarms accepted a day; each window of a change tells of it."""
    steady = crowded(LAWS[law], clock, shift="", windows=72)
    assert sum(map(bool, steady)) <= 1  # two have a probability of about 0.001
    more = crowded(LAWS[law], clock, shift="v7", windows=5)
    assert all("distribution" in reasons for reasons in more)
    new = crowded(LAWS[law], clock, shift="never seen", windows=5)
    assert all(new)
    assert sum("unlisted" in reasons for reasons in new) >= 4


@pytest.mark.slow
@given(cuts=st.lists(st.integers(1, 400), min_size=1, max_size=20))
def test_how_rows_are_cut_into_batches_does_not_matter(cuts: list[int]) -> None:
    generator = np.random.default_rng(3)
    column = ColumnStatistics(
        name="x", kind="number", rows=400, missing=0, distinct=400, edges=(0.0,), counts=(200, 200)
    )
    statistics = Statistics(rows=400, columns=(column,))
    config = MonitoringConfig(window=100)
    values = generator.normal(0.3, size=sum(cuts)).astype(np.float32)
    whole = Drift(statistics, config=config, clock=lambda: 0.0)
    whole.update(batch({"x": values}, values))
    parts = Drift(statistics, config=config, clock=lambda: 0.0)
    for part in np.split(values, np.cumsum(cuts)[:-1]):
        parts.update(batch({"x": part}, part))
    assert parts.report() == whole.report()


@pytest.mark.slow
@given(first=st.integers(1, 350), second=st.integers(1, 350))
def test_a_restart_changes_nothing(first: int, second: int) -> None:
    generator = np.random.default_rng(4)
    column = ColumnStatistics(
        name="x", kind="number", rows=400, missing=0, distinct=400, edges=(0.0,), counts=(200, 200)
    )
    statistics = Statistics(rows=400, columns=(column,))
    config = MonitoringConfig(window=100)
    one = batch({"x": generator.normal(size=first).astype(np.float32)}, generator.random(first))
    two = batch({"x": generator.normal(size=second).astype(np.float32)}, generator.random(second))
    steady = Drift(statistics, config=config, clock=lambda: 5.0)
    steady.update(one)
    restarted = Drift(statistics, config=config, clock=lambda: 5.0)
    restarted.merge(json.loads(json.dumps(steady.state())))
    steady.update(two)
    restarted.update(two)
    assert restarted.report() == steady.report()
    json.dumps(steady.report(), allow_nan=False)


def test_predictions_are_compared_with_their_first_window(clock: Any) -> None:
    generator = np.random.default_rng(5)
    config = MonitoringConfig(window=1000)
    drift = Drift(Statistics(rows=0, columns=()), config=config, clock=clock)

    def serve(a: float) -> Any:
        clock.now += 86400
        p = generator.beta(a, 2, size=1000)
        drift.update(batch({"x": np.zeros(1000, np.float32)}, np.column_stack([1 - p, p])))
        return drift.report()["prediction"]

    assert serve(2)["drifted"] is False
    assert serve(2)["drifted"] is False
    assert serve(3)["drifted"] is True


def served(generator: np.random.Generator, rows: int, shift: float = 0.0) -> Batch:
    p = 1 / (1 + np.exp(-generator.normal(-2 + shift, 1.5, size=rows)))
    return Batch(
        rows=rows, version=1, seconds=0.01, predictions=np.column_stack([1 - p, p]).astype("f4")
    )


def expecting(rows: int, seed: int, clock: Any, **config: Any) -> tuple[Drift, Any]:
    """Return drift whose reference are predictions on so many test rows."""
    generator = np.random.default_rng(seed)
    column = bins_of(predicted(served(generator, rows).predictions))
    made = MonitoringConfig(**config)
    return Drift(Statistics(rows=0, columns=(column,)), config=made, clock=clock), generator


def test_what_is_shifted_from_the_first_window_on_is_told_against_test_rows(clock: Any) -> None:
    """Of 1,000 and 1,000 rows the ranks move by 0.4·√500·0.97 ≈ 8.7 deviations, over 4.2 or so."""
    known, generator = expecting(1000, 0, clock)
    unknown = Drift(Statistics(rows=0, columns=()), config=MonitoringConfig(), clock=clock)
    for _ in range(2):
        clock.now += 3600
        rows = served(generator, 1000, 0.6)
        known.update(rows)
        unknown.update(rows)
    told, silent = known.report()["prediction"], unknown.report()["prediction"]
    assert (told["drifted"], told["streak"], told["reference_rows"]) == (True, 2, 1000)
    assert (told["against"], silent["against"]) == ("test rows", "first window")
    assert silent["drifted"] is False
    assert known.state()["prediction"] is None


@pytest.mark.slow
def test_two_hundred_test_rows_alarm_no_oftener_than_accepted(clock: Any) -> None:
    """Each of 60 days has test rows of its own. A day's alarms are expected to be at most what is
    saved and what comes in, 0.05 each, so a day has one with a probability of at most 0.1: 6 days
    and four binomial deviations of 2.32 are 15.3. Were the reference's size not counted, all 60
    would: of 200 and 1,000 rows PSI varies six times as much as of the 1,000 alone.
    """
    days = 0
    for day in range(60):
        drift, generator = expecting(200, 100 + day, clock, false_alarms_per_day=0.05)
        alarm = False
        for _ in range(24):
            clock.now += 3600
            drift.update(served(generator, 1000))
            alarm |= drift.report()["prediction"]["drifted"]
        days += alarm
    assert days <= 15


def test_counts_in_the_bins_of_a_first_window_are_not_those_of_test_rows(clock: Any) -> None:
    generator = np.random.default_rng(9)
    older = Drift(Statistics(rows=0, columns=()), config=MonitoringConfig(), clock=clock)
    for _ in range(3):
        clock.now += 3600
        older.update(served(generator, 900, 3.0))
    state = json.loads(json.dumps(older.state()))
    newer, generator = expecting(400, 10, clock)
    newer.merge(state)
    assert (newer.report()["prediction"]["counts"], newer.report()["prediction"]["drifted"]) == (
        [], False,
    )  # fmt: skip
    clock.now += 3600
    newer.update(served(generator, 300))
    assert sum(newer.report()["prediction"]["counts"]) == 300


def test_failed_requests_are_passed_over(clock: Any) -> None:
    drift = Drift(Statistics(rows=0, columns=()), config=MonitoringConfig(), clock=clock)
    drift.update(Batch(rows=10, version=1, seconds=0.1, error="InputError"))
    assert drift.report()["window"]["filled"] == 0
