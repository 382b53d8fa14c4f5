import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from raymm.data.personal import luhn, personal

N = 120
RNG = np.random.default_rng(0)
FIRST = ["Anna", "José", "Mary-Ann", "Wei", "Ölaf", "Fatima", "John", "Ingrid"]
LAST = ["Smith", "O'Neill", "van Dyk", "García", "Müller", "Chen", "Brown", "Kowalska"]


def found(made: Any) -> dict[str, str]:
    return {one.column: one.observed for one in personal(made.table.frame, made.schema)}


def checked(start: str, length: int) -> str:
    body = start + "".join(map(str, RNG.integers(0, 10, length - len(start) - 1)))
    return next(body + str(last) for last in range(10) if luhn(body + str(last)))


def digits(form: str) -> list[str]:
    """Return phone numbers of a form in which every x is any digit, every n one from 2 to 9."""
    return [
        "".join(str(RNG.integers({"x": 0, "n": 2}[c], 10)) if c in "xn" else c for c in form)
        for _ in range(N)
    ]


SURNAMES = [
    f"{start}{end}" for start in ("Ker", "Ost", "Hol") for end in ("ner", "by", "man", "ic")
]


def several(order: str = "{} {}") -> list[str]:
    return [order.format(FIRST[i % len(FIRST)], SURNAMES[i * 5 % 12]) for i in range(N)]


def people(order: str = "{} {}") -> list[str]:
    return [order.format(RNG.choice(FIRST), RNG.choice(LAST)) for _ in range(N)]


PERSONAL: dict[str, tuple[str, Any]] = {
    "mail": ("mail", [f"anna.{i}+x@mail.example-{i % 7}.co.uk" for i in range(N)]),
    "note": ("mail", [f"ask joe{i % 9}@example.org, please, or ring" for i in range(N)]),
    "a": ("phone", digits("+49 30 xxxxxxx")),
    "b": ("phone", digits("(nxx) nxx-xxxx")),
    "c": ("phone", digits("nxx-nxx-xxxx")),
    "d": ("phone", digits("+1nxxnxxxxxx")),
    "e": ("phone", digits("0171/xxxxxxx")),
    "f": ("phone", digits("06 xx xx xx xx")),
    "phone": ("phone", digits("9nxxxxxxx")),
    "mobileNumber": ("phone", [int(v) for v in digits("49nxxxxxxxxx")]),
    "call": ("phone", [f"please ring {v} before noon, thank you" for v in digits("0nxxxxxxxxx")]),
    "card": ("card", [checked("4", 16) for _ in range(N)]),
    "ref": ("card", [checked("4", 16) if i % 5 < 2 else str(10_000 + i) for i in range(N)]),
    "number": ("card", [int(checked("5" + str(RNG.integers(1, 6)), 16)) for _ in range(N)]),
    "paid_with": (
        "card",
        [f"{c[:4]} {c[4:8]} {c[8:12]} {c[12:]}" for c in (checked("4", 16) for _ in range(N))],
    ),
    "amex": ("card", [checked("37", 15) for _ in range(N)]),
    "Doctor": ("names", several()),
    "authors": ("names", several("{1}, {0}")),
    "account owner": ("names", [*several()[: N * 2 // 3], *["unknown"] * (N // 3)]),
    "first_name": ("names", RNG.choice(FIRST, N)),
    "lastName": ("names", RNG.choice(LAST, N)),
    "customer name": ("names", people()),
    "Name": ("names", people("{1}, Mr. {0}")),
    "surname": ("names", [word.upper() for word in RNG.choice(LAST, N)]),
}

PLAIN: dict[str, Any] = {
    "amount": RNG.normal(size=N),
    "whole": RNG.integers(10**9, 10**10, N),
    "order_no": digits("nxxxxxxxxx"),
    "long": [int(v) for v in digits("4nxxxxxxxxxxxxxx")],
    "epoch": [1_600_000_000_000 + int(v) for v in RNG.integers(0, 10**10, N)],
    "day": [f"{1 + i % 28:02d}-{1 + i % 12:02d}-2023 10:{i % 60:02d}" for i in range(N)],
    "moment": [f"2023-01-{1 + i % 28:02d}T10:00:{i % 60:02d}.123456" for i in range(N)],
    "version": [f"10.{i % 9}.{i}.{i * 7}" for i in range(N)],
    "address": [f"192.168.{i}.{i * 2}" for i in range(N)],
    "isbn": [f"978-3-16-14841{i % 10}-{i % 9}" for i in range(N)],
    "uuid": [f"{i:08x}-1234-5678-9012-{i * 99991:012d}" for i in range(N)],
    "range": [f"{i * 10}-{i * 10 + 10}" for i in range(N)],
    "signed": [f"{i - 60:+d}.5" for i in range(N)],
    "thousands": [f"{1 + i},{i:03d},456,789" for i in range(N)],
    "decimal": digits("0.xxxxxxxxxxxx"),
    "phone_service": ["yes", "no"] * (N // 2),
    "telemetry": RNG.integers(10**8, 10**9, N),
    "product_name": people(),
    "owner": ["First Owner", "Second Owner", "Third Owner"] * (N // 3),
    "employee": [
        f"{['Junior', 'Senior', 'Lead'][i % 3]} {['Sales', 'Tax', 'Law', 'Web'][i % 4]} "
        f"{['Clerk', 'Manager'][i % 2]}"
        for i in range(N)
    ],
    "customer": [f"{['Ker', 'Ost', 'Hol', 'Tal'][i % 4]}{i} Group" for i in range(N)],
    "client": [f"the {['red', 'blue'][i % 2]} House{i}" for i in range(N)],
    "passengers": RNG.integers(0, 900, N),
    "destination": several(),
    "name": [f"{word}{i}" for i, word in enumerate(["item"] * N)],
    "handle": [f"@user{i}" for i in range(N)],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PERSONAL)
def test_personal_data_is_told_and_its_example_masked(name: str, made: Callable[..., Any]) -> None:
    kind, values = PERSONAL[name]
    told = found(made({"x": RNG.normal(size=N), name: values, "y": ["a", "b"] * (N // 2)}))
    assert set(told) == {name}
    assert told[name].startswith(kind)
    shown = told[name].rpartition("such as ")[2]
    assert "*" in shown
    assert not any(str(value) in shown for value in values)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAIN)
def test_plain_values_are_not_personal(name: str, made: Callable[..., Any]) -> None:
    columns = {"x": RNG.normal(size=N), name: PLAIN[name], "y": ["a", "b"] * (N // 2)}
    assert found(made(columns)) == {}


def test_a_few_rows_are_told_with_their_share(made: Callable[..., Any]) -> None:
    words = [f"a@example.com {i}" if i % 20 == 0 else f"word {i}" for i in range(N)]
    columns = {"note": words, "y": ["a", "b"] * (N // 2)}
    for cells in (words, pd.Categorical(words)):
        told = found(made({**columns, "x": RNG.normal(size=N), "note": cells}))
        assert "5.0%" in told["note"]
    many = [f"a@example.com {i}" if i < 3 else f"word {i % 9}" for i in range(400)]
    told = found(made({"note": many, "x": range(400), "y": ["a", "b"] * 200}))
    assert told["note"].startswith("mail addresses in 0.8%")
    rest = [f"{word}, ring +49 30 {i:07d}" for i, word in enumerate(many)]
    told = found(made({"note": rest, "x": range(400), "y": ["a", "b"] * 200}))
    assert told["note"].startswith("phone numbers")
    words = ["a@example.com" if i < 2 else f"word {i % 9}" for i in range(N)]
    assert found(made({**columns, "note": words})) == {}


def test_what_is_nearly_a_name_takes_no_longer(made: Callable[..., Any]) -> None:
    words = [f"{'abcdefghi ' * 8}abcdef{i}" for i in range(N)]
    columns = {"x": RNG.normal(size=N), "customer_name": words, "y": ["a", "b"] * (N // 2)}
    start = time.process_time()
    assert found(made(columns)) == {}
    # A quarter of a second; where each letter can be matched in two ways, years.
    assert time.process_time() - start < 10


def test_what_is_left_out_is_told_all_the_same(made: Callable[..., Any]) -> None:
    columns = {"x": RNG.normal(size=N), "mail": PERSONAL["mail"][1], "y": ["a", "b"] * (N // 2)}
    given = made(columns, exclude=("mail",))
    (told,) = personal(given.table.frame, given.schema)
    assert "does not see it" in told.remedy


@pytest.mark.slow
def test_the_shared_tables_hold_nothing_personal_but_messages(shared: Callable[..., Any]) -> None:
    for name in ("adult", "bike_sharing_hour", "california_housing", "elec2", "telco_churn"):
        assert found(shared(name)) == {}
    assert found(shared("sms_spam"))["message"].startswith("phone numbers")
