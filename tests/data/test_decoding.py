import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.data.decoding import decoded, encoding_of, require_text
from raymm.data.findings import Findings
from raymm.errors import DataError

plain = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=4, max_size=60)


@given(plain, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_marked_and_plain_unicode_comes_back_exactly(text: str, encoding: str) -> None:
    head = "a,b\n" * 20
    assert decoded((head + text).encode(encoding), "t.csv", Findings()) == head + text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_is_known_without_its_mark(encoding: str) -> None:
    data = "name,città\n1,x\n".encode(encoding)
    assert encoding_of(data) == encoding
    assert decoded(data, "t.csv", Findings()) == "name,città\n1,x\n"


def test_western_text_and_broken_unicode_are_told_apart() -> None:
    found = Findings()
    assert decoded("a\né\n".encode("latin-1"), "t", found) == "a\né\n"
    assert "cp1252" in found.notes[0]
    found = Findings()
    text = decoded(("é" * 30 + "\n").encode() + b"x\xff\n", "t", found)
    assert text == "é" * 30 + "\nx\ufffd\n"
    assert "(lines 2)" in found.notes[0]
    assert decoded(b"a\n\x81\n", "t", Findings()) == "a\n\x81\n"


def test_a_few_nul_bytes_are_left_out_and_many_refused() -> None:
    found = Findings()
    assert decoded(b"a,b\n" * 200 + b"1,\0x\n", "t", found).endswith("1,x\n")
    assert "(lines 201)" in found.notes[0]
    with pytest.raises(DataError, match="not text"):
        decoded(b"a\0b\0\0\0" * 50 + b"xyz", "t", Findings())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_are_refused_whatever_their_protocol(protocol: int) -> None:
    with pytest.raises(DataError, match="pickle"):
        require_text(pickle.dumps({"a": 1}, protocol=protocol), "t")


def test_words_that_begin_like_foreign_files_are_text() -> None:
    for head in (b"BMI,age\n1,2\n", b"ORCHID,y\n", b"id,<b>\n1,2\n"):
        assert decoded(head, "t", Findings()) == head.decode()
