import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import Column
from raymm.serving.blocks import blocks
from raymm.serving.columns import LARGEST, Misfit, reader

COLUMNS = (
    Column(name="a", kind="number", missing=("?",)),
    Column(name="b", kind="category", missing=("none",), categories=("x", "y")),
    Column(name="c", kind="number", nullable=False),
    Column(name="d", kind="text"),
    Column(name="e", kind="boolean"),
    Column(name="f", kind="datetime"),
)
PLAIN = st.floats(-LARGEST, LARGEST) | st.integers(-(10**38), 10**38)
ODD = st.sampled_from([None, True, "1", "?", "none", "", 1e39, -(10**39), "\0", "\ud800", [], {}])
NUMBER = st.one_of(PLAIN, PLAIN, PLAIN, ODD)
WORD = st.one_of(st.text(max_size=3), st.sampled_from([" x ", "y"]), ODD | PLAIN)
RECORD = st.fixed_dictionaries(
    {"a": NUMBER, "c": NUMBER, "e": st.booleans(), "f": st.just("2020-01-01")},
    optional={"b": WORD, "d": WORD},
)


@pytest.mark.slow
@given(st.lists(RECORD, min_size=1, max_size=4))
def test_a_block_reads_as_its_columns_do_or_not_at_all(records):
    known = {column.name: column for column in COLUMNS}
    for block in blocks(COLUMNS):
        for name, array in block(records).items():
            # raises KeyError or Misfit where the block took what the column's reader does not
            alone = reader(known[name])([record[name] for record in records])
            assert array.dtype == alone.dtype
            assert array.shape == alone.shape == (len(records),)
            assert array.flags.c_contiguous
            assert array.tolist() == alone.tolist()


@pytest.mark.slow
@given(st.lists(st.tuples(PLAIN, PLAIN, st.sampled_from(["x", " y", "red"])), min_size=1))
def test_plain_records_are_read_by_blocks(rows):
    records = [{"a": a, "b": word, "c": c, "d": word} for a, c, word in rows]
    read = {name for block in blocks(COLUMNS) for name in block(records)}
    assert read == {"a", "b", "c", "d"}


def test_kinds_that_are_not_there_make_no_block():
    assert blocks(COLUMNS[4:]) == ()
    (only,) = blocks(COLUMNS[:1])
    assert only([{"a": 1}, {"a": 2.5}])["a"].tolist() == [1.0, 2.5]
    assert only([{"a": 1}, {}]) == {}


def test_what_a_block_leaves_is_refused_by_its_reader():
    numbers, _ = blocks(COLUMNS)
    assert numbers([{"a": 1, "c": None}]) == {}
    with pytest.raises(Misfit, match="no missing"):
        reader(COLUMNS[2])([None])
