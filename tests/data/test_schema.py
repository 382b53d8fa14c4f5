from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

Maker = Callable[..., Any]
N = 200
RNG = np.random.default_rng(0)


def plain(**columns: Any) -> dict[str, Any]:
    base = {"x": RNG.normal(size=N).round(3).astype(str), "y": np.tile(["no", "yes"], N // 2)}
    return {**base, **columns}


def repeat(*words: Any) -> list[Any]:
    return [words[i % len(words)] for i in range(N)]


# A column's values, then the kind, the format and the missing words that they must give.
KINDS = {
    "numbers": (repeat("1", "2.5", "-3e2"), "number", None, ()),
    "0 and 1": (repeat("0", "1"), "number", None, ()),
    "lone blank": ([*repeat("1.5", "2")[:-1], " "], "number", None, (" ",)),
    "NA": (repeat("1", "NA", "3"), "number", None, ("NA",)),
    "odd word": ([*repeat("1", "2", "3", "4")[:-1], "broken"], "number", None, ("broken",)),
    "3+ is no slip": (repeat("0", "1", "2", "3+"), "category", None, ()),
    "decimal comma": (repeat("1,5", "2,25", "1.234,5"), "number", "decimal comma", ()),
    "thousands": (repeat("1,234", "12,345.5"), "number", "thousands comma", ()),
    "money": (repeat("$1,234.50", "-$5", "$7"), "number", "signs, thousands comma", ()),
    "percent": (repeat("10%", "20.5 %"), "number", "signs", ()),
    "postal code": (repeat("01234", "99999"), "category", None, ()),
    "yes and no": (repeat("Yes", "No"), "boolean", None, ()),
    "t and f": (repeat("t", "f", ""), "boolean", None, ()),
    "capitals": (repeat("TRUE", "FALSE", "n/a"), "boolean", None, ("n/a",)),
    "iso": (repeat("2020-01-02", "2021-12-31"), "datetime", "ISO8601", ()),
    "iso time": (repeat("2020-01-02T03:04:05Z", ""), "datetime", "ISO8601", ()),
    "day first": (repeat("31/12/2020", "01/02/2021"), "datetime", "%d/%m/%Y", ()),
    "month first": (repeat("12/31/2020", "01/02/2021"), "datetime", "%m/%d/%Y", ()),
    "german": (repeat("31.12.2020 10:15", "01.02.2021 09:00"), "datetime", "%d.%m.%Y %H:%M", ()),
    "named month": (repeat("Jan 5, 2020", "Dec 31, 2020"), "datetime", "%b %d, %Y", ()),
    "words": (repeat("red", "green", "?"), "category", None, ("?",)),
    "ranges": (repeat("1-2", "3-4", "10-20"), "category", None, ()),
    "names": ([f"Word{i % 7} and Other{i}" for i in range(N)], "text", None, ()),
    "reviews": (repeat(*["a long review of many words " * 3 + str(i) for i in range(30)]), "text",
                None, ()),
    "typed bool": (repeat(True, False), "boolean", None, ()),
    "typed bool with None": (repeat(True, False, None), "boolean", None, ()),
    "typed float": (repeat(1.5, None, float("inf")), "number", None, ()),
    "typed date": (pd.to_datetime(repeat("2020-01-01", None)), "datetime", "ISO8601", ()),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_kinds_formats_and_missing_words_are_found_out(name: str, made: Maker) -> None:
    values, kind, style, missing = KINDS[name]
    column = made(plain(v=values)).schema.column("v")
    assert (column.kind, column.format, column.missing) == (kind, style, missing)
    assert column.role == "feature"


IGNORED = {
    "constant": (["same"] * N, "constant"),
    "empty": ([""] * N, "empty"),
    "typed empty": ([None] * N, "empty"),
    "key": ([f"K-{i:05d}" for i in range(N)], "id"),
    "id": ([str(v) for v in RNG.permutation(10**6)[:N]], "id"),
    "counter": ([str(i) for i in range(1, N + 1)], "id"),
}


@pytest.mark.parametrize("name", IGNORED)
def test_columns_that_teach_nothing_are_ignored_with_a_reason(name: str, made: Maker) -> None:
    values, reason = IGNORED[name]
    column = made(plain(**{name: values})).schema.column(name)
    assert column.role == "ignored"
    assert column.reason.startswith(reason)


def test_distinct_numbers_without_a_keys_name_stay_features(made: Maker) -> None:
    values = [str(v) for v in RNG.permutation(10**6)[:N]]
    assert made(plain(price=values)).schema.column("price").role == "feature"
    assert made(plain(paid=values)).schema.column("paid").role == "feature"


def test_a_lone_counter_is_a_feature(made: Maker) -> None:
    only = made({"x": list(range(N)), "y": repeat("a", "b")})
    assert [column.name for column in only.schema.features] == ["x"]


IDENTIFIERS = {
    "EmployeeNumber": np.sort(RNG.permutation(10**4)[:N]),
    "account": 10**7 + RNG.permutation(10**6)[:N],
    "MRN": RNG.permutation(2 * N)[:N],
    "item code": N - np.arange(N),
    "column_1": RNG.permutation(10**6)[:N],
}
MEASURES = {
    "number of rooms": np.arange(N)[::-1],
    "num_pages": RNG.permutation(2 * N)[:N],
    "zip_code": 10_000 + RNG.permutation(10**4)[:N],
    "Reynolds number": RNG.permutation(np.unique((10 ** RNG.uniform(2, 6, 2 * N)).astype(int)))[:N],
    "room number": 100 + RNG.permutation(N) // 2,
    "account_balance": RNG.permutation(10**6)[:N],
}


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_numbers_given_out_to_each_row_are_ignored(name: str, made: Maker) -> None:
    column = made(plain(**{name: IDENTIFIERS[name].astype(str)})).schema.column(name)
    assert (column.role, column.reason[:3]) == ("ignored", "id:")
    assert made(plain(**{name: IDENTIFIERS[name]})).schema.column(name).role == "ignored"
    # Of what repeats a number it is not known that it names a row.
    again = np.append(IDENTIFIERS[name][:-1], IDENTIFIERS[name][0])
    assert made(plain(**{name: again})).schema.column(name).role == "feature"


@pytest.mark.parametrize("name", MEASURES)
def test_numbers_that_may_measure_stay_features(name: str, made: Maker) -> None:
    for target in (np.tile(["no", "yes"], N // 2), RNG.normal(size=N)):
        columns = plain(**{name: MEASURES[name], "y": target})
        assert made(columns).schema.column(name).role == "feature"
    few = made({"x": range(12), "room number": 100 + RNG.permutation(12), "y": list("ab" * 6)})
    assert few.schema.column("room number").role == "feature"


def test_columns_of_a_table_without_a_header_stay_features(made: Maker) -> None:
    columns = {"column_1": RNG.permutation(10**6)[:N], "column_2": repeat("no", "yes")}
    assert made(columns, target="column_2").schema.column("column_1").role == "feature"


LONE = {
    "link": [f"https://www.site{i}.example/{'offer' if i % 2 else 'news'}/a" for i in range(N)],
    "smiles": [f"CC(=O)N{i}c1ccccc1O" for i in range(N)],
    "password": [f"s3cret{i:03d}" for i in range(N)],
}


@pytest.mark.parametrize("name", LONE)
def test_words_of_their_own_are_text_where_nothing_else_is_there(name: str, made: Maker) -> None:
    counter = {"n": [str(i) for i in range(N)]}
    columns = {**counter, "order_id": [f"K-{i:05d}" for i in range(N)], name: LONE[name]}
    target = {"y": repeat("no", "yes")}
    (text,) = made({**columns, **target}).schema.features
    assert (text.name, text.kind, text.categories, text.reason) == (name, "text", (), "")
    with_others = made(plain(**columns)).schema
    assert {one.name for one in with_others.features} == {"x"}
    assert not made({"order_id": columns["order_id"], **target}).schema.features


def test_roles_given_by_the_configuration(made: Maker) -> None:
    columns = plain(
        day=repeat("2020-01-01", "2020-01-02"), who=repeat("a", "b", "c"), z=repeat(1, 2)
    )
    schema = made(columns, time="day", exclude=("z",)).schema
    assert {c.name: c.role for c in schema.columns} == {
        "x": "feature", "y": "target", "day": "time", "who": "feature", "z": "ignored",
    }  # fmt: skip
    assert made(columns, group="who").schema.column("who").role == "group"


def test_epochs_are_dates_where_the_name_says_so(made: Maker) -> None:
    schema = made(plain(timestamp=[1_600_000_000 + i for i in RNG.permutation(N)])).schema
    column = schema.column("timestamp")
    assert (column.kind, column.format, column.role) == ("datetime", "epoch", "feature")


def test_the_shared_tables_get_the_schema_a_person_would_give(shared: Maker) -> None:
    telco = shared("telco_churn").schema
    assert telco.column("customerID").role == "ignored"
    assert telco.column("TotalCharges").kind == "number"
    assert telco.column("TotalCharges").missing == (" ",)
    assert (telco.task, telco.classes) == ("binary", ("No", "Yes"))
    bike = shared("bike_sharing_hour").schema
    assert bike.column("instant").role == "ignored"
    assert bike.column("dteday").kind == "datetime"
    assert bike.task == "regression"
    adult = shared("adult").schema
    assert [c.name for c in adult.columns if "?" in c.missing] == [
        "workclass", "occupation", "native-country",
    ]  # fmt: skip
    assert shared("sms_spam").schema.column("message").kind == "text"
    assert len(shared("letter").schema.classes) == 26
    for name in ("california_housing", "elec2", "iris"):
        assert not [c.name for c in shared(name).schema.columns if c.role == "ignored"]


def test_seconds_and_milliseconds_since_1970_are_dates(made: Maker) -> None:
    rng = np.random.default_rng(0)
    seconds = 1_600_000_000 + rng.integers(0, 10**7, 60)
    given = made(
        {
            "ts": seconds.astype(str),
            "timestamp": seconds * 1000 + 5,
            "n": seconds,
            "y": ["a", "b"] * 30,
        }
    )
    formats = {name: given.schema.column(name).format for name in ("ts", "timestamp", "n")}
    assert formats == {"ts": "epoch", "timestamp": "epoch ms", "n": None}
    assert given.schema.column("timestamp").minimum == seconds.min()
    tensors = given.dataset().tensors
    assert tensors["ts"].tolist() == tensors["timestamp"].tolist() == seconds.tolist()
