"""The same rows give the same tensors, to the bit, as JSON, CSV and Arrow."""

import csv
import datetime
import decimal
import io
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.artifacts import Column, Schema
from raymm.errors import InputError, TooLarge
from raymm.serving.bulk import sheet_of
from raymm.serving.media import ARROW, CSV
from raymm.serving.protocol import RecordReader
from raymm.serving.sheets import SheetReader

NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20),
    st.floats(-3e38, 3e38),
    st.just(-0.0),
    st.floats(-2, 2, width=32),
)
WORDS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), max_size=8
)
DATES = st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "age": NUMBERS,
            "income": st.none() | NUMBERS,
            "member": st.sampled_from([None, True, False]),
            "city": st.none() | WORDS,
            "since": st.none() | DATES,
            "note": st.none() | WORDS,
        }
    ),
    min_size=1,
    max_size=12,
)


def read(schema, media, body, most=10**6):
    reader = SheetReader(schema)
    return reader.tensors(sheet_of(media, body, known=reader.known, max_rows=1000, max_bytes=most))


def by_json(schema, records):
    reader = RecordReader(schema)
    plain = json.loads(json.dumps(records, default=str))
    return reader.tensors(reader.records({"records": plain}, 1000))


def as_csv(records, names=None, **how):
    names = names or list(records[0])
    out = io.StringIO(newline="")
    writer = csv.writer(out, **how)
    writer.writerow(names)
    for record in records:
        values = (record[name] for name in names)
        writer.writerow(["" if value is None else value for value in values])
    return out.getvalue().encode()


def as_arrow(*tables, **options):
    sink = io.BytesIO()
    with pa.ipc.new_stream(
        sink, tables[0].schema, options=pa.ipc.IpcWriteOptions(**options)
    ) as stream:
        for table in tables:
            stream.write_table(table)
    return sink.getvalue()


def one(schema, name, values):
    """A table of one odd column among plain ones."""
    plain = {"age": 1.0, "income": 1.0, "member": True, "city": "x", "since": "01/02/2020"}
    columns = {key: [value] * len(values) for key, value in (plain | {"note": "x"}).items()}
    return pa.table(columns | {name: values})


def coded(values):
    return pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), values)


def same(left, right):
    assert list(left) == list(right)
    for name, values in left.items():
        assert values.dtype == right[name].dtype, name
        if values.dtype == object:
            assert values.tolist() == right[name].tolist(), name
        else:
            assert values.tobytes() == right[name].tobytes(), name


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(ROWS, st.randoms(use_true_random=False), st.sampled_from([None, "lz4", "zstd"]))
def test_all_three_read_alike(schema, records, mix, compression):
    expected = by_json(schema, records)
    names = list(records[0])
    mix.shuffle(names)
    same(expected, read(schema, CSV, as_csv(records, names)))
    same(expected, read(schema, CSV, b"\xef\xbb\xbf" + as_csv(records, quoting=csv.QUOTE_ALL)))
    # Arrow holds no whole numbers beyond 64 bits: they come as float64, as JSON's do in the graph
    plain = [
        row | {name: row[name] and float(row[name]) for name in ("age", "income")}
        for row in records
    ]
    table = pa.Table.from_pylist(
        plain,
        pa.schema(
            {
                "note": pa.large_string(),
                "age": pa.float64(),
                "income": pa.float64(),
                "member": pa.bool_(),
                "city": pa.string(),
                "since": pa.timestamp("us"),
            }
        ),
    )
    halves = table.slice(0, len(records) // 2), table.slice(len(records) // 2)
    body = as_arrow(*halves, compression=compression)
    same(expected, read(schema, ARROW, body))
    position = table.column_names.index("city")
    coded = table.set_column(position, "city", table["city"].dictionary_encode())
    same(expected, read(schema, ARROW, as_arrow(coded)))


COLUMNS = {
    "income": [
        (pa.array([1, None, 2**60 + 1], pa.int64()), [1, None, 2**60 + 1]),
        (pa.array([1, None], pa.uint8()), [1, None]),
        (pa.array([1.5, None], pa.float16()), [1.5, None]),
        (pa.array([0.1, float("nan")], pa.float64()), [0.1, None]),
        (pa.array([decimal.Decimal("0.10"), None], pa.decimal128(20, 2)), [0.1, None]),
        (pa.array([decimal.Decimal("123456789.123")], pa.decimal256(40, 9)), [123456789.123]),
        (pa.nulls(2), [None, None]),
        (pa.array([2.5, None, 2.5]).dictionary_encode(), [2.5, None, 2.5]),
    ],
    "member": [
        (pa.array(["yes", None, "No"]), [True, None, False]),
        (pa.array([1, 0, None]), [True, False, None]),
        (pa.array([1.0, float("nan")]), [True, None]),
        (pa.array([True, None, False]), [True, None, False]),
        (pa.nulls(1), [None]),
    ],
    "city": [
        (pa.array([3, None, 4]), [3, None, 4]),
        (pa.array([3.0, 2.5, float("nan")]), [3.0, 2.5, None]),
        (pa.array([decimal.Decimal("1.50")], pa.decimal128(5, 2)), [1.5]),
        (pa.array(["Rome", None, " Rome "], pa.string_view()), ["Rome", None, "Rome"]),
        (pa.array(["a", None, "b", "a"]).dictionary_encode(), ["a", None, "b", "a"]),
    ],
    "since": [
        (pa.array([datetime.date(1960, 3, 1), None]), ["1960-03-01", None]),
        (pa.array([datetime.date(1960, 3, 1)], pa.date64()), ["1960-03-01"]),
        (pa.array([-1, None, 1500], pa.timestamp("ms")), [-1, None, 1]),
        (pa.array([1], pa.timestamp("s", tz="Asia/Tokyo")), [1]),
        (pa.array([1.5, None]), [1.5, None]),
        (pa.array(["01/02/2020", "2020-02-01T00:00:00+01:00"]), ["2020-02-01", "2020-01-31T23:00"]),
    ],
    "note": [(pa.array(["x", None, ""], pa.large_string()), ["x", None, ""])],
}


@pytest.mark.parametrize(
    ("name", "array", "values"),
    [(name, *pair) for name, pairs in COLUMNS.items() for pair in pairs],
    ids=lambda one: str(getattr(one, "type", ""))[:30] or None,
)
def test_types_of_arrow(schema, name, array, values):
    plain = {"age": 1.0, "income": 1.0, "member": True, "city": "x", "since": "01/02/2020"}
    records = [plain | {"note": "x", name: value} for value in values]
    found = read(schema, ARROW, as_arrow(one(schema, name, array)))
    same(by_json(schema, records), found)


@pytest.mark.parametrize(
    ("name", "array", "field", "observed"),
    [
        ("age", pa.array([1.0, None]), "rows[1].age", "null"),
        ("age", pa.array([1.0, float("nan")]), "rows[1].age", "null"),
        ("age", pa.array([1.0, float("inf")]), "rows[1].age", "inf"),
        ("age", pa.array(["1"]), "schema, age", "a column of string"),
        ("age", pa.array([True]), "schema, age", "a column of bool"),
        ("age", pa.array([[1]]), "schema, age", "a column of list"),
        ("city", pa.array([True]), "schema, city", "a column of bool"),
        ("city", pa.array([b"x"]), "schema, city", "a column of binary"),
        ("city", pa.array(["a", "b\0"]), "rows[1].city", "'b\\x00' (text)"),
        ("member", pa.array([0, 2]), "rows[1].member", "2"),
        ("since", pa.array(["01/02/2020", "x"]), "rows[1].since", "'x' (text)"),
        ("since", pa.array([0, 2**62], pa.timestamp("s")), "rows[1].since", str(2**62)),
        ("since", pa.array([1], pa.time32("s")), "schema, since", "a column of time32"),
        ("since", coded(pa.array([2**62], pa.timestamp("s"))), "schema, since", "a column of dict"),
        ("note", pa.array([1]), "schema, note", "a column of int64"),
        ("nota", pa.array([1]), "schema, nota", "an unknown column"),
    ],
)
def test_what_does_not_fit_is_told(schema, name, array, field, observed):
    with pytest.raises(InputError) as caught:
        read(schema, ARROW, as_arrow(one(schema, name, array)))
    assert caught.value.field == field
    assert caught.value.observed.startswith(observed)


def test_rows_are_counted_over_batches(schema):
    first = one(schema, "city", pa.array(["a", "b"]).dictionary_encode())
    second = one(schema, "city", pa.array(["c", "d\0"]).dictionary_encode())
    with pytest.raises(InputError, match=r"rows\[3\].city"):
        read(schema, ARROW, as_arrow(first, second))


@pytest.mark.parametrize("name", ["age", "income", "member", "city", "since", "note"])
def test_a_batch_of_no_rows_adds_none(schema, name):
    values = {"age": [1.0], "income": [2.5], "member": [True], "since": ["01/02/2020"]}
    table = one(schema, name, coded(pa.array(values.get(name, ["x"]))))
    batch = table.to_batches()[0]
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        for part in (batch.slice(0, 0), batch, batch.slice(1)):
            stream.write_batch(part)
    assert len(read(schema, ARROW, sink.getvalue())[name]) == 1


def test_a_column_that_is_left_out_is_an_error(schema):
    with pytest.raises(InputError, match="schema, city must be a column"):
        read(schema, ARROW, as_arrow(one(schema, "age", [1.0]).drop_columns("city")))
    ignored = one(schema, "row_id", [[1]]).append_column("left", pa.array([{"a": 1}]))
    assert read(schema, ARROW, as_arrow(ignored))["age"].tolist() == [1.0]


@pytest.mark.parametrize("kind", ["dictionary", "view"])
def test_many_rows_of_one_long_text_are_not_laid_out(schema, kind):
    long = "x" * 2000
    codes = pa.array(np.zeros(900, np.int8))
    array = pa.DictionaryArray.from_arrays(codes, pa.array([long]))
    if kind == "view":
        lone = pa.array([long], pa.string_view()).buffers()
        views = pa.py_buffer(lone[1].to_pybytes() * 900)
        array = pa.Array.from_buffers(pa.string_view(), 900, [None, views, *lone[2:]])
    body = as_arrow(one(schema, "note", array))
    assert len(body) < 100_000
    with pytest.raises(TooLarge, match="text of one column"):
        read(schema, ARROW, body, most=100_000)


@pytest.mark.parametrize("kind", [pa.string(), pa.string_view()])
def test_the_text_of_a_column_is_bounded_over_batches(schema, kind):
    shared = one(schema, "note", coded(pa.array(["x" * 2000], kind)))
    body = as_arrow(*[shared] * 60)
    assert len(body) < 100_000
    with pytest.raises(TooLarge, match="text of one column"):
        read(schema, ARROW, body, most=100_000)
    assert len(read(schema, ARROW, body, most=120_000)["note"]) == 60


STYLED = [
    (None, "1.5", 1.5), (None, " +1.5 ", 1.5), (None, "", None), (None, "?", None),
    (None, " ? ", None), (None, "1e3", 1000), ("decimal comma", "1.234,5", 1234.5),
    ("thousands comma", "1,234.5", 1234.5), ("signs", "$ 3", 3.0), ("duration", "1:00:05", 3605),
]  # fmt: skip


@pytest.mark.parametrize(("style", "text", "value"), STYLED)
def test_numbers_are_read_in_the_form_of_the_training_table(style, text, value):
    column = Column(name="x", kind="number", missing=("?",), format=style)
    schema = Schema(columns=(column,), target="y", task="regression")
    other = "0:00:07" if style == "duration" else "7"
    body = as_csv([{"x": text}, {"x": other}], quoting=csv.QUOTE_ALL)
    expected = np.array([np.nan if value is None else value, 7], np.float32)
    np.testing.assert_array_equal(read(schema, CSV, body)["x"], expected)


@pytest.mark.parametrize("text", ["nan", "inf", "1e400", "1_0", "0x10", "x", "1,5", "4e38"])
@pytest.mark.parametrize("style", [None, "decimal comma"])
def test_texts_that_are_no_numbers(style, text):
    if (style, text) == ("decimal comma", "1,5"):
        return
    column = Column(name="x", kind="number", format=style)
    schema = Schema(columns=(column,), target="y", task="regression")
    with pytest.raises(InputError, match="line 3, x must be a number"):
        read(schema, CSV, as_csv([{"x": "7"}, {"x": text}, {"x": text}]))


INF = float("inf")


def endless(missing, kind="number", style=None, *, nullable=True):
    column = Column(name="x", kind=kind, missing=missing, format=style, nullable=nullable)
    return Schema(columns=(column,), target="y", task="regression")


@pytest.mark.parametrize("style", [None, "decimal comma"])
@pytest.mark.parametrize("text", ["-inf", " -inf ", "-Infinity", "-INF"])
def test_an_infinity_that_the_schema_lists_is_missing_in_csv(style, text):
    body = as_csv([{"x": "7"}, {"x": text}, {"x": ""}, {"x": text}])
    expected = np.array([7, np.nan, np.nan, np.nan], np.float32)
    np.testing.assert_array_equal(read(endless(("-inf",), style=style), CSV, body)["x"], expected)
    with pytest.raises(InputError, match=r"line 3, x must be a number.* no missing"):
        read(endless(("-inf",), style=style, nullable=False), CSV, body)


@pytest.mark.parametrize("text", ["inf", "+Infinity", "1e400", "-1e400", "nan", "x"])
@pytest.mark.parametrize("style", [None, "decimal comma"])
def test_what_it_does_not_list_is_no_number_in_csv(style, text):
    body = as_csv([{"x": "7"}, {"x": "-inf"}, {"x": text}])
    with pytest.raises(InputError, match="line 4, x must be a number"):
        read(endless(("-inf",), style=style), CSV, body)


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
@pytest.mark.parametrize("packed", [False, True])
def test_an_infinity_that_the_schema_lists_is_missing_in_arrow(kind, packed):
    array = pa.array(np.array([7, -INF, np.nan], kind.to_pandas_dtype()), kind)
    other = pa.array(np.array([7, INF], kind.to_pandas_dtype()), kind)
    if packed:
        array, other = array.dictionary_encode(), other.dictionary_encode()
    body = as_arrow(pa.table({"x": array}))
    expected = np.array([7, np.nan, np.nan], np.float32)
    np.testing.assert_array_equal(read(endless(("-inf",)), ARROW, body)["x"], expected)
    for missing, odd in ((("-inf",), other), ((), array), (("-1e400",), array)):
        with pytest.raises(InputError, match=r"rows\[1\].x must be a number between"):
            read(endless(missing), ARROW, as_arrow(pa.table({"x": odd})))
    with pytest.raises(InputError, match=r"rows\[1\].x .*no missing"):
        read(endless(("-inf",), nullable=False), ARROW, body)


def test_an_infinity_among_categories_is_missing_where_it_is_listed():
    body = as_arrow(pa.table({"x": pa.array([7.0, INF])}))
    assert read(endless(("inf",), "category"), ARROW, body)["x"].tolist() == ["7", ""]
    with pytest.raises(InputError, match=r"rows\[1\].x must be text"):
        read(endless((), "category"), ARROW, body)


def test_how_a_missing_value_is_written_is_told_of_the_table_that_came(schema):
    def refusal(media, body):
        with pytest.raises(InputError) as caught:
            read(schema, media, body)
        return caught.value.allowed

    records = [{"age": 1, "income": "NaN"}]
    hint = "an empty cell says that a value is missing"
    assert refusal(CSV, as_csv(records)) == f"a number; {hint}"
    assert hint not in refusal(CSV, b"age,income\nNaN,1\n")  # none may be missing there
    assert refusal(CSV, b"age\n1\n").endswith(hint)
    lacking = as_arrow(pa.table({"age": [1.0]}))
    assert refusal(ARROW, lacking).endswith("a null says that a value is missing")
