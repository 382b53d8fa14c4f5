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
