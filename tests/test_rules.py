"""Broken rules in raymm's own words."""

from __future__ import annotations

import pytest

from raymm.config import parse
from raymm.errors import ConfigError

SAID = [
    ("search.trials", 0, "search.trials must be at least 1, but got 0."),
    ("search.trials", 2.5, "search.trials must be a whole number, but got 2.5."),
    (
        "search.plateau",
        "often",
        "search.plateau must be 'auto' or 'none' or a whole number, but got 'often'.",
    ),
    ("search.parallel", 0, "search.parallel must be 'auto' or at least 1, but got 0."),
    ("search.gpus", -1, "search.gpus must be at least 0, but got -1."),
    ("search.min_budget", 0.0, "search.min_budget must be above 0, but got 0.0."),
    ("data.test", 2, "data.test must be below 0.9, but got 2."),
    ("seed", "a", "seed must be a whole number, but got 'a'."),
    (
        "search.time",
        "soon",
        'search.time must be a duration such as 90s, 5m or 1h30m, but got "soon".',
    ),
    (
        "monitoring.retrain",
        "drfit",
        "monitoring.retrain must be 'off', 'drift', 'quality', 'age' or 'schedule', "
        "but got 'drfit'.",
    ),
    (
        "monitoring.retrain",
        ["drift", "off"],
        "each of monitoring.retrain must be 'drift', 'quality', 'age' or 'schedule', "
        "but got 'off'.",
    ),
    (
        "monitoring.retrain",
        ["off"],
        "each of monitoring.retrain must be 'drift', 'quality', 'age' or 'schedule', "
        "but got 'off'.",
    ),
    (
        "monitoring.retrain",
        3,
        "monitoring.retrain must be 'off' or a list of 'drift', 'quality', 'age' or 'schedule', "
        "but got 3.",
    ),
    ("search.families", ["svm", 3], "each of search.families must be text, but got 3."),
    ("search.families", 3, "search.families must be 'auto' or a list, but got 3."),
    ("goal", 3, "goal must be a section of keys, but got 3."),
    ("data.target", 3, "data.target must be text, but got 3."),
]


@pytest.mark.parametrize(("key", "value", "told"), SAID, ids=[said for said, _, _ in SAID])
def test_a_rule_is_told_in_one_sentence(key, value, told):
    with pytest.raises(ConfigError) as caught:
        parse({"data": {"source": "a.csv", "target": "y"}}, {key: value})
    assert str(caught.value) == told


def test_rules_between_keys_are_told_as_they_are():
    with pytest.raises(ConfigError, match=r"^search: min_budget must be at most max_budget"):
        parse(
            {"data": {"source": "a.csv", "target": "y"}},
            {"search.min_budget": 9, "search.max_budget": 3},
        )


def test_every_broken_rule_has_a_line():
    changes = {"search.trials": 0, "seed": -1}
    with pytest.raises(ConfigError) as caught:
        parse({"data": {"source": "a.csv", "target": "y"}}, changes)
    assert len(str(caught.value).splitlines()) == 2
