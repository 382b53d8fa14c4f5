"""A monitor's report, as a person reads it."""

from __future__ import annotations

import pytest

from raymm.cli import watching


def report(complete):
    return {
        "version": 2,
        "since": 0.0,
        "requests": 3,
        "rows": 1200,
        "errors": {"InputError": 1},
        "latency": {"p50": 0.001, "p95": 0.002, "p99": 0.003, "sum": 1.0, "count": 3},
        "window": {"rows": 1000, "filled": 200, "complete": complete, "drifted": complete},
        "drifted": ["age"] if complete else [],
        "features": {
            "calm": {"statistic": 0.01, "threshold": 0.1, "drifted": False, "missing": 0.0},
            "age": {"statistic": 0.9, "threshold": 0.1, "drifted": True, "missing": 0.25},
        },
    }


def test_drift_is_named_and_the_worst_feature_comes_first(capsys):
    watching.show("loans", report(1))
    out = capsys.readouterr().out
    for words in (
        "1,200 rows",
        "refused  1 InputError",
        "failed   none",
        "p99 3.00 ms",
        "drift    age",
        "25.0%",
    ):
        assert words in out
    assert out.index("0.9") < out.index("calm")


def test_each_drifted_feature_has_its_reasons_and_a_burst_its_rows(capsys):
    told = report(1)
    told["features"]["age"] |= {
        "reasons": ["distribution", "missing"],
        "bursts": {"missing": {"share": 0.18, "rows": 250}},
    }
    watching.show("loans", told)
    out = capsys.readouterr().out
    assert "drift    age (PSI, missing 18.0% of 250 rows)" in out
    assert "PSI, missing " in out[out.index("Features") :]
    assert "Features in the last complete window, 1,000 rows" in out


def test_figures_of_drift_say_which_rows_they_are_of(capsys):
    told = report(1)
    told["window"] |= {
        "last": {"rows": 1000, "from": 0.0, "to": 60.0},
        "open": {"rows": 200, "from": 61.0},
    }
    told["features"]["age"] |= {"reasons": ["distribution", "missing"], "early": ["missing"]}
    watching.show("loans", told)
    out = capsys.readouterr().out
    span = "1,000 rows, from 1970-01-01 00:00:00 UTC to 1970-01-01 00:01:00 UTC\n"
    assert f"           the last complete one: {span}" in out
    assert f"Features in the last complete window, {span}" in out
    assert "           the open one: 200 rows so far, from 1970-01-01 00:01:01 UTC\n" in out
    assert "drift    age (PSI, missing in the open window)\n" in out
    told["window"] |= {"complete": 0, "last": None}
    watching.show("loans", told)
    out = capsys.readouterr().out
    assert "Features in the open window, 200 rows so far, from 1970-01-01 00:01:01 UTC\n" in out
    assert "last" not in out


def test_a_version_on_trial_has_a_line_and_one_without_a_role_has_none(capsys):
    likely = {"estimated": {"accuracy": {"value": 0.8}}}
    paired = {"gain": 0.1, "n": 40, "metric": "accuracy", "old": 0.7, "new": 0.8}
    versions = {
        "1": {**likely, "requests": 9, "errors": {}},
        "2": {**likely, "requests": 3000, "errors": {}},
        "3": {**likely, "requests": 1200, "errors": {"InternalError": 2}, "paired": paired},
    }
    told = {**report(1), "versions": versions}
    roles = {2: watching.Served(role="champion"), 3: watching.Served(role="shadow")}
    watching.show("loans", told, roles)
    out = capsys.readouterr().out
    assert (
        "  shadow   version 3: 1,200 requests in all, errors 2 InternalError; on 40 labelled "
        "rows that both answered accuracy 0.8, the champion 0.7\n"
    ) in out
    assert "of version 1" not in out
    assert "of version 3" in out
    del versions["3"]["paired"]
    roles[3] = watching.Served(role="canary", requests=150, failed=1)
    watching.show("loans", told, roles)
    out = capsys.readouterr().out
    assert (
        "  canary   version 3: 150 requests since it became the canary, 1 failed; "
        "1,200 requests in all, errors 2 InternalError\n"
    ) in out
    watching.show("loans", told)  # where roles are not known, nothing is left out
    assert "of version 1" in capsys.readouterr().out


def test_what_became_of_labels_is_told_each_by_its_word(capsys):
    counts = {"labels": 1018, "joined": 1000, "orphaned": 5, "unsampled": 8, "too_late": 1}
    told = {**report(1), "labels": {**counts, "doubled": 4, "unreadable": 0}}
    told["quality"] = {"waiting": 1234}
    watching.show("loans", told)
    out = capsys.readouterr().out
    assert (
        "  labels   1,018 came: 1,000 joined, 5 of no known id, 8 of predictions that were not "
        "sampled, if of any, 1 too late, as their predictions were kept no more, 4 twice\n"
        "           1,234 predictions without one yet\n"
    ) in out
    assert "lost" not in out
    watching.show("loans", {**report(1), "quality": {"waiting": 1}, "dropped_labels": 20})
    out = capsys.readouterr().out
    assert "  labels   1 prediction without one yet\n" in out
    assert " 20 more were lost, as too many came at once\n" in out
    watching.show("loans", report(1))
    assert "labels" not in capsys.readouterr().out


def test_rows_that_were_not_sampled_are_told(capsys):
    watching.show("loans", report(1))
    assert "3 requests, 1,200 rows\n" in capsys.readouterr().out
    watching.show("loans", {**report(1), "dropped": 7})
    assert "lost     7 batches of requests never reached" in capsys.readouterr().out
    watching.show("loans", {**report(1), "dropped": 1})
    assert "lost     1 batch of requests never reached" in capsys.readouterr().out
    watching.show("loans", {**report(1), "unsampled": 900})
    told = "3 requests, 1,200 rows; of 900 that were not sampled, in busy seconds, the times alone"
    assert told in capsys.readouterr().out


def test_roles_are_what_the_service_says_and_unknown_where_it_does_not(monkeypatch):
    from raymm import endpoint
    from raymm.errors import ServingError

    release = {"champion": 2, "canary": None, "shadow": 3}
    monkeypatch.setattr(endpoint, "ask", lambda *_: {"release": release})
    known = {2: watching.Served(role="champion"), 3: watching.Served(role="shadow")}
    assert watching.served(None, "loans") == known
    versions = [{"number": 2, "trial": None}, {"number": 4, "trial": {"requests": 7, "failed": 1}}]
    told = {"release": {**release, "canary": 4}, "versions": versions}
    monkeypatch.setattr(endpoint, "ask", lambda *_: told)
    canary = watching.Served(role="canary", requests=7, failed=1)
    assert watching.served(None, "loans") == {**known, 4: canary}

    def away(*_):
        raise ServingError("no answer.")

    monkeypatch.setattr(endpoint, "ask", away)
    assert watching.served(None, "loans") is None


def test_nothing_is_claimed_before_the_first_window(capsys):
    watching.show("loans", report(0))
    assert "not known before the first window" in capsys.readouterr().out


def test_predictions_that_drifted_are_named_beside_the_features(capsys):
    drifted = {"statistic": 0.31234, "threshold": 0.1, "drifted": True}
    watching.show("loans", {**report(1), "prediction": drifted})
    assert "drift    age, the predictions (PSI 0.312, threshold 0.1)" in capsys.readouterr().out
    moved = {"statistic": 0.135, "threshold": 0.161, "drifted": True, "reasons": ["location"]}
    watching.show("loans", {**report(1), "prediction": moved})
    assert "the predictions (moved, PSI 0.135, threshold 0.161)" in capsys.readouterr().out
    early = {"statistic": None, "threshold": None, "drifted": True}
    watching.show("loans", {**report(0), "prediction": early})
    assert "drift    the predictions\n" in capsys.readouterr().out
    watching.show("loans", {**report(1), "prediction": {"drifted": False}})
    assert "the predictions" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("against", "told"),
    [
        ("test rows", "predictions are compared with those on 1,704 test rows of the version\n"),
        ("first window", "predictions are compared with the first 1,704 that were served\n"),
    ],
)
def test_it_is_told_what_predictions_are_compared_with(capsys, against, told):
    one = {"drifted": False, "against": against, "reference_rows": 1704}
    watching.show("loans", {**report(1), "prediction": one})
    assert told in capsys.readouterr().out


def test_unseen_values_stand_beside_those_of_training(capsys):
    told = report(1)
    told["features"]["age"] |= {"unseen": 0.375, "unseen_reference": 0.0125}
    watching.show("loans", told)
    (line,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith(" age")]
    assert line.split()[-4:] == ["25.0%", "0.0%", "37.5%", "1.2%"]


def test_a_monitor_that_has_not_reported_says_so(capsys):
    watching.show("loans", {})
    assert "has not reported yet" in capsys.readouterr().out


def test_quality_is_shown_with_its_interval_and_the_estimate_with_its_limit(capsys):
    known = {"metric": "roc_auc", "value": 0.9, "low": 0.85, "high": 0.95, "n": 1234}
    version = {"quality": {**known, "coverage": 0.5}, "estimated": {"accuracy": {"value": 0.8}}}
    watching.show("loans", {**report(1), "versions": {"2": version, "3": version}})
    out = capsys.readouterr().out
    for words in ("roc_auc 0.9 (0.85 to 0.95)", "1,234 labelled rows;", "50.0%", "of version 3"):
        assert words in out
    assert "wait no more" not in out
    few = {"quality": {**known, "low": None, "high": None, "n": 2, "coverage": 0.5}}
    watching.show("loans", {**report(1), "versions": {"2": few}})
    assert "roc_auc 0.9, of too few labels to say how sure that is" in capsys.readouterr().out
    version["quality"]["thinned"] = 4321
    watching.show("loans", {**report(1), "versions": {"2": version}})
    assert "have a label, 4,321 that wait no more left out" in capsys.readouterr().out
    assert "accuracy 0.8, estimated without labels; it cannot see concept drift" in out


def test_calibration_stands_beside_that_of_the_test_rows(capsys):
    one = {"measure": "calibration_error", "value": 0.0412, "low": 0.03, "high": 0.05}
    one |= {"n": 1234, "least": 30, "worse": True, "test": {"value": 0.0123, "n": 1409}}
    known = {"metric": "roc_auc", "value": 0.9, "low": 0.85, "high": 0.95, "n": 1234, "coverage": 1}
    versions = {"2": {"quality": {**known, "calibration": one}}}
    watching.show("loans", {**report(1), "versions": versions})
    told = (
        "calibration error 0.0412 (0.03 to 0.05) on 1,234 labelled rows, "
        "on 1,409 test rows 0.0123: surely worse\n"
    )
    assert told in capsys.readouterr().out
    one |= {"measure": "bias", "value": -2.5, "low": None, "worse": False, "test": None}
    watching.show("loans", {**report(1), "versions": versions})
    assert (
        "  bias (label minus prediction) -2.5 on 1,234 labelled rows\n" in capsys.readouterr().out
    )
    one |= {"value": None, "n": 1}
    watching.show("loans", {**report(1), "versions": versions})
    assert "not told: 1 labelled row, too few\n" in capsys.readouterr().out


def test_keep_needs_a_service(monkeypatch, tmp_path):
    from click.testing import CliRunner

    from raymm.errors import NotFound

    monkeypatch.setenv("RAYMM_HOME", str(tmp_path))
    result = CliRunner().invoke(watching.keep, ["loans", "loans.csv"])
    assert isinstance(result.exception, NotFound)


def test_keep_needs_the_data_before_it_begins(monkeypatch, tmp_path):
    from click.testing import CliRunner

    from raymm import keeping
    from raymm.errors import DataError

    begun = []
    monkeypatch.setattr(keeping, "beside", lambda *_, **given: begun.append(given))
    there = ["--url", "http://there:8000"]
    result = CliRunner().invoke(watching.keep, ["loans", str(tmp_path / "no.csv"), *there])
    assert isinstance(result.exception, DataError)
    assert begun == []
    assert CliRunner().invoke(watching.keep, ["loans", "s3://b/no.csv", *there]).exception is None
    assert len(begun) == 1


def test_keep_takes_the_address_of_a_service_elsewhere(monkeypatch):
    from click.testing import CliRunner

    from raymm import keeping

    told = {}
    monkeypatch.setattr(keeping, "beside", lambda *_, **given: told.update(given))
    command = ["loans", "s3://b/loans.csv", "--url", "http://there:8000"]
    CliRunner().invoke(watching.keep, command, env={"RAYMM_TOKEN": "secret"})
    assert (told["there"].url, told["there"].token) == ("http://there:8000", "secret")


@pytest.mark.parametrize(("words", "asks"), [([], ""), (["--now"], "raymm keep --now")])
def test_keep_asks_for_a_training_at_once_where_that_is_said(monkeypatch, words, asks):
    from click.testing import CliRunner

    from raymm import keeping

    told = {}
    monkeypatch.setattr(keeping, "beside", lambda *_, **given: told.update(given))
    command = ["loans", "s3://b/x.csv", "--url", "http://there:8000", *words]
    assert CliRunner().invoke(watching.keep, command).exception is None
    assert told["asks"] == asks


def test_advice_names_the_way_that_tries_first(capsys):
    advice = {"action": "retrain", "reason": "age drifted for 3 windows in a row."}
    watching.show("loans", {**report(1), "advice": advice})
    assert "raymm retrain loans --trial: age drifted" in capsys.readouterr().out
