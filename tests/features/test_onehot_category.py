import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.artifacts import Column
from raymm.features.onehot_category import LARGEST, OneHotCategory

COLUMN = Column(name="c", kind="category")
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=4)
LISTS = st.lists(st.sampled_from(["", "a", "b"]) | TEXT, min_size=1, max_size=40)
Y = np.zeros(0)


def words(*values):
    return np.array(values, dtype=object)


@given(LISTS, LISTS)
@settings(max_examples=60, deadline=None)
def test_every_row_has_a_single_one_and_the_graph_agrees(run_graph, train, values):
    part = OneHotCategory(COLUMN).fit(words(*train), Y)
    result = part.transform(words(*values))
    assert (result.sum(axis=1) == 1).all()
    assert set(np.unique(result)) <= {0.0, 1.0}
    np.testing.assert_array_equal(run_graph(part, words(*values)), result)


def test_names_say_what_each_column_means():
    part = OneHotCategory(COLUMN).fit(words(*"aaabb", "rare"), Y)
    assert part.names == ("c = a", "c = b", "c = (missing)", "c = (other)")
    found = part.transform(words("b", "", "rare", "unseen")).argmax(axis=1)
    assert found.tolist() == [1, 2, 3, 3]


def test_number_of_columns_is_capped_and_the_frequent_ones_are_kept():
    train = words(*(f"w{i}" for i in range(80) for _ in range(10 + i)))
    part = OneHotCategory(COLUMN).fit(train, Y)
    assert set(part.categories) == {f"w{i}" for i in range(80 - LARGEST, 80)}
    assert len(part.names) == LARGEST + 2
