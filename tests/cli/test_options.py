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
