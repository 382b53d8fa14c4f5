from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.bundle.bitwise import Coder
from raymm.bundle.bitwise_text import DEEPEST, Node, Texts, noded, parsed
from raymm.errors import BundleError

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-9999, 9999).map(lambda n: n / 100)
    | st.fractions(max_denominator=50).map(float)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=25,
)


def write(texts):
    texts = [one if isinstance(one, Node) else parsed(one) for one in texts]
    coder = Coder(most=1 << 24)
    told = Texts(coder)
    for one in texts:
        assert told.text("path", one, most=len(one.text) + 64) == one.text
    return coder.finish()


def read(data, count, most=1 << 20):
    held = Texts(Coder(data, most=1 << 24))
    found = [held.text("path", None, most=most) for _ in range(count)]
    held.coder.finish()
    return found


@given(st.lists(VALUES, min_size=1, max_size=3))
def test_texts_come_back_to_the_letter(values):
    texts = [json.dumps(value, separators=(",", ":")) for value in values]
    assert read(write(texts), len(texts)) == texts


@pytest.mark.parametrize(
    "text",
    [
        "[~4.8,5.0,~-5.3,5.3,1e-06,-0.0,~0.1,0.0]",
        "[0.9230769230769231,0.9583333333333334,0.9565217391304348]",
        '["7f519c35acc191b1c80871ec925dabbb5e46526c1ae16c041fa1210c75cbe4b5","7F","00ff"]',
        "[100000000000000000000000000000.0,1e400,123456789012345678901234567890]",
    ],
)
def test_marked_numbers_and_hashes_come_back(text):
    assert read(write([text]), 1) == [text]


def test_a_hash_takes_its_bits_and_a_ratio_few():
    digits = json.dumps("7f519c35acc191b1c80871ec925dabbb5e46526c1ae16c041fa1210c75cbe4b5")
    assert len(write([digits])) <= 36
    assert len(write(["0.9565217391304348"])) < len(write(["0.9565217391304341"]))


def test_what_was_said_before_takes_next_to_nothing():
    rows = [
        {"name": f"column {n}", "kind": "number", "missing": [], "role": "feature"}
        for n in range(30)
    ]
    text = json.dumps(rows, separators=(",", ":"))
    assert len(write([text, text])) - len(write([text])) <= 1
    assert len(write([text])) < 0.12 * len(text)


def test_words_that_were_foretold_take_next_to_nothing():
    words = ["setosa", "versicolor", "virginica"]
    sizes = []
    for foretold in ([], words):
        texts = Texts(Coder())
        texts.left = 1000
        texts.foretell("words", foretold)
        for word in words:
            texts.value("words", noded(word))
        sizes.append(len(texts.coder.finish()))
    assert sizes[1] <= 3 < sizes[0]


def test_a_longer_text_than_declared_is_an_error():
    data = write(['["a","a","a","a","a","a","a","a","a","a","a","a","a","a"]'])
    with pytest.raises(BundleError, match="longer text"):
        read(data, 1, most=20)


def test_lists_within_lists_end():
    deep = "[" * (DEEPEST + 2) + "]" * (DEEPEST + 2)
    with pytest.raises(BundleError, match="lists within lists"):
        write([deep])


@given(st.binary(min_size=1, max_size=60))
def test_other_bytes_are_an_error_or_a_text(data):
    try:
        (text,) = read(data, 1, most=2000)
    except (BundleError, ValueError):
        return
    assert len(text) <= 2000


def test_keys_that_are_too_long_for_a_path_are_an_error():
    """A path is remembered with all that stands at it."""
    key = "k" * 400
    for deep, fits in ((2, True), (3, False)):
        text = "1"
        for _ in range(deep):
            text = f'{{"{key}":{text}}}'
        if fits:
            assert read(write([text]), 1) == [text]
        else:
            with pytest.raises(BundleError, match="keys that are too long"):
                write([text])
