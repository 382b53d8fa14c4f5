"""The sections: each bound is kept, nothing unknown is taken, nothing changes afterwards."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from raymm import sections


@pytest.mark.parametrize(
    ("section", "values"),
    [
        (sections.Limits, {"bundle_mb": 0}),
        (sections.Goal, {"confidence": 0.5}),
        (sections.SearchConfig, {"min_budget": 3, "max_budget": 2}),
        (sections.Replicas, {"min": 3, "max": 2}),
        (sections.ServingConfig, {"port": 0}),
        (sections.ServingConfig, {"rate": 0}),
        (sections.ServingConfig, {"body_time": 0}),
        (sections.ServingConfig, {"answer_time": None}),
        (sections.ServingConfig, {"key": "key.pem"}),
        (sections.ServingConfig, {"tokens": "tokens", "auth": "none"}),
        (sections.MonitoringConfig, {"window": 49}),
        (sections.MonitoringConfig, {"labels": 99}),
        (sections.MonitoringConfig, {"retrain": "quality"}),
        (sections.MonitoringConfig, {"retrain": ["drift", "age"]}),
        (sections.EventsConfig, {"webhook": "http://example.com"}),
        (sections.RayConfig, {"adress": "auto"}),
    ],
)
def test_what_is_out_of_bounds_or_unknown_is_refused(section, values):
    with pytest.raises(ValidationError):
        section(**values)


def test_one_name_needs_no_brackets_and_off_may_be_false():
    goal = sections.Goal(protected="gender", calibration=False)
    assert goal.protected == ("gender",)
    assert goal.calibration == "off"


def test_nothing_changes_after_it_was_read():
    with pytest.raises(ValidationError):
        sections.Goal().metric = "rmse"


def test_one_reason_to_train_needs_no_brackets():
    assert sections.MonitoringConfig(retrain="drift").retrain == ("drift",)
    assert sections.MonitoringConfig(retrain=False).retrain == "off"
    assert sections.MonitoringConfig(retrain=[]).retrain == "off"
    asked = sections.MonitoringConfig(retrain=["drift", "schedule"], every="7d")
    assert sections.MonitoringConfig.model_validate(asked.model_dump(mode="json")) == asked


def test_events_are_told_to_the_places_that_are_given():
    assert sections.EventsConfig(timeout=9).places == ()
    both = sections.EventsConfig(log="events.jsonl", command=["notify"])
    assert both.places == ("log", "command")


def test_one_number_of_replicas_is_both_bounds() -> None:
    made = sections.ServingConfig.model_validate({"replicas": 2})
    assert (made.replicas.min, made.replicas.max) == (2, 2)
    for wrong in (True, "2", 0):
        with pytest.raises(ValidationError):
            sections.ServingConfig.model_validate({"replicas": wrong})
