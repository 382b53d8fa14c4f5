import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from raymm.artifacts import Table
from raymm.data import statistics
from raymm.data.ingest import content_hash
from raymm.data.validation import require_valid, sentence, validate
from raymm.errors import DataError

Maker = Callable[..., Any]
N = 200


def columns(**more: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "x": rng.normal(size=N).astype(str),
        "word": rng.choice(["a", "b", "c"], N),
        "y": rng.choice(["no", "yes"], N),
        **more,
    }


def rules(made: Any, frame: pd.DataFrame | None = None) -> set[tuple[str, str, str]]:
    table = made.table
    if frame is not None:
        table = Table(frame=frame, source="memory", sha256=content_hash(frame))
    found = validate(table, made.schema, statistics.describe(table))
    assert all(sentence(anomaly).endswith(".") for anomaly in found)
    return {(anomaly.rule, anomaly.column, anomaly.severity) for anomaly in found}


def test_a_sound_table_has_no_anomalies(made: Maker) -> None:
    assert rules(made(columns())) == set()


@pytest.mark.slow
def test_each_anomaly_is_found_on_the_table_itself(made: Maker) -> None:
    rare = ["yes"] * 5 + ["no"] * (N - 5)
    cases: list[tuple[dict[str, Any], tuple[str, str, str]]] = [
        ({"k": ["same"] * N}, ("ignored column", "k", "warning")),
        ({"x": ["1"] * N}, ("duplicate rows", "", "warning")),
        ({"gap": ["1", "2", "", "", ""] * (N // 5)}, ("missing values", "gap", "warning")),
        ({"y": rare}, ("class imbalance", "y", "warning")),
        ({"y": ["", *columns()["y"][1:]]}, ("target left out", "y", "warning")),
        ({"y": ["lonely", *columns()["y"][1:]]}, ("target left out", "y", "warning")),
        ({"copy": columns()["y"]}, ("suspected leak", "copy", "warning")),
        ({"k": ["1"] * (N - 1) + ["2"]}, ("near-constant column", "k", "warning")),
        ({"m": [f"a{i}@b.org" for i in range(N)]}, ("personal data", "m", "warning")),
        ({"x": ["1", "2"] * (N // 2)}, ("contradicting rows", "y", "warning")),
        ({"y": ["Yes", "yes"] * (N // 2)}, ("classes spelled alike", "y", "warning")),
        ({"x": ["same"] * N, "word": ["w"] * N}, ("no features", "", "error")),
    ]
    for more, expected in cases:
        assert expected in rules(made(columns(**more)))
    few = {name: values[:20] for name, values in columns().items()}
    assert ("few rows", "", "warning") in rules(made(few))


@pytest.mark.slow
def test_each_anomaly_of_another_table_is_found(made: Maker) -> None:
    known = made(columns(day=["2020-01-01", "2020-01-02"] * (N // 2)))
    frame = known.table.frame
    cases = [
        (frame.drop(columns="x"), ("missing column", "x", "error")),
        (frame.drop(columns="y"), ("missing column", "y", "error")),
        (frame.assign(more="1"), ("unknown column", "more", "warning")),
        (frame.assign(x=["x", *frame["x"][1:]]), ("unreadable values", "x", "warning")),
        (frame.assign(x="much"), ("unreadable values", "x", "error")),
        (frame.assign(day="soon"), ("unreadable values", "day", "error")),
        (frame.assign(word=["z", *frame["word"][1:]]), ("unseen categories", "word", "warning")),
        (frame.assign(word="z"), ("unseen categories", "word", "error")),
        (frame.assign(y="other"), ("target", "y", "error")),
        (frame.iloc[:5], ("few rows", "", "error")),
        (frame.assign(x=["1e9", *frame["x"][1:]]), ("values out of range", "x", "warning")),
        (frame.assign(day="2031-01-01"), ("values out of range", "day", "warning")),
    ]
    for other, expected in cases:
        assert expected in rules(known, other)


def test_a_schema_edited_by_hand_is_obeyed(made: Maker) -> None:
    known = made(columns(age=np.arange(N) % 70))
    edits: list[tuple[str, dict[str, Any], str]] = [
        ("age", {"maximum": 60.0}, "values out of range"),
        ("age", {"minimum": 1.0}, "values out of range"),
        ("word", {"categories": ("a", "b")}, "unseen categories"),
        ("word", {"role": "ignored", "reason": "by hand"}, "ignored column"),
        ("word", {"kind": "number"}, "unreadable values"),
        ("age", {"missing": ("0",), "nullable": False}, "missing values"),
    ]
    plain = rules(known)
    for name, edit, rule in edits:
        edited = tuple(
            dataclasses.replace(column, **edit) if column.name == name else column
            for column in known.schema.columns
        )
        schema = dataclasses.replace(known.schema, columns=edited)
        described = known.statistics
        if "missing" in edit:
            frame = known.table.frame.assign(age=[np.nan, *range(1, N)])
            table = Table(frame=frame, source="memory", sha256="")
            described = statistics.describe(table)
        else:
            table = known.table
        found = {(a.rule, a.column) for a in validate(table, schema, described)}
        assert (rule, name) in found
        assert (rule, name) not in {(a, b) for a, b, _ in plain}


def test_words_for_missing_given_by_hand_count_in_typed_columns(made: Maker) -> None:
    low = np.where(np.arange(N) % 9 == 0, np.float32(-99.9), np.arange(N) % 70).astype(np.float32)
    known = made(columns(low=low))
    plain = {(a.rule, a.column) for a in validate(known.table, known.schema, known.statistics)}
    assert ("number that may mean missing", "low") in plain
    edited = tuple(
        dataclasses.replace(column, missing=("-99.9",), nullable=False)
        if column.name == "low"
        else column
        for column in known.schema.columns
    )
    schema = dataclasses.replace(known.schema, columns=edited)
    found = {a.rule: a for a in validate(known.table, schema, known.statistics)}
    assert not {"number that may mean missing", "unreadable values"} & set(found)
    assert found["missing values"].observed.startswith(f"{-(-N // 9)} missing")


def test_errors_raise_and_warnings_pass(made: Maker) -> None:
    known = made(columns(k=["same"] * N))
    found = validate(known.table, known.schema, known.statistics)
    assert found
    require_valid(found)
    frame = known.table.frame.drop(columns=["x", "word"])
    table = Table(frame=frame, source="memory", sha256="")
    with pytest.raises(DataError) as error:
        require_valid(validate(table, known.schema, statistics.describe(table)))
    assert '"x"' in str(error.value)
    assert '"word"' in str(error.value)
    assert '"k"' not in str(error.value)


@pytest.mark.slow
def test_the_shared_tables_are_valid(shared: Maker) -> None:
    for name in ("adult", "california_housing", "elec2", "iris", "letter", "telco_churn"):
        known = shared(name)
        found = validate(known.table, known.schema, known.statistics)
        require_valid(found)
        assert not [anomaly for anomaly in found if anomaly.rule == "suspected leak"]
