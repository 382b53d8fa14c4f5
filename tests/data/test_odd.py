"""Every odd file beside this test ends well, or in a message that a person can act on."""

from pathlib import Path

import pytest

from raymm.artifacts import Anomaly, Schema, Table
from raymm.data import ingest, schema, split, statistics, validation
from raymm.errors import DataError
from raymm.sections import DataConfig

ODD = Path(__file__).parent / "odd"

# The file, the kind of each column ("" for one left out), and a word of its notes or anomalies.
PEOPLE = {"age": "number", "income": "number", "city": "category"}
GOOD: dict[str, tuple[dict[str, str], str]] = {
    "bar.psv": (PEOPLE, "vertical bar"),
    "blanks.txt": ({"age": "number", "income": "number"}, "blanks"),
    "booleans.csv": (dict.fromkeys("abcdf", "boolean") | {"e": "number"}, ""),
    "broken_utf8.csv": (PEOPLE, "replaced (lines 2)"),
    "byte_order_mark.csv": (PEOPLE, "byte order mark"),
    "caret.txt": (PEOPLE, "separated by ^"),
    "codes.csv": ({"zip": "category"}, ""),
    "comments.csv": (PEOPLE, "lines 9"),
    "constant_and_empty.csv": (PEOPLE | {"same": "", "none": ""}, "every value is"),
    "control_a.txt": (PEOPLE, "x01"),
    "dates.csv": (
        dict.fromkeys(
            ["iso", "european", "american", "zoned", "clock", "named", "epoch_ts"], "datetime"
        ),
        "",
    ),
    "dates_of_two_readings.csv": ({"day": "datetime"}, "could be either"),
    "double_bar.txt": (PEOPLE, "separated by '||'"),
    "double_colon.dat": (PEOPLE, "separated by '::'"),
    "doubled_quotes.csv": ({"note": "category"}, ""),
    "duplicate_names.csv": ({"age": "number", "age_2": "number"}, "second column"),
    "duplicate_rows.csv": (PEOPLE, "repeat another"),
    "durations.csv": ({"took": "number"}, ""),
    "empty_names.csv": ({"column_1": "number", "column_2": "number"}, "no name"),
    "escaped_quotes.csv": ({"note": "category"}, ""),
    "header_in_comment.csv": (PEOPLE, "comment line"),
    "latin1.csv": (PEOPLE, "cp1252"),
    "long_cell.csv": ({"note": "text"}, ""),
    "minus_behind.csv": ({"amount": "number"}, "semicolon"),
    "missing_words.csv": ({"x": "number"}, ""),
    "mixed_types.csv": ({"x": "number"}, "'unsure'"),
    "nested.parquet": (
        {"place.city": "category", "price": "number", "zoned": "datetime", "day": "datetime"}
        | {"took": "number", "opens": "number", "plan": "category", "nothing": ""},
        '"tags" holds lists',
    ),
    "no_header.csv": ({"column_1": "number", "column_3": "category"}, "first line is data"),
    "no_header_whole_numbers.csv": ({"column_1": "number"}, "first line is data"),
    "no_last_newline.csv": (PEOPLE, ""),
    "nul.csv": (PEOPLE, "NUL characters"),
    "numbers_that_mean_missing.csv": ({"x": "number"}, "-999"),
    "old_mac.csv": (PEOPLE, ""),
    "packed.csv.bz2": (PEOPLE, ""),
    "packed.csv.gz": (PEOPLE, ""),
    "packed.csv.xz": (PEOPLE, ""),
    "packed.csv.zst": (PEOPLE, ""),
    "packed.zip": (PEOPLE, ""),
    "packed_columns.parquet": ({"age": "number"}, ""),
    "packed_in_two_parts.csv.gz": (PEOPLE, ""),
    "parts": (PEOPLE, "another order"),
    "quoted_newlines.csv": ({"note": "category"}, ""),
    "ragged.csv": (PEOPLE, "(lines 10)"),
    "records.json": ({"age": "number"}, "JSON"),
    "records.jsonl": ({"place.city": "category"}, '"tags" holds lists'),
    "records_of_two_types.jsonl": ({"age": "number"}, "JSON"),
    "row_names.csv": (PEOPLE | {"column_1": ""}, "rows' names"),
    "semicolon_decimal_comma.csv": ({"name": "category", "amount": "number"}, "semicolon"),
    "separator_named.csv": (PEOPLE, "semicolon"),
    "signs.csv": ({"price": "number", "rate": "number"}, ""),
    "single_quotes.csv": ({"note": "category"}, ""),
    "space_after_comma.csv": ({"note": "category"}, ""),
    "tab.tsv": (PEOPLE, "tab"),
    "table.feather": ({"age": "number"}, ""),
    "thousands.csv": ({"amount": "number"}, ""),
    "thousands_blank.csv": ({"amount": "number"}, ""),
    "title_above.csv": (PEOPLE, "3 lines above"),
    "trailing_delimiter.csv": (PEOPLE, "empty last column"),
    "unpaired_quote.csv": (PEOPLE, "not paired"),
    "utf16.csv": (PEOPLE, "UTF-16"),
    "utf16_without_mark.csv": (PEOPLE, "UTF-16-LE"),
    "utf32.csv": (PEOPLE, "UTF-32"),
    "windows_blank_lines.csv": (PEOPLE, ""),
    "years_as_names.csv": ({"land": "category", "2021": "number"}, ""),
}

BAD = {
    "archive.csv": "tar archive",
    "arff.csv": "ARFF",
    "binary.csv": "not text",
    "blank.csv": "empty",
    "bomb.csv.gz": "more than 200 times",
    "broken.jsonl": "line 2",
    "cut_off.csv.gz": "cannot be unpacked",
    "damaged.parquet": "Parquet",
    "empty.csv": "empty",
    "header_only.csv": "no rows",
    "object.json": "has one in 1 of 1",
    "one_column.csv": "at least one feature",
    "one_row.csv": "at least 10 rows",
    "page.csv": "web page",
    "parts_that_differ": r"has besides \['more'\]",
    "pickle.csv": "pickle",
    "picture.csv": "picture",
    "pointer.csv": "Git LFS",
    "prose.csv": "no table",
    "two_tables.zip": r"a\.csv, b\.csv",
    "workbook.csv": "Excel",
}

READ_ONLY = {"wide.csv.gz"}


def through(path: Path) -> tuple[Table, Schema, tuple[Anomaly, ...]]:
    table = ingest.read(str(path))
    names = list(table.frame.columns)
    config = DataConfig(source=str(path), target="y" if "y" in names else names[-1])
    described = statistics.describe(table)
    columns = schema.infer(table, described, config)
    anomalies = validation.validate(table, columns, described)
    validation.require_valid(anomalies)
    split.split(table, columns, config, seed=0)
    return table, columns, anomalies


@pytest.mark.slow
@pytest.mark.parametrize("name", GOOD)
def test_odd_files_are_understood_up_to_the_split(name: str) -> None:
    kinds, word = GOOD[name]
    table, columns, anomalies = through(ODD / name)
    for column, kind in kinds.items():
        found = columns.column(column)
        assert (found.kind if found.role == "feature" else "") == kind, column
    told = " ".join([*table.notes, *(validation.sentence(anomaly) for anomaly in anomalies)])
    assert word in told


@pytest.mark.parametrize("name", BAD)
def test_files_that_are_no_table_say_what_they_are_and_what_to_do(name: str) -> None:
    with pytest.raises(DataError, match=BAD[name]) as error:
        through(ODD / name)
    assert str(error.value).count(". ") >= 1 or str(error.value).endswith(".")


def test_every_odd_file_is_spoken_of() -> None:
    here = {path.name for path in ODD.iterdir()} - {"make.py", "__pycache__"}
    assert here == set(GOOD) | set(BAD) | READ_ONLY
    assert len(here) >= 40


@pytest.mark.long
def test_ten_thousand_columns_are_read() -> None:
    assert ingest.read(str(ODD / "wide.csv.gz")).frame.shape == (12, 10_000)


def test_people_are_the_same_in_every_form() -> None:
    whole = ingest.read(str(ODD / "bar.psv")).sha256
    same = ["tab.tsv", "caret.txt", "control_a.txt", "old_mac.csv", "title_above.csv", "utf16.csv"]
    same += ["packed.zip", "packed.csv.zst", "separator_named.csv", "no_last_newline.csv"]
    same += ["double_bar.txt", "double_colon.dat"]
    assert {ingest.read(str(ODD / name)).sha256 for name in same} == {whole}


def test_amounts_have_their_values() -> None:
    def values(name: str, column: str) -> list[float]:
        table, columns, _ = through(ODD / name)
        from raymm.features.columns import numbers

        return numbers(table.frame[column], columns.column(column)).tolist()

    behind = values("minus_behind.csv", "amount")
    assert behind == [(1000 + 137.25 * i) * (-1 if i % 3 else 1) for i in range(40)]
    german = values("semicolon_decimal_comma.csv", "amount")
    assert german == [1000 + 137.25 * i for i in range(40)]
    assert values("thousands_blank.csv", "amount") == [1_234_567 + 1000 * i for i in range(40)]
    assert values("thousands.csv", "amount")[1] == 2468.5
    assert values("signs.csv", "price")[2] == 1214.5
    assert values("durations.csv", "took")[1] == 3600 + 7 * 60 + 11
