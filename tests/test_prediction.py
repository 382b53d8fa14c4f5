"""Predictions without a service: the champion by default, refusals that help."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from raymm import prediction
from raymm.artifacts import Column, ColumnStatistics, Schema, Statistics
from raymm.errors import ConfigError, DataError, NotFound
from raymm.registry.versions import Registry


def test_the_champion_is_loaded_by_default(finished, home):
    assert prediction.load("loans").version == Registry(str(home)).champion("loans")


def test_probabilities_are_those_of_the_labels(finished, home):
    frame = pd.read_csv(finished.csv, dtype=str)
    model = prediction.load("loans", version=1)
    probabilities = model.predict_proba(frame)
    picked = np.array(model.schema.classes)[probabilities.argmax(axis=1)]
    assert picked.tolist() == model.predict(frame)


def test_a_model_says_what_it_is(finished, home):
    told = repr(prediction.load("loans", version=1))
    assert told.startswith("<raymm.Model loans version 1: binary of ")
    assert told.endswith(" columns>")


def test_a_bundle_file_predicts_as_the_version_that_it_holds(finished, home, tmp_path, monkeypatch):
    registry = Registry(str(home))
    path = tmp_path / "x.raymm"
    path.write_bytes(registry.bundle(registry.champion("loans")))
    frame = pd.read_csv(finished.csv, dtype=str)
    expected = prediction.load("loans").predict_proba(frame)
    monkeypatch.chdir(tmp_path)
    for name in (path, str(path), "x.raymm"):
        model = prediction.load(name)
        assert (model.name, model.version) == (str(name), None)
        assert np.array_equal(model.predict_proba(frame), expected)
    with pytest.raises(ConfigError, match="one version"):
        prediction.load(path, version=1)
    with pytest.raises(NotFound, match=r'no file y\.raymm in .*, and model "y\.raymm" is not'):
        prediction.load("y.raymm")


def test_unknown_names_are_answered_with_known_ones(home):
    with pytest.raises(NotFound, match=r'Did you mean "loans"'):
        prediction.load("loan")
    with pytest.raises(NotFound, match="1 to 2"):
        prediction.load("loans", version=7)


def test_files_that_are_no_bundles_are_told_as_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (str(tmp_path / "trees.txt"), "trees.ubj"):
        with pytest.raises(ConfigError, match=f"there is no file {name}"):
            prediction.load(name, storage=str(tmp_path / "home"))
        (tmp_path / name).write_bytes(b"tree")
        with pytest.raises(ConfigError, match=f"{name} is a model file .* raymm compress"):
            prediction.load(name, storage=str(tmp_path / "home"))
    (tmp_path / "rows.csv").write_text("a\n1\n")
    with pytest.raises(ConfigError, match=r"no bundle: those end in \.raymm"):
        prediction.load(str(tmp_path / "rows.csv"), storage=str(tmp_path / "home"))
    for name in ("No Model", "a" * 300, "~nobody-is-called-so/rows"):
        with pytest.raises(ConfigError, match="A model's name must be"):
            prediction.load(name, storage=str(tmp_path / "home"))


def test_rows_may_be_mappings(finished, home):
    frame = pd.read_csv(finished.csv).head(3)
    model, rows = prediction.load("loans"), frame.to_dict("records")
    assert model.predict(rows) == model.predict(frame)
    assert model.predict(rows[0]) == model.predict(frame.head(1))
    with pytest.raises(DataError, match="mappings of column to value, but got list"):
        model.predict([[1, 2]])


def test_a_table_without_a_column_is_refused(finished, home):
    frame = pd.read_csv(finished.csv).drop(columns="city")
    with pytest.raises(DataError, match="city"):
        prediction.load("loans").predict(frame)


def test_a_place_that_cannot_be_written_is_named_and_nothing_is_left(finished, home, tmp_path):
    with pytest.raises(ConfigError, match="is not a folder"):
        prediction.predict_file(
            str(home), "loans", str(finished.csv), str(tmp_path / "a" / "b.csv")
        )
    (tmp_path / "taken.csv").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        prediction.predict_file(str(home), "loans", str(finished.csv), str(tmp_path / "taken.csv"))
    assert [path.name for path in tmp_path.iterdir()] == ["taken.csv"]


def test_what_is_read_is_not_written_over(finished, home, tmp_path):
    table, link = tmp_path / "in.csv", tmp_path / "link.csv"
    table.write_bytes(finished.csv.read_bytes())
    link.symlink_to(table)
    for output in (table, link):
        with pytest.raises(ConfigError, match=r"is what is read. Give another file with -o"):
            prediction.predict_file(str(home), "loans", str(table), str(output))
    assert table.read_bytes() == finished.csv.read_bytes()


def test_no_file_of_a_source_is_written_over(tmp_path):
    table, other = tmp_path / "a b.csv", tmp_path / "b.csv"
    (tmp_path / "notes.md").write_text("")
    url = f"file://{tmp_path}/a%20b.csv"
    prediction.require_apart(str(table), source=url)  # it is not there yet
    for path in (table, other):
        path.write_text("a\n1\n")
    for source in (str(table), url, str(tmp_path), f"{tmp_path}/a*"):
        with pytest.raises(ConfigError, match="is what is read"):
            prediction.require_apart(str(table), "wine", source=source)
    for source in (str(other), f"{tmp_path}/b*", "https://x.test/a.csv", "", "a\0", "file://[x"):
        prediction.require_apart(str(table), str(tmp_path), source=source)
    prediction.require_apart(str(tmp_path / "notes.md"), source=str(tmp_path))


def test_cells_that_cannot_be_read_are_told(finished, home, tmp_path):
    frame = pd.read_csv(finished.csv, dtype=str).head(20)
    frame.loc[[3, 7], "income"] = ["much", "?"]
    frame.loc[4, "opened"] = "some day"
    frame.to_csv(tmp_path / "odd.csv", index=False)
    rows, _, notes = prediction.predict_file(
        str(home), "loans", str(tmp_path / "odd.csv"), str(tmp_path / "out.csv")
    )
    assert rows == 20
    assert len(notes) == 2
    assert "income: 1 of 20" in notes[0]
    assert "'much' in row 4" in notes[0]
    assert "'some day' in row 5" in notes[1]


def test_numbers_beyond_what_was_trained_on_are_told_as_they_were_read() -> None:
    columns = (
        Column(name="x", kind="number", minimum=1.0, maximum=90.0, format="decimal comma"),
        Column(name="y", kind="number", role="target"),
    )
    schema = Schema(columns=columns, target="y", task="regression")
    near = pd.DataFrame({"x": ["71,31", "90", "1", "95"] + ["5"] * 10})
    assert prediction.outside(near, schema) == ()
    far = pd.DataFrame({"x": ["5", "9131", "7131", ""]})
    (note,) = prediction.outside(far, schema)
    assert "x: 2 of 3 numbers lie outside what was trained on, 1 to 90" in note
    assert "'9131' in row 2, read as 9131" in note


def test_a_word_for_missing_is_told_by_its_value_too() -> None:
    columns = (
        Column(name="x", kind="number", missing=("-999", "None Given")),
        Column(name="y", kind="number", role="target"),
    )
    schema = Schema(columns=columns, target="y", task="regression")
    frame = pd.DataFrame({"x": [-999.0, "-999.00", "None Given", "odd", 3]})
    (note,) = prediction.unreadable(frame, schema)
    assert "1 of 5" in note
    assert "'odd' in row 4" in note


def test_a_number_too_large_for_a_graph_is_told_as_a_number() -> None:
    columns = (Column(name="x", kind="number"), Column(name="y", kind="number", role="target"))
    schema = Schema(columns=columns, target="y", task="regression")
    (note,) = prediction.unreadable(pd.DataFrame({"x": [1e300, 2.0, 3.0]}), schema)
    assert note == (
        "x: 1 of 3 values is too large for a graph's numbers (float32) and counts as missing, "
        "first '1e+300' in row 1"
    )
    odd = pd.DataFrame({"x": ["5", "-1e300", "much", "1e39", "inf", ""]})
    words, large = prediction.unreadable(odd, schema)
    assert "x: 2 of 6 values are no number and count as missing, first 'much' in row 3" in words
    assert "x: 2 of 6 values are too large" in large
    assert "first '-1e300' in row 2" in large
    assert prediction.unreadable(pd.DataFrame({"x": ["3.4e38", "-1e-300"]}), schema) == ()


def test_categories_that_training_had_not_are_told_in_one_line() -> None:
    columns = (
        Column(name="city", kind="category"),
        Column(name="size", kind="category"),
        Column(name="many", kind="category"),
        Column(name="y", kind="number", role="target"),
    )
    schema = Schema(columns=columns, target="y", task="regression")
    listed = {"city": (("Bern", "Oslo"), 0), "size": (("S", "L"), 0), "many": (("a",), 7)}
    statistics = Statistics(
        rows=9,
        columns=tuple(
            ColumnStatistics(
                name=name,
                kind="category",
                rows=9,
                missing=0,
                distinct=2,
                values=values,
                other=other,
            )
            for name, (values, other) in listed.items()
        ),
    )
    frame = pd.DataFrame(
        {
            "city": ["Oslo", " Bern", None, "Rome", "Rome"],
            "size": ["M", "S", "", "L", "S"],
            "many": list("abcde"),
        }
    )
    assert prediction.unlisted(frame, schema, statistics) == (
        "categories that training had not: city in 2 of 5 rows (first 'Rome' in row 4); "
        "size in 1 of 5 rows (first 'M' in row 1)",
    )
    assert prediction.unlisted(frame.iloc[1:3], schema, statistics) == ()


def test_only_csv_is_written(finished, home, tmp_path):
    with pytest.raises(ConfigError, match=r"ends in \.csv"):
        prediction.predict_file(str(home), "loans", str(finished.csv), str(tmp_path / "p.parquet"))
    assert not list(tmp_path.iterdir())


def test_a_file_is_read_as_the_training_file_was_said_to_be(tmp_path):
    model = object.__new__(prediction.Model)
    model._data = {}
    path = tmp_path / "a.csv"
    path.write_bytes("n;w\n1;Köln\n2;Aix\n".encode("cp437"))
    assert model.read(str(path))["w"].tolist() != ["Köln", "Aix"]
    model._data = {"encoding": "cp437", "delimiter": ";"}
    assert model.read(str(path)).to_dict("list") == {"n": ["1", "2"], "w": ["Köln", "Aix"]}
    model._data = {"encoding": "utf-8"}
    with pytest.raises(DataError, match=r"not written in utf-8: .* byte 7 "):
        model.read(str(path))


def test_a_version_may_be_named_with_its_model(finished, home):
    model = prediction.load("loans@1")
    assert (model.name, model.version.number) == ("loans", 1)
    assert prediction.load("loans@1", version=1).version == model.version
    for named, version in (("loans@1", 2), ("loans@2", 0)):
        with pytest.raises(ConfigError, match=f"{named} names version .*, but {version} is given"):
            prediction.load(named, version=version)
    for named, version in (("loans@7", None), ("loans", 0)):
        with pytest.raises(NotFound, match="1 to 2"):
            prediction.load(named, version=version)
