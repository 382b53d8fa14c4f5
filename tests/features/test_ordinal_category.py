import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.artifacts import Column
from raymm.features.ordinal_category import OrdinalCategory, count_words, rare_below

COLUMN = Column(name="c", kind="category")
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=4)
LISTS = st.lists(st.sampled_from(["", "a", "b", "ü"]) | TEXT, min_size=1, max_size=60)


def words(*values):
    return np.array(values, dtype=object)


@pytest.mark.slow
@given(LISTS, LISTS, st.integers(2, 4))
@settings(max_examples=60, deadline=None)
def test_graph_equals_transform_for_any_words(run_graph, train, values, classes):
    y = np.arange(len(train)) % classes
    part = OrdinalCategory(COLUMN).fit(words(*train), y)
    result = part.transform(words(*values))
    np.testing.assert_array_equal(run_graph(part, words(*values)), result)
    missing = words(*values) == ""
    np.testing.assert_array_equal(np.isnan(result[:, 0]), missing)
    assert (result[~missing] == np.round(result[~missing])).all()


@pytest.mark.parametrize("numeric", [False, True])
def test_order_is_that_of_the_target_mean(numeric):
    train = words(*["low"] * 100, *["high"] * 100, *["mid"] * 100)
    y = np.array([0] * 90 + [1] * 10 + [0] * 10 + [1] * 90 + [0, 1] * 50)
    part = OrdinalCategory(COLUMN).fit(train, y.astype(float) * 7 if numeric else y)
    low, mid, high = part.transform(words("low", "mid", "high"))[:, 0]
    assert low < mid < high


def test_order_of_several_classes_is_that_of_the_first_component():
    # Classes 0 and 2 trade places from category to category; class 1 is the same everywhere.
    rows = {"a": (80, 10, 10), "b": (45, 10, 45), "c": (10, 10, 80), "d": (60, 10, 30)}
    train = words(*(word for word, counts in rows.items() for _ in range(sum(counts))))
    y = np.concatenate([np.repeat([0, 1, 2], counts) for counts in rows.values()])
    place = OrdinalCategory(COLUMN).fit(train, y).codes
    order = "".join(sorted(place, key=place.__getitem__))
    assert order in ("adbc", "cbda")


def test_rare_and_unseen_share_a_place():
    train = words(*["a"] * 500, *["b"] * 490, *[f"rare {i}" for i in range(10)])
    part = OrdinalCategory(COLUMN).fit(train, np.arange(1000) % 2)
    codes = part.transform(words("rare 1", "rare 2", "unseen", "a", "b"))[:, 0]
    assert codes[0] == codes[1] == codes[2]
    assert len(set(codes.tolist())) == 3


def test_order_of_rows_does_not_matter():
    generator = np.random.default_rng(0)
    train = generator.choice(words("a", "b", "c", "d"), size=300)
    y = generator.integers(0, 3, size=300)
    order = generator.permutation(300)
    first = OrdinalCategory(COLUMN).fit(train, y)
    assert first.codes == OrdinalCategory(COLUMN).fit(train[order], y[order]).codes


def test_positions_lead_back_to_the_words():
    values = words("b", "", "a", "b")
    positions, found = count_words(values)
    assert found == ["", "a", "b"]
    assert [found[i] for i in positions] == values.tolist()


@pytest.mark.parametrize(("rows", "least"), [(10, 2), (500, 5), (100_000, 10)])
def test_rare_is_one_percent_between_two_and_ten(rows, least):
    assert rare_below(rows) == least
