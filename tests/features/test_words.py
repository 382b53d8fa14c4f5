from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.features import words as reading
from raymm.features.words import COUNTS, MARKS, read_texts, words

ANY = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


@pytest.fixture(autouse=True)
def _nothing_held():
    reading._memory = reading._Memory()
    yield
    reading._memory = reading._Memory()


@given(ANY)
def test_words_are_lowered_in_ascii_only_and_hold_no_gap(text):
    found = "".join(words(text))
    assert not set(found) & set(" \t\n\r\0\u00a0\u3000\u200b")
    assert not any("A" <= letter <= "Z" for letter in found)
    left = iter(c.lower() if c.isascii() else c for c in text)
    assert all(letter in left for letter in found)  # nothing added, nothing out of order


def test_signs_stand_alone_and_letters_of_any_script_together():
    assert words("don't pay £5,ÄRZTE…") == ["don", "'", "t", "pay", "£", "5", ",", "Ärzte", "…"]
    assert words("привет\u00a0мир 你好") == ["привет", "мир", "你", "好"]
    assert words(" \t\0") == []


@given(st.lists(ANY, max_size=5), st.lists(ANY, max_size=5))
def test_what_was_read_before_changes_nothing(before, texts):
    read_texts(before)
    read = read_texts(texts)
    parts = np.split(read.codes, np.cumsum(read.lengths)[:-1]) if texts else []
    assert [[read.words[n] for n in part] for part in parts] == [words(text) for text in texts]
    expected = [[bool(re.search(mark, text)) for mark in MARKS.values()] for text in texts]
    assert read.marks.tolist() == np.array(expected, float).reshape(-1, len(MARKS)).tolist()
    counted = [[len(re.findall(kind, text)) for kind in COUNTS.values()] for text in texts]
    assert read.counts.tolist() == np.array(counted, float).reshape(-1, len(COUNTS)).tolist()


def test_pairs_and_places_are_those_of_the_words():
    read_texts(["zebra other"])
    read = read_texts(["b a b", "", "c a"])
    row, word = read.distinct()
    pairs = {(int(r), read.words[w]) for r, w in zip(row, word, strict=True)}
    assert pairs == {(0, "a"), (0, "b"), (2, "a"), (2, "c")}
    assert len(row) == 4
    vocabulary = ("a", "nowhere", "b", "zebra")
    read_texts(["late nowhere"])
    assert read.places(vocabulary).tolist() == [2, 0, 2, -1, 0]


def test_texts_are_read_once_and_forgotten_when_they_are_many(monkeypatch):
    calls = []
    monkeypatch.setattr(reading, "words", lambda *given: calls.append(given) or words(*given))
    for _ in range(2):
        read_texts(["one two", "three"])
    assert len(calls) == 2
    monkeypatch.setattr(reading, "BYTES", 5)
    late = read_texts(["four"])
    assert not reading._memory.held
    assert [late.words[n] for n in late.codes] == ["four"]
    read_texts(["one two"])
    assert len(calls) == 4
