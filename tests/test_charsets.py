from __future__ import annotations

import codecs

import pytest

from raymm.charsets import charset, delimiter


@pytest.mark.parametrize(
    ("said", "name"),
    [
        *(("Windows-1251", "cp1251"), ("latin1", "iso8859-1"), ("SJIS", "shift_jis")),
        *(("UTF-8-SIG", "utf-8-sig"), ("macroman", "mac-roman"), (" utf16 ", "utf-16")),
    ],
)
def test_encodings_have_one_name_each(said, name):
    assert charset(said) == name
    assert charset(name) == name
    assert codecs.lookup(name).name == name


@pytest.mark.parametrize(
    ("said", "near"),
    [
        *(("utf-9", "utf-8"), ("windows1251x", "windows-1251"), ("koi8r", "koi8-r")),
        *(("", "utf-8"), ("base64", "utf-8"), ("rot13", "utf-8"), ("é" * 500, "utf-8")),
    ],
)
def test_what_is_no_encoding_of_text_is_refused_with_near_names(said, near):
    with pytest.raises(ValueError, match="must be an encoding of text such as") as error:
        charset(said)
    assert near in str(error.value)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("said", "mark"),
    [("tab", "\t"), (r"\t", "\t"), (r"\x1f", "\x1f"), ("||", "||"), ("pipe", "|"), ("¦", "¦")],
)
def test_delimiters_may_be_named(said, mark):
    assert delimiter(said) == mark


@pytest.mark.parametrize("said", ["", "a", "1", '"', "'", "\n", ".", "-", "::::::::::", 5, ";\0"])
def test_what_cannot_part_cells_is_refused(said):
    with pytest.raises(ValueError, match="must"):
        delimiter(said)


def test_nothing_said_stays_so():
    assert charset(None) is None
    assert delimiter(None) is None
