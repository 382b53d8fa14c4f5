import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from raymm.serving.telemetry import FEATURE_FIGURES, MOST_MEASURES, Telemetry, measures

REPORT = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


def _samples(text):
    families = text_string_to_metric_families(text.decode())
    return [sample for family in families for sample in family.samples]


@pytest.mark.slow
@given(st.dictionaries(st.text(max_size=3), REPORT))
def test_any_report_is_written_in_prometheus_form(report):
    text = Telemetry().text({"m": 3}, {"m": report})
    told = [s for s in _samples(text) if s.name == "raymm_monitor"]
    # labels that differ only where dots stand meet in one series
    assert {s.labels["measure"] for s in told} == {path for path, _ in measures(report)}


def test_counts():
    telemetry = Telemetry()
    for rows in (1, 2, 3):
        telemetry.answered("m", 1, rows, 0.004)
    telemetry.failed("m", 1, "InputError")
    found = {(s.name, s.labels.get("le")): s.value for s in _samples(telemetry.text({"m": 1}, {}))}
    assert found["raymm_requests_total", None] == 4
    assert found["raymm_rows_total", None] == 6
    assert found["raymm_errors_total", None] == 1
    telemetry.failed("m", 1, "Exception")
    told = telemetry.text({"m": 1}, {}).decode()
    for error, status in (("InputError", 422), ("Exception", 500)):
        assert f'raymm_errors_total{{error="{error}",model="m",status="{status}"}} 1.0' in told
    assert found["raymm_request_seconds_bucket", "0.0025"] == 0
    assert found["raymm_request_seconds_bucket", "0.005"] == 3
    assert found["raymm_request_seconds_count", None] == 3
    assert found["raymm_request_seconds_sum", None] == pytest.approx(0.012)


def test_refusals_are_errors_of_no_prediction():
    telemetry = Telemetry()
    telemetry.failed("m", 1, "Overloaded")
    telemetry.refused("m", "Overloaded", 503)
    telemetry.refused("", "MethodNotAllowed", 405)
    told = telemetry.text({}, {}).decode()
    assert 'raymm_errors_total{error="Overloaded",model="m",status="503"} 2.0' in told
    assert 'raymm_errors_total{error="MethodNotAllowed",model="",status="405"} 1.0' in told
    assert 'raymm_requests_total{model="m",version="1"} 1.0' in told
    assert telemetry.totals("m")["errors"] == {"Overloaded": 1}


@pytest.mark.slow
@given(st.lists(st.floats(0, 20) | st.sampled_from([0.0005, 0.1, 10.0]), max_size=20))
def test_times_are_counted_as_prometheus_counts_them(times):
    bounds = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
    registry = CollectorRegistry()
    theirs = Histogram(
        "raymm_request_seconds", "", ("model", "version"), buckets=bounds, registry=registry
    ).labels("m", "1")
    ours = Telemetry()
    ours.answered("m", 1, 1, 0.3)
    theirs.observe(0.3)
    for seconds in times:
        ours.answered("m", 1, 1, seconds)
        theirs.observe(seconds)
    both = [
        {
            (sample.name, sample.labels.get("le")): sample.value
            for sample in _samples(text)
            if sample.name.startswith("raymm_request_seconds_")
            and not sample.name.endswith("_created")
        }
        for text in (ours.text({}, {}), generate_latest(registry))
    ]
    assert both[0] == pytest.approx(both[1])


def test_series_are_bounded_and_leave_with_the_report():
    telemetry = Telemetry()
    huge = {"m": {str(i): i for i in range(10 * MOST_MEASURES)}}
    told = [s for s in _samples(telemetry.text({}, huge)) if s.name == "raymm_monitor"]
    assert len(told) == MOST_MEASURES
    assert not [s for s in _samples(telemetry.text({}, {})) if s.name == "raymm_monitor"]


def _wide(columns):
    """Return a report as a replica has it: of a version with so many columns, and its age."""
    quality = {"value": 0.9, "recent": {"low": 0.8}, "calibration": {"worse": True}}
    one = {"statistic": 0.1, "threshold": 0.2, "drifted": False, "streak": 0, "missing": 0.0}
    return {
        "version": 7,
        "features": {f"column {place}": dict(one) for place in range(columns)},
        "prediction": {"drifted": True, "statistic": 0.3},
        "requests": 9,
        "errors": {f"Error{place}": 1 for place in range(51)},
        "quality": quality,
        "life": "x",
        "dropped": 3,
        "age": 900,
    }


@pytest.mark.parametrize("columns", [2, 200])
def test_measures_of_the_whole_model_are_told_of_wide_tables_too(columns):
    text = Telemetry().text({"m": 7}, {"m": _wide(columns)})
    told = {s.labels["measure"]: s.value for s in _samples(text) if s.name == "raymm_monitor"}
    whole = {key: value for key, value in _wide(columns).items() if key != "features"}
    assert told.items() >= dict(measures(whole)).items()
    assert told["features.column 0.statistic"] == 0.1  # features have the places that are left
    assert len(told) == min(len(dict(measures(_wide(columns)))), MOST_MEASURES)


def test_hostile_feature_names_are_escaped():
    name = 'a"} evil 1\n# \\'
    text = Telemetry().text({}, {"m": {"features": {name: {"missing": 0.25}}}})
    (told,) = [s for s in _samples(text) if s.name == "raymm_monitor"]
    assert (told.labels["measure"], told.value) == (f"features.{name}.missing", 0.25)


ODD = ('a"} evil 1\n# \\', "größe\u2028é", "back\\slash\\", "", "a.b", 'a{b="c"}', "\r\n\t", "\\n")


def _drifting(names):
    one = {"statistic": 0.3, "threshold": 0.2, "drifted": True, "missing": 0.25, "unseen": 0}
    return {
        "version": 1,
        "features": dict.fromkeys(names, one),
        "window": {"rows": 10, "filled": 3},
    }


def test_features_have_series_of_their_own_whatever_their_names():
    samples = _samples(Telemetry().text({}, {"m": _drifting(ODD)}))
    for key, value in _drifting(ODD)["features"][""].items():
        told = [s for s in samples if s.name == f"raymm_feature_{key}"]
        assert [(s.labels["model"], s.labels["feature"], s.value) for s in told] == [
            ("m", name, float(value)) for name in ODD
        ]
    found = {s.name: s.value for s in samples if s.labels == {"model": "m"}}
    assert (found["raymm_window_rows"], found["raymm_window_size_rows"]) == (3, 10)


def test_every_feature_of_a_wide_table_is_told():
    samples = _samples(Telemetry().text({}, {"m": _wide(2 * MOST_MEASURES)}))
    told = {s.labels["feature"] for s in samples if s.name == "raymm_feature_drifted"}
    assert len(told) == 2 * MOST_MEASURES
    assert not [s for s in samples if s.name == "raymm_feature_unseen"]  # what is unknown is no 0


def test_a_figure_that_is_no_finite_number_is_left_out():
    features = {
        "a": {"statistic": None, "threshold": float("inf"), "missing": "0"},
        "b": 3,
        "c": [],
    }
    for report in (
        {"features": features, "window": 3},
        {"features": [1]},
        {"window": {"rows": ""}},
    ):
        told = Telemetry().text({}, {"m": report}).decode()
        assert "raymm_feature_statistic{" not in told
        assert "raymm_feature_threshold{" not in told
        assert "raymm_feature_missing{" not in told
        assert "raymm_window_rows{" not in told


def test_features_are_named_as_the_monitors_process_names_them():
    from raymm.monitoring.actor import _GAUGES

    assert tuple(FEATURE_FIGURES) == _GAUGES


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_to_mend():
    telemetry = Telemetry()
    telemetry.answered("m", 1, 2, 0.1)
    telemetry.failed("m", 1, "InputError")
    telemetry.refused("", "TooOften", 429)
    telemetry.explained("m", 1, 0.5)
    telemetry.admitted("größe")
    version = {"quality": {"value": 0.5}, "drifted": ["a"], "requests": 1, "errors": {"E": 1}}
    report = _drifting(ODD) | {"age": 1, "versions": {"1": version}}
    text = telemetry.text({"m": 1}, {"m": report})
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=text, check=False, capture_output=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_a_report_has_its_age_whatever_else_it_holds():
    reports = {"wide": _wide(200), "none": {}, "odd": {"age": float("nan")}}
    samples = _samples(Telemetry().text({}, reports))
    ages = {s.labels["model"]: s.value for s in samples if s.name == "raymm_monitor_age_seconds"}
    assert ages == {"wide": 900.0}


def test_versions_of_a_monitor_have_gauges_of_their_own_and_no_measures():
    report = {"rows": 3, "versions": {"7": {"rows": 3, "quality": {"value": 0.75}}}}
    text = Telemetry().text({"m": 7}, {"m": report}).decode()
    assert 'raymm_quality{model="m",version="7"} 0.75' in text
    assert "versions.7" not in text


def test_totals_are_of_one_model_and_all_its_versions():
    telemetry = Telemetry()
    telemetry.answered("m", 1, 3, 0.004)
    telemetry.answered("m", 2, 4, 0.004)
    telemetry.failed("m", 2, "InputError")
    telemetry.failed("other", 1, "TooLarge")
    assert telemetry.totals("m") == {"requests": 3, "rows": 7, "errors": {"InputError": 1}}
    assert telemetry.totals("none") == {"requests": 0, "rows": 0, "errors": {}}


def test_counters_by_version_are_the_monitors():
    latency = {"sum": 1.5, "within": {"-4": 2, "0": 1}}
    told = {"requests": 4, "rows": 9, "errors": {"Exception": 1}, "latency": latency}
    telemetry = Telemetry()
    telemetry.answered("m", 7, 1, 0.1)  # by this replica, of several
    text = telemetry.text({"m": 7}, {"m": {"version": 7, "versions": {"7": told}}})
    found = {
        (s.name, s.labels.get("le") or s.labels.get("error")): s.value
        for s in _samples(text)
        if s.labels.get("version") == "7"
    }
    assert found["raymm_version_requests_total", None] == 4
    assert found["raymm_version_rows_total", None] == 9
    assert found["raymm_version_errors_total", "Exception"] == 1
    assert found["raymm_version_request_seconds_bucket", "0.5"] == 2
    assert found["raymm_version_request_seconds_bucket", "+Inf"] == 3
    assert found["raymm_version_request_seconds_sum", None] == 1.5
    assert found["raymm_requests_total", None] == 1
