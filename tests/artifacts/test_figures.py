from __future__ import annotations

from raymm.artifacts.figures import FIGURES, figures


def test_each_figure_is_found_where_the_report_has_it():
    known = {"value": 0.9, "low": None, "n": 5, "delay": {"p50": 3.0}, "coverage": float("nan")}
    known |= {"direction": "minimize", "recent": {"value": 0.8, "low": 0.7, "high": 0.85}}
    version = {"quality": known, "estimated": {"accuracy": None}, "drifted": ["a", "b"]}
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
        ("raymm_label_delay_seconds", "3"): 3.0,
        ("raymm_drifted_features", "3"): 2.0,
    }
    assert list(figures({})) == []


def test_names_are_prometheus_names_and_differ():
    names = [one.name for one in FIGURES]
    assert len(set(names)) == len(names)
    assert all(name.startswith("raymm_") and name.replace("_", "").isalnum() for name in names)
