import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.data.wide import Mark, Narrower, in_batch, mark_of, restored, wide
from raymm.errors import DataError


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("1::1193::5::978300760\n1::661::3::978302109\n", "::"),
        ("id::title::kind\n1::Toys, a story::A|B\n2::Heat::A\n", "::"),
        ("a||b||c\n1||2||3\n", "||"),
        ("a||b\n1||2\n", "||"),
        ('a||b||c\n"x||y"||2||3\n', "||"),
        ("a|~|b\n1|~|2\n", "|~|"),
        ("a||b|c\n1||2|3\n", ""),  # an empty cell
        ("a|b|c\n1||3\n2||4\n", ""),
        ("ip,n\nfe80::1,2\nfe80::2,3\n", ""),
        ("fe80::1,5,2\nfe80::2,6,3\n", ""),
        ("a::b\n", ""),
        ("a;b\n1;2\n", ""),
    ],
)
def test_delimiters_of_several_characters_are_told(text: str, mark: str) -> None:
    assert wide(text) == mark


@pytest.mark.slow
@given(
    st.lists(st.text("ab:|", max_size=5), min_size=1, max_size=6),
    st.integers(1, 7),
    st.sampled_from(["::", "||", "|:|"]),
)
def test_pieces_make_the_same_text_as_the_whole(words: list[str], size: int, mark: str) -> None:
    text = mark.join(words)
    narrower = Narrower(made := Mark(written=mark, read="\x1f"))
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    given_ = [narrower.feed(piece, final=False) for piece in pieces]
    assert "".join([*given_, narrower.feed("", final=True)]) == made.narrowed(text)


def test_what_a_delimiter_is_read_as_stands_nowhere_in_the_text() -> None:
    assert mark_of("a::\x1fb", "", "::", "t").read == "\x1e"
    assert mark_of("a;b", "a;b", ";", "t") == Mark(written=";", read=";")
    assert mark_of("a¦b", "a¦b", "¦", "t").wide
    assert mark_of("a,b", "a,b", None, "t") == Mark()
    with pytest.raises(DataError, match="control character"):
        Narrower(Mark(written="::", read="\x1f")).feed("a\x1f", final=False)
    with pytest.raises(DataError, match="every control character"):
        mark_of("".join(map(chr, range(32))), "", "::", "t")


def test_quoted_cells_are_as_they_were_written() -> None:
    mark = Mark(written="::", read="\x1f")
    frame = pd.DataFrame({"a\x1f": ["x\x1fy", "z"], "b": ["1", "2"]}, dtype="str")
    made = restored(frame, mark)
    assert made.to_dict("list") == {"a::": ["x::y", "z"], "b": ["1", "2"]}
    batch = in_batch(pa.RecordBatch.from_pydict({"0": ["x\x1fy", None]}), mark)
    assert batch.to_pydict() == {"0": ["x::y", None]}
