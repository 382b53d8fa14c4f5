from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from raymm.artifacts import Column, Interaction, Schema
from raymm.data import schema as schemas
from raymm.data import schema_file
from raymm.errors import DataError

Maker = Callable[..., Any]
N = 200
RNG = np.random.default_rng(0)


def plain(**columns: Any) -> dict[str, Any]:
    base = {"x": RNG.normal(size=N).round(3).astype(str), "y": np.tile(["no", "yes"], N // 2)}
    return {**base, **columns}


def repeat(*words: Any) -> list[Any]:
    return [words[i % len(words)] for i in range(N)]


def test_a_schema_file_reads_back_what_was_written(made: Maker, tmp_path: Path) -> None:
    columns = {
        "day": repeat("31/12/2020", "01/02/2021"),
        "price": repeat("1,5", "2,25", "?"),
        "flag": repeat("Yes", "No", ""),
        "word": repeat("yes", "1", "null", "é"),
        "same": ["x"] * N,
        "note": [f"many words of {i}" for i in range(N)],
    }
    for options in ({}, {"positive": "no"}):
        schema = made(plain(**columns), **options).schema
        schemas.write(schema, tmp_path / "schema.yaml")
        bare = [
            replace(one, categories=(), example=None) if one.role == "ignored" else one
            for one in schema.columns
        ]
        assert schemas.read(tmp_path / "schema.yaml") == replace(schema, columns=tuple(bare))
    assert (tmp_path / "schema.yaml").read_text().startswith("#")


def test_a_schema_file_holds_no_values_of_columns_that_no_model_sees(
    made: Maker, tmp_path: Path
) -> None:
    phones = [f"0171/{1031716 + 7 * i}" for i in range(N)]
    schema = made(plain(phone=phones, patient=[f"patient {i // 4}" for i in range(N)])).schema
    parted = [replace(c, role="group") if c.name == "patient" else c for c in schema.columns]
    schemas.write(replace(schema, columns=tuple(parted)), tmp_path / "schema.yaml")
    text = (tmp_path / "schema.yaml").read_text()
    assert "name: phone" in text
    assert "0171" not in text
    assert "patient 7" not in text


def test_a_number_is_a_word_for_missing_and_an_error_names_its_column(
    made: Maker, tmp_path: Path
) -> None:
    path = tmp_path / "schema.yaml"
    schemas.write(made(plain()).schema, path)
    record = yaml.safe_load(path.read_text())
    record["columns"][0]["missing"] = [-999, "none"]
    path.write_text(yaml.safe_dump(record))
    assert schemas.read(path).columns[0].missing == ("-999", "none")
    record["columns"][0]["missing"] = [True]
    path.write_text(yaml.safe_dump(record))
    with pytest.raises(DataError, match='column 1 "x": each of missing must be text'):
        schemas.read(path)


EDITS: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda r: r.update(clases=[]), 'Did you mean "classes"'),
    (lambda r: r["columns"][0].update(rol="feature"), 'Did you mean "role"'),
    (lambda r: r["columns"][0].update(kind="numbr"), 'Did you mean "number"'),
    (lambda r: r["columns"][0].update(missing="NA"), "list of words"),
    (lambda r: r["columns"][0].update(minimum="low"), "must be a number"),
    (lambda r: r["columns"].append(r["columns"][0]), "once"),
    (lambda r: r["columns"][0].update(format="decimal coma"), 'Did you mean "decimal comma"'),
    (lambda r: r["columns"][0].update(kind="datetime", format="%DD/%MM"), "strptime"),
    (lambda r: r["columns"][0].update(kind="datetime", format="DD/MM/YYYY"), "none of dates"),
    (lambda r: r.update(version=2), "version 1"),
    (lambda r: r.update(classes=[False, True]), "quotes"),
    (lambda r: r.update(classes=["a"]), "cannot have 1 classes"),
    (lambda r: r.update(task="clustering"), "must be one of"),
    (lambda r: r.update(target="x"), "role target"),
    (lambda r: r.pop("columns"), "must hold"),
]


@pytest.mark.parametrize(("edit", "words"), EDITS)
def test_a_wrongly_edited_schema_file_says_where(
    edit: Callable[[dict[str, Any]], Any], words: str, made: Maker, tmp_path: Path
) -> None:
    path = tmp_path / "schema.yaml"
    schemas.write(made(plain()).schema, path)
    record = yaml.safe_load(path.read_text())
    edit(record)
    path.write_text(yaml.safe_dump(record))
    with pytest.raises(DataError, match=words):
        schemas.read(path)


def numbers_with(interactions):
    columns = tuple(Column(name=name, kind="number") for name in ("rooms", "people"))
    target = Column(name="price", kind="number", role="target")
    return Schema(
        columns=(*columns, target), target="price", task="regression", interactions=interactions
    )


def test_interactions_are_written_and_read_and_none_at_all_is_kept_apart_from_undecided(tmp_path):
    pair = Interaction(first="rooms", second="people", operation="ratio")
    for given in ((pair,), (), None):
        schema_file.write(numbers_with(given), tmp_path / "schema.yaml")
        assert schema_file.read(tmp_path / "schema.yaml").interactions == given


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"first": "room"}, 'Did you mean "rooms"'),
        ({"second": "price"}, "must be a feature of kind number"),
        ({"operation": "quotient"}, "operation must be one of sum"),
        ({"third": "x"}, "must be a mapping of first, second, operation"),
    ],
)
def test_interactions_that_cannot_be_are_refused(change, told, tmp_path):
    path = tmp_path / "schema.yaml"
    pair = Interaction(first="rooms", second="people", operation="ratio")
    schema_file.write(numbers_with((pair,)), path)
    record = yaml.safe_load(path.read_text())
    record["interactions"][0].update(change)
    path.write_text(yaml.safe_dump(record))
    with pytest.raises(DataError, match="interaction 1") as error:
        schema_file.read(path)
    assert told in str(error.value)
