from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from raymm.artifacts import ManyValues, as_record, from_record
from raymm.artifacts.many_values import BITS_A_VALUE, CELLS, MOST_BITS, Filter, cell_of, digest


def kept(values: list[str]) -> ManyValues:
    return ManyValues.of("c", Counter(values))


def test_rows_are_counted_by_hash_and_by_how_often_their_value_occurs() -> None:
    made = kept(["a"] * 5 + ["b"] * 2 + ["c", "d", "e"])
    cells = [0] * CELLS
    for value, rows in {"a": 5, "b": 2, "c": 1, "d": 1, "e": 1}.items():
        cells[cell_of(digest(value))] += rows
    assert list(made.cells) == cells
    assert (made.distinct, made.once, made.twice) == (5, 3, 1)
    assert from_record(ManyValues, json.loads(json.dumps(as_record(made)))) == made


@pytest.mark.parametrize("distinct", [1, 60, 5000, 60_000])
def test_a_filter_knows_all_values_and_tells_how_oft_it_takes_others_for_them(
    distinct: int,
) -> None:
    made = kept([f"value {i}" for i in range(distinct)])
    known = Filter(made.members, made.distinct)
    assert all(digest(f"value {i}") in known for i in range(distinct))
    taken = np.mean([digest(f"other {i}") in known for i in range(4000)])
    assert abs(taken - known.error) <= 5 * np.sqrt(max(known.error, 1e-3) / 4000)
    if BITS_A_VALUE * distinct <= MOST_BITS:
        assert known.error < 0.02
    assert len(made.members) <= 4 / 3 * MOST_BITS / 8 + 4


def test_an_empty_filter_tells_nothing() -> None:
    assert Filter("", 0).error == 1.0
    assert digest("a") in Filter("", 0)


def test_a_hash_is_the_same_in_every_process() -> None:
    code = "from raymm.artifacts.many_values import digest; print(digest('Zürich \\ud800'))"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env={"PYTHONHASHSEED": "7"}
    )
    assert int(told.stdout) == digest("Zürich \ud800")


def test_cells_share_values_evenly() -> None:
    rows = np.array(kept([f"id-{i:06}" for i in range(64_000)]).cells)
    assert rows.sum() == 64_000
    assert ((rows - 1000) ** 2 / 1000).sum() < 63 + 6 * np.sqrt(2 * 63)  # χ² of 63 degrees


@pytest.mark.parametrize(
    "change",
    [
        {"cells": [1] * (CELLS - 1)},
        {"cells": [-1] + [1] * (CELLS - 1)},
        {"cells": ["a"] * CELLS},
        {"once": 0.5},
        {"distinct": None},
        {"members": "not base 64!"},
        {"members": 7},
    ],
)
def test_what_is_no_count_or_no_filter_is_refused(change: dict[str, object]) -> None:
    record = as_record(kept(["a", "b"]))
    assert from_record(ManyValues, record) == kept(["a", "b"])
    with pytest.raises(ValueError):  # noqa: PT011  (base64 has its own words)
        from_record(ManyValues, {**record, **change})
