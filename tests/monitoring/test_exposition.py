from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from raymm.monitoring.exposition import metrics_text


def test_hostile_feature_names_are_escaped() -> None:
    name = 'a"} evil 1\n# \\'
    report = {
        "requests": 1, "rows": 2, "errors": {}, "latency": {"sum": 0.5, "count": 1},
        "features": {name: {"missing": 0.25, "drifted": True, "statistic": None}},
    }  # fmt: skip
    families = list(text_string_to_metric_families(metrics_text("m", report)))
    samples = [s for f in families for s in f.samples if "feature" in s.labels]
    assert {(s.name, s.labels["feature"], s.value) for s in samples} == {
        ("raymm_missing_ratio", name, 0.25),
        ("raymm_drifted", name, 1.0),
    }


def test_each_version_has_its_quality_and_labels_are_counted() -> None:
    report = {
        "requests": 1, "rows": 2, "errors": {}, "latency": {"sum": 0.5, "count": 1},
        "features": {}, "labels": {"labels": 9, "doubled": 2, "orphaned": 1},
        "versions": {"1": {"quality": {"value": 0.8}}, "2": {"quality": {"value": 0.9}}},
    }  # fmt: skip
    families = list(text_string_to_metric_families(metrics_text("m", report)))
    samples = {
        (s.name, s.labels.get("version") or s.labels.get("outcome")): s.value
        for f in families
        for s in f.samples
    }
    assert samples["raymm_quality", "1"] == 0.8
    assert samples["raymm_quality", "2"] == 0.9
    assert samples["raymm_labels_total", "told"] == 9
    assert samples["raymm_labels_total", "doubled"] == 2
