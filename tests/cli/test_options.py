"""Options become configuration keys."""

from __future__ import annotations

import pytest

from raymm.cli import options
from raymm.errors import ConfigError


def test_options_that_were_not_given_change_nothing():
    assert options.changes({"search__time": None, "seed": 3}, ()) == {"seed": 3}


def test_settings_win_over_options_and_keep_their_equals_signs():
    changed = options.changes({"search__trials": 5}, ("search.trials=7", "name=a=b"))
    assert changed == {"search.trials": "7", "name": "a=b"}


@pytest.mark.parametrize("setting", ["seed", "=3"])
def test_settings_need_a_key_and_a_value(setting):
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        options.changes({}, (setting,))


def test_storage_is_the_home_folder_by_default(home):
    assert options.storage_of(None) == str(home)
    assert options.storage_of("s3://bucket/x") == "s3://bucket/x"


@pytest.mark.parametrize(
    ("text", "names", "told"),
    [
        ("min_budget must be at most max_budget", ["min_budget", "max_budget"],
         "--min-budget must be at most --max-budget"),
        ("Give both, such as min_budget=1", ["min_budget"], "Give both, such as --min-budget 1"),
        ('Give mode="min" where', ["mode"], "Give --mode min where"),
        ("trials must be at least 1", ["trials"], "--trials must be at least 1"),
        ("no trials yet: more time is needed", ["trials", "time"],
         "no trials yet: more time is needed"),
        ("search.trials must be 1\nseed must be 2", ["search__trials", "seed"],
         "--trials must be 1\n--seed must be 2"),
        ("search.trials must be 1", ["search__time"], "search.trials must be 1"),
    ],
)  # fmt: skip
def test_messages_name_options_as_they_are_typed(text, names, told):
    assert options.typed(text, names) == told


def test_only_what_was_given_is_renamed():
    with (
        pytest.raises(ConfigError, match=r"^search.trials must be 1$"),
        options.as_typed({"search__trials": None}),
    ):
        raise ConfigError("search.trials must be 1")
