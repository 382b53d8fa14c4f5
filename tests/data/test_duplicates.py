from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.data.duplicates import by_chance, contradictions, duplicates, firsts, keys
from raymm.data.evidence import Evidence

RNG = np.random.default_rng(0)
CELL = st.one_of(st.sampled_from([0.0, -0.0, 1.0, float("nan")]))


@pytest.mark.slow
@given(st.lists(st.tuples(CELL, st.sampled_from(["a", "b", ""]), st.integers(0, 2))))
def test_rows_have_equal_keys_where_their_cells_are_equal(rows: list[tuple[Any, ...]]) -> None:
    frame = pd.DataFrame(rows, columns=["x", "word", "n"])
    plain = [frame["x"].to_numpy(np.float32), frame["word"].to_numpy(object), frame["n"].to_numpy()]
    made = keys(plain)
    # To pandas 0 and -0 are equal, and so are two NaN.
    assert pd.Series(made).duplicated().tolist() == frame.duplicated().tolist()
    coded = keys([plain[0], pd.Categorical(frame["word"]), plain[2]])
    assert coded.tolist() == made.tolist()


def test_keys_depend_on_the_columns_order() -> None:
    a, b = np.array([1, 2]), np.array([2, 1])
    assert len(set(keys([a, b]).tolist()) | set(keys([b, a]).tolist())) == 2
    assert keys([a, b])[0] != keys([b, a])[0]
    assert len(keys([])) == 0


def test_copies_point_to_the_first_of_them() -> None:
    x = RNG.normal(size=100)
    x[[7, 50, 90]] = x[3]
    found = firsts({"x": x.astype(np.float32)})
    assert found is not None
    expected = np.arange(100)
    expected[[7, 50, 90]] = 3
    assert found.tolist() == expected.tolist()
    assert firsts({"x": RNG.normal(size=100).astype(np.float32)}) is None
    # A fifth of the rows cannot all be on one side.
    x[:20] = 0.0
    found = firsts({"x": x.astype(np.float32)})
    assert found is not None
    assert found[:20].tolist() == list(range(20))


def test_rows_of_few_values_are_alike_by_chance_and_copies_are_not() -> None:
    few = {name: RNG.integers(0, 4, 500) for name in "ab"}
    assert by_chance(few, keys(few.values()))
    assert firsts(few) is None
    many = {name: np.tile(RNG.integers(0, 40, 250), 2) for name in "abcd"}
    assert not by_chance(many, keys(many.values()))
    text = {"text": np.array([f"message {v}" for v in RNG.integers(0, 2000, 1500)], dtype=object)}
    assert not by_chance(text, keys(text.values()))


def observed(made: Any, check: Any) -> list[Any]:
    evidence = Evidence.of(made.table.frame, made.schema)
    if check is contradictions:
        return list(check(evidence))
    return list(check(made.table.frame, made.schema, evidence.tensors))


def test_duplicates_are_told_with_what_was_done(made: Callable[..., Any]) -> None:
    x = np.tile(RNG.normal(size=100), 2)
    y = np.tile(RNG.choice(["a", "b"], 100), 2)
    (found,) = observed(made({"x": x, "y": y}), duplicates)
    assert (found.observed[:8], "one side" in found.remedy) == ("100 rows", True)
    (timed,) = observed(made({"x": x, "y": y, "t": list(range(100)) * 2}, time="t"), duplicates)
    assert "data.time" in timed.remedy
    plain = made({"x": x, "y": y})
    tensors = Evidence.of(plain.table.frame, plain.schema).tensors
    (held,) = duplicates(plain.table.frame, plain.schema, tensors, parted=True)
    assert held.remedy == timed.remedy
    assert observed(made({"x": x, "y": y, "t": list(range(200))}, time="t"), duplicates) == []
    (few,) = observed(made({"x": [1, 2, 3, 4] * 50, "y": y}), duplicates)
    assert "by chance" in few.remedy


def test_contradicting_rows_bound_what_a_model_can_reach(made: Callable[..., Any]) -> None:
    x = RNG.normal(size=200)
    y = RNG.choice(["a", "b"], 200)
    x[:30:3] = x[1:30:3] = x[2:30:3]
    y[:30:3], y[1:30:3], y[2:30:3] = "a", "a", "b"
    (found,) = observed(made({"x": x, "y": y}), contradictions)
    # Ten sets of three rows, each with one row that the majority of its set gets wrong.
    assert "30 rows (15.0%)" in found.observed
    assert "95.0%" in found.observed
    assert (found.rule, found.column) == ("contradicting rows", "y")


def test_contradicting_numbers_bound_r_squared(made: Callable[..., Any]) -> None:
    x = np.repeat(RNG.normal(size=100), 2)
    y = np.repeat(RNG.normal(size=100), 2)
    assert observed(made({"x": x, "y": y}), contradictions) == []
    noisy = y + np.tile([-0.5, 0.5], 100)
    best = 1 - 0.25 / noisy.var()
    (found,) = observed(made({"x": x, "y": noisy}), contradictions)
    assert f"{best:.1%}" in found.observed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["iris", "letter", "california_housing"])
def test_labels_of_sound_tables_do_not_contradict(name: str, shared: Callable[..., Any]) -> None:
    assert observed(shared(name), contradictions) == []
