import io

import pytest

from raymm.data.transcoded import Transcoded
from raymm.data.wide import Mark

TEXT = "Köln, 東京 – 😀"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-be", "gb18030"])
def test_a_stream_gives_its_text_as_utf8_however_it_is_cut(size: int, encoding: str) -> None:
    stream = Transcoded(io.BytesIO((TEXT * 9).encode(encoding)), encoding)
    given = b"".join(iter(lambda: stream.read(size), b""))
    assert given.decode().removeprefix("\ufeff") == TEXT * 9
    assert stream.place is None


@pytest.mark.parametrize(
    ("data", "encoding", "place"),
    [
        (b"a\xe9b" * 4, "utf-8", 1),
        ("Köln".encode() + b"\xe2\x82", "utf-8", 5),
        (b"abc\x81", "cp1252", 3),
        ("東京".encode("cp932") + b"\x81", "cp932", 4),
        ("ab".encode("utf-16-le") + b"\x00\xd8a\x00", "utf-16-le", 4),
    ],
)
@pytest.mark.parametrize("size", [1, 4, 1000])
def test_a_stream_tells_the_first_byte_that_is_not_of_its_encoding(
    data: bytes, encoding: str, place: int, size: int
) -> None:
    stream = Transcoded(io.BytesIO(data), encoding)
    with pytest.raises(UnicodeDecodeError):
        io.BufferedReader(stream, size).read()
    assert stream.place == place
    assert stream.around


def test_broken_characters_are_replaced_and_counted() -> None:
    stream = Transcoded(io.BytesIO(b"a\xe9b\xff\xc3\xb6"), "utf-8", "replace")
    assert io.BufferedReader(stream).read().decode() == "a\ufffdb\ufffdö"
    assert stream.broken == 2


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_delimiters_are_replaced_however_the_stream_is_cut(size: int) -> None:
    mark = Mark(written="::", read="\x1f")
    stream = Transcoded(io.BytesIO(b"a:::b::c:\n:"), mark=mark)
    assert b"".join(iter(lambda: stream.read(size), b"")) == b"a\x1f:b\x1fc:\n:"
