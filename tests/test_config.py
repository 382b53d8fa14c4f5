"""The configuration: defaults, durations, refusals that name the mend, and the run's name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm import config
from raymm.errors import ConfigError

LEAST = {"data": {"source": "some/churn.csv", "target": "Churn"}}


def test_source_and_target_are_enough():
    made = config.parse(LEAST)
    assert made.name == "churn"
    assert made.search.budget() == (100, 600.0)


def test_a_trial_budget_alone_sets_no_time_limit():
    assert config.parse({**LEAST, "search": {"trials": 5}}).search.budget() == (5, None)
    assert config.parse({**LEAST, "search": {"time": "1m"}}).search.budget() == (None, 60.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": {"source": "a.csv"}}, "data.target is required"),
        ({**LEAST, "goals": {}}, 'Did you mean "goal"'),
        ({**LEAST, "goal": {"limits": {"bundlemb": 1}}}, 'Did you mean "bundle_mb"'),
        ({**LEAST, "search": {"time": "soon"}}, "a duration such as 90s"),
        ({**LEAST, "search": {"trials": 0}}, "search.trials"),
        ({**LEAST, "name": "Not A Name"}, "name"),
        ({**LEAST, "serving": {"replicas": {"min": 3, "max": 1}}}, "max must be at least min"),
        ({**LEAST, "data": "churn.csv"}, "data"),
        ({**LEAST, "search": {"trials": [1]}}, "search.trials"),
        ({**LEAST, "search": {"time": [1]}}, "a duration such as 90s"),
        ({**LEAST, "search": {"time": True}}, "a duration such as 90s"),
        ({**LEAST, "search": {"time": float("inf")}}, "a duration above 0"),
        ({**LEAST, "search": {"time": float("nan")}}, "a duration above 0"),
        ({**LEAST, "goal": {"at_least": float("nan")}}, "goal.at_least"),
    ],
)
def test_wrong_configurations_are_refused_with_the_place_and_the_mend(change, words):
    with pytest.raises(ConfigError, match=words):
        config.parse(change)


def test_changes_are_read_as_yaml_and_reach_any_depth():
    made = config.parse(
        LEAST, {"search.families": "[linear, forest]", "goal.limits.bundle_mb": "2", "seed": "7"}
    )
    assert made.search.families == ("linear", "forest")
    assert (made.goal.limits.bundle_mb, made.seed) == (2.0, 7)


@pytest.mark.parametrize("name", ["2015", "Yes", "null", "a: b", "[x]", "# rooms", "x # y", "~"])
def test_a_column_may_have_a_name_that_yaml_would_read_otherwise(name):
    assert config.parse(LEAST, {"data.target": name}).data.target == name


def test_quotes_around_a_name_are_taken_off_and_null_empties_what_may_be_empty():
    assert config.parse(LEAST, {"data.target": '"a: b"'}).data.target == "a: b"
    given = {**LEAST, "data": {**LEAST["data"], "time": "day"}}
    assert config.parse(given, {"data.time": "null"}).data.time is None


def test_off_without_quotes_is_off_in_yaml():
    made = config.parse(LEAST, {"monitoring.retrain": "off"})
    assert made.monitoring.retrain == "off"


def test_a_run_is_named_by_the_content_of_its_schema_file(tmp_path):
    first, moved = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("one")
    moved.write_text("one")
    made, elsewhere = (
        config.parse({**LEAST, "data": {**LEAST["data"], "schema": str(path)}})
        for path in (first, moved)
    )
    name = made.run_id("0")
    assert elsewhere.run_id("0") == name
    first.write_text("two")
    assert made.run_id("0") != name


def test_the_home_folder_may_be_a_bucket(monkeypatch):
    monkeypatch.setenv("RAYMM_HOME", "s3://bucket/home")
    assert config.default_storage() == "s3://bucket/home"
    assert config.home_folder() == Path.home() / ".raymm"


def test_a_change_below_a_value_is_refused():
    with pytest.raises(ConfigError, match="holds a value, not a section"):
        config.parse({**LEAST, "seed": 1}, {"seed.more": 2})


@pytest.mark.parametrize("text", ["[1, 2", "- a\n- b", ""])
def test_files_that_hold_no_mapping_are_refused(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"a\.yaml"):
        config.load(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        config.load(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"search": {"trials": 7}}, True),
        ({"search": {"time": "9m", "parallel": 4}}, True),
        ({"storage": "elsewhere"}, True),
        ({"ray": {"cpus": 9}}, True),
        ({"seed": 9}, False),
        ({"goal": {"metric": "log_loss"}}, False),
        ({"search": {"algorithm": "random"}}, False),
        ({"data": {**LEAST["data"], "exclude": ["a"]}}, False),
        ({"data": {"source": "copy/churn.csv", "target": "Churn"}}, True),
    ],
)
def test_a_run_is_named_by_what_decides_its_results(change, same):
    one, other = config.parse(LEAST), config.parse({**LEAST, **change})
    assert (one.run_id("abc") == other.run_id("abc")) is same
    assert one.run_id("abc") != one.run_id("abd")


@given(st.text(max_size=100))
def test_any_source_gives_a_legal_name(source):
    assert config.parse({"data": {"source": source, "target": "y"}}).name


def test_the_schema_for_editors_names_every_section():
    properties = config.json_schema()["properties"]
    assert {"data", "goal", "search", "compression", "serving", "monitoring"} <= set(properties)


def test_a_folder_is_the_same_from_everywhere(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert config.parse({**LEAST, "storage": "~/a"}).storage == str(tmp_path / "a")
    assert config.parse({**LEAST, "storage": "b"}).storage == str(tmp_path / "b")
    assert config.parse({**LEAST, "storage": "s3://bucket/c"}).storage == "s3://bucket/c"


def test_the_schema_in_the_documentation_is_the_one_that_is_obeyed():
    path = Path(__file__).parents[1] / "docs" / "raymm.schema.json"
    assert json.loads(path.read_text()) == json.loads(json.dumps(config.json_schema()))


def test_the_page_of_the_documentation_names_every_key():
    page = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == config.reference()
    for key in (
        "data.source",
        "goal.limits.bundle_mb",
        "serving.replicas.min",
        "monitoring.trial.proof",
    ):
        assert f"| `{key}` |" in page
    assert "| `data.test` | number over 0 and under 0.9 | `0.2` |" in page


def test_one_name_needs_no_brackets():
    made = config.parse(LEAST, {"data.exclude": "casual", "search.families": "linear"})
    assert (made.data.exclude, made.search.families) == (("casual",), ("linear",))
    assert config.parse(LEAST, {"search.families": "auto"}).search.families == "auto"


def test_what_is_said_of_a_file_is_kept_as_python_names_it():
    said = {"data.encoding": "Windows-1251", "data.delimiter": "||"}
    made = config.parse(LEAST, said)
    assert (made.data.encoding, made.data.delimiter) == ("cp1251", "||")
    # The hash is of what was read: it tells how it was read already.
    assert made.run_id("0") == config.parse(LEAST).run_id("0")
    with pytest.raises(ConfigError, match=r'data\.encoding must be an encoding .* "utf-9"'):
        config.parse(LEAST, {"data.encoding": "utf-9"})
    with pytest.raises(ConfigError, match=r"data\.delimiter must be what parts cells"):
        config.parse(LEAST, {"data.delimiter": "x"})
