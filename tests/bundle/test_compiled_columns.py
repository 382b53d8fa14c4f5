from __future__ import annotations

import numpy as np
import pytest

from raymm.bundle.compiled_columns import Feature, Features, Member, Source, of_sets, single
from raymm.bundle.compiled_tail import Unknown

FEATURE = Feature((Source("place", None, np.zeros(0, np.float32)),))
OTHER = Feature((Source("other", None, np.zeros(0, np.float32)),))
TABLE = np.array([[1, 2], [3, 4], [0, 0]], np.uint8)
FLOAT, INT64 = 1, 7


def number(value):
    return np.array(value, np.float32)


def category(rest=2.0, flat=True):
    column = Features((FEATURE,))
    above = of_sets("Greater", [column, number(-1)], {})
    below = of_sets("Less", [column, number(rest)], {})
    known = of_sets("And", [above, below], {})
    found = of_sets("Where", [known, column, number(rest)], {})
    whole = of_sets("Cast", [found], {"to": INT64})
    return of_sets("Reshape", [whole, np.array([-1])], {}) if flat else whole


def spread(places=(0, 0, 1)):
    rows = of_sets("Gather", [TABLE, category()], {})
    return of_sets("Gather", [rows, np.array(places)], {"axis": 1})


def test_the_way_from_a_feature_to_its_sets_is_known():
    bits = of_sets("BitwiseAnd", [spread(), np.array([[1, 2, 4]], np.uint8)], {})
    found = of_sets("Cast", [bits], {"to": FLOAT})
    assert isinstance(found, Features)
    assert [(one.byte, one.mask) for one in found.held] == [(0, 1), (0, 2), (1, 4)]
    assert all(isinstance(one, Member) and one.table is found.held[0].table for one in found.held)
    table = found.held[0].table
    assert table.feature == FEATURE
    assert np.array_equal(table.held, TABLE)
    with pytest.raises(Unknown):
        _ = found.numbers
    with pytest.raises(Unknown):
        _ = Features(found.held[:1]).one


@pytest.mark.parametrize(
    ("operator", "given"),
    [
        ("Greater", [Features((FEATURE,)), number(0)]),
        ("And", [category(), category()]),
        ("Cast", [Features((FEATURE,))]),
        ("Reshape", [category(), np.array([1, -1])]),
        ("Add", [Features((FEATURE,)), Features((OTHER,))]),
    ],
)
def test_other_operators_are_for_others_to_know(operator, given):
    assert of_sets(operator, given, {"to": FLOAT}) is None


def test_what_is_above_one_feature_and_below_another_is_no_category():
    above = of_sets("Greater", [Features((FEATURE,)), number(-1)], {})
    below = of_sets("Less", [Features((OTHER,)), number(2)], {})
    assert of_sets("And", [above, below], {}) is None
    mine = of_sets("Less", [Features((FEATURE,)), number(2)], {})
    known = of_sets("And", [above, mine], {})
    assert of_sets("Where", [known, Features((OTHER,)), number(2)], {}) is None
    assert of_sets("Where", [known, Features((FEATURE,)), number(3)], {}) is None


@pytest.mark.parametrize(
    ("operator", "given"),
    [
        ("Greater", [Features((FEATURE, OTHER)), number(-1)]),
        ("Less", [Features((FEATURE,)), number(2.5)]),
        ("Less", [Features((FEATURE,)), number(-1)]),
        ("Less", [Features((FEATURE,)), number(2.0**25)]),
        ("Gather", [TABLE, category(3.0)]),
        ("Gather", [TABLE, category(flat=False)]),
        ("Gather", [TABLE.astype(np.int64), category()]),
        ("BitwiseAnd", [spread(), np.array([[1, 2]], np.uint8)]),
        ("BitwiseAnd", [spread(), np.array([[1, 2, 3]], np.uint8)]),
        ("BitwiseAnd", [spread(), np.array([[1, 2, 4]], np.int64)]),
    ],
)
def test_tables_that_do_not_fit_are_refused(operator, given):
    with pytest.raises(Unknown):
        of_sets(operator, given, {})


@pytest.mark.parametrize("places", [(0, 2), (-1, 0)])
def test_bytes_that_a_table_has_not_are_refused(places):
    with pytest.raises(Unknown):
        spread(places)


def test_a_single_number_is_one_of_float32():
    assert single(number(2.5)) == 2.5
    deep = np.zeros((1, 1, 1), np.float32)
    for other in (np.float64(1), np.zeros(2, np.float32), np.zeros(1), deep, 1.0):
        with pytest.raises(Unknown):
            single(other)
