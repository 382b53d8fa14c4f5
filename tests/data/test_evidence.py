from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from raymm.data import evidence as module
from raymm.data.evidence import Evidence, ranks


def test_a_sample_holds_rows_with_a_target_only_and_is_always_the_same(
    made: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS", 50)
    given = made({"x": np.arange(200.0) * 2, "y": ["a", "b", "", "a"] * 50})
    one, two = (Evidence.of(given.table.frame, given.schema) for _ in range(2))
    assert len(one.rows) == 50
    assert one.rows.tolist() == two.rows.tolist() == sorted(set(one.rows.tolist()))
    assert one.known[one.rows].all()
    assert one.truth.tolist() == one.y[one.rows].tolist()
    assert one.sampled(one.features[0]).tolist() == (2.0 * one.rows).tolist()


def test_a_target_of_numbers_is_ranked_and_classes_are_not(made: Callable[..., Any]) -> None:
    x = np.random.default_rng(0).normal(size=60)
    given = made({"x": x, "y": np.exp(x)})
    found = Evidence.of(given.table.frame, given.schema)
    assert found.ranked.tolist() == ranks(x).tolist()
    classes = made({"x": x, "y": ["a", "b"] * 30})
    assert set(Evidence.of(classes.table.frame, classes.schema).ranked.tolist()) == {0, 1}
