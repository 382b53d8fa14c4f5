from __future__ import annotations

from raymm.artifacts.figures import FIGURES, counted, figures, increase


def test_each_figure_is_found_where_the_report_has_it():
    known = {"value": 0.9, "low": None, "n": 5, "delay": {"p50": 3.0}, "coverage": float("nan")}
    known |= {"direction": "minimize", "recent": {"value": 0.8, "low": 0.7, "high": 0.85}}
    judged = {"value": -0.5, "low": -0.75, "high": -0.25, "worse": True, "test": None}
    known |= {"calibration": {**judged, "recent": {"value": -0.625}}}
    version = {"quality": known, "estimated": {"accuracy": None}, "drifted": ["a", "b"]}
    version["prediction"] = {"drifted": True, "against": "test rows"}
    found = {
        (one.name, number): value
        for one, number, value in figures({"version": 3, "versions": {"3": version, "2": {}}})
    }
    assert found == {
        ("raymm_quality", "3"): 0.9,
        ("raymm_quality_recent", "3"): 0.8,
        ("raymm_quality_recent_low", "3"): 0.7,
        ("raymm_quality_recent_high", "3"): 0.85,
        ("raymm_quality_maximized", "3"): 0.0,
        ("raymm_version_champion", "3"): 1.0,
        ("raymm_version_champion", "2"): 0.0,
        ("raymm_quality_rows", "3"): 5.0,
        ("raymm_calibration", "3"): -0.5,
        ("raymm_calibration_low", "3"): -0.75,
        ("raymm_calibration_high", "3"): -0.25,
        ("raymm_calibration_recent", "3"): -0.625,
        ("raymm_calibration_worse", "3"): 1.0,
        ("raymm_label_delay_seconds", "3"): 3.0,
        ("raymm_drifted_features", "3"): 2.0,
        ("raymm_prediction_drifted", "3"): 1.0,
    }
    assert list(figures({})) == []


def test_names_are_prometheus_names_and_differ():
    names = [one.name for one in FIGURES]
    assert len(set(names)) == len(names)
    assert all(name.startswith("raymm_") and name.replace("_", "").isalnum() for name in names)


def test_times_are_counted_within_powers_of_two():
    latency = {"sum": 3.5, "within": {"-44": 2, "-43": 1, "0": 4, "17": 1}}
    told = {"requests": 9, "rows": 20, "errors": {"InputError": 1}, "latency": latency}
    (one,) = counted({"versions": {"2": told, "3": {"quality": {}}}})
    assert (one.version, one.requests, one.rows, one.seconds) == ("2", 9, 20, 3.5)
    within = dict(one.buckets)
    assert within["0.00048828125"] == 2
    assert within["0.0009765625"] == within["0.5"] == 3
    assert within["1.0"] == within["16.0"] == 7
    assert within["+Inf"] == 8
    assert list(counted({})) == []


def _counting(champion, **requests):
    versions = {
        name[1:]: {"requests": count, "rows": 2 * count, "errors": {"Exception": 1}}
        for name, count in requests.items()
    }
    return {"version": champion, "versions": versions}


def test_a_champion_that_is_taken_back_does_not_count_anew():
    more, known = increase({}, _counting(1, v1=1_000_000))
    assert more == {"requests": 1_000_000, "rows": 2_000_000, "errors": 1, "failed": 1}
    more, known = increase(known, _counting(2, v1=1_000_000, v2=200))
    assert more["requests"] == 200
    more, known = increase(known, _counting(1, v1=1_000_030, v2=200))
    assert more == {"requests": 30, "rows": 60, "errors": 0, "failed": 0}
    more, known = increase(known, _counting(1, v1=7))  # begun anew
    assert (more["requests"], list(known)) == (7, ["1"])
    assert increase(known, {}) == ({}, {})
