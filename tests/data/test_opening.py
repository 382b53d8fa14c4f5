import pytest

from raymm.data.findings import Findings
from raymm.data.given import Given
from raymm.data.opening import Encoding, opened
from raymm.errors import DataError

RUSSIAN = "город;улица\n" + "Саратов;Советская улица\n" * 20


@pytest.mark.parametrize("encoding", ["cp1251", "koi8-r", "utf-16", "utf-8-sig"])
def test_the_first_bytes_tell_the_encoding_as_whole_files_do(encoding: str) -> None:
    data = RUSSIAN.encode(encoding)
    for end, whole in ((len(data), True), (len(data) - 3, False)):  # a character may be cut
        found = opened(data[:end], "t.csv", Findings(), whole=whole, said=Given())
        assert found.encoding.name == encoding.removesuffix("-sig")
        assert found.how.names == ["город", "улица"]
        assert set(found.sample["улица"]) == {"Советская улица"}


def test_broken_bytes_do_not_make_utf8_another_encoding() -> None:
    found = opened(RUSSIAN.encode() + b"x;\xff\n", "t.csv", Findings(), whole=True, said=Given())
    assert found.encoding == Encoding(name="utf-8", errors="replace")


def test_what_is_of_no_encoding_that_was_guessed_is_taken_for_western_text() -> None:
    assert Encoding(name="utf-8").other(b"caf\xe9") == Encoding(name="cp1252")
    assert Encoding(name="big5").other(b"caf\xe9") == Encoding(name="cp1252")
    assert Encoding(name="cp1252").other(b"\x81") == Encoding(name="latin-1")
    assert Encoding(name="latin-1").other(b"\x81") is None


def test_runs_of_blanks_are_refused() -> None:
    with pytest.raises(DataError, match="runs of blanks"):
        opened(b"a   b\n1   2\n3   4\n", "t.csv", Findings(), whole=True, said=Given())


def test_what_was_decided_is_told() -> None:
    found = Findings()
    Encoding(name="utf-16").tell("t.csv", 0, found)
    Encoding(name="cp1251").tell("t.csv", 0, found)
    Encoding(name="utf-8").tell("t.csv", 0, found)
    Encoding(name="utf-8", errors="replace").tell("t.csv", 2, found)
    assert len(found.notes) == 3
    assert "UTF-16" in found.notes[0]
    assert "cp1251" in found.notes[1]
    assert [one.rule for one in found.anomalies] == ["encoding"]


def test_what_a_person_says_is_obeyed() -> None:
    said = Given(encoding="utf-16", delimiter=";")
    found = opened(RUSSIAN.encode("utf-16-le"), "t.csv", Findings(), whole=True, said=said)
    assert found.encoding == Encoding(name="utf-16-le", said=True)
    assert set(found.sample["город"]) == {"Саратов"}
    assert found.encoding.other(b"\xff") is None
    with pytest.raises(DataError, match=r"t.csv is not written in ascii: .* 0xd0, which is byte 0"):
        opened(RUSSIAN.encode(), "t.csv", Findings(), whole=True, said=Given(encoding="ascii"))


def test_quoted_names_hold_the_delimiter() -> None:
    text = '"a::b"::c\n' + "1::2\n" * 9
    found = opened(text.encode(), "t.csv", Findings(), whole=True, said=Given())
    assert found.how.names == list(found.sample.columns) == ["a::b", "c"]
