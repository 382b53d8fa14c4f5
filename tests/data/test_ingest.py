import contextlib
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.data import ingest, streamed
from raymm.data.ingest import content_hash, from_frame, read
from raymm.errors import DataError
from raymm.sections import DataConfig


def test_files_with_other_columns_do_not_join(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,x\n")
    (tmp_path / "2.csv").write_text("b,a\ny,2\n")
    assert read(str(tmp_path)).frame["a"].tolist() == ["1", "2"]
    (tmp_path / "3.csv").write_text("a,c\n1,x\n")
    with pytest.raises(DataError, match=r"lacks \['b'\] and has besides \['c'\]"):
        read(str(tmp_path))


def test_parquet_keeps_types_and_drops_the_index(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": [1.5, 2.5], "t": pd.to_datetime(["2020-01-01", None])}, index=[7, 9])
    frame.to_parquet(tmp_path / "t.parquet")
    table = read(str(tmp_path / "t.parquet"))
    assert list(table.frame.columns) == ["n", "t"]
    assert table.frame["t"].dtype.kind == "M"


def test_files_that_fit_alone_but_not_joined_are_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": [i / 7 for i in range(10_000)]})
    for name in ("a", "b", "c"):
        frame.to_parquet(tmp_path / f"{name}.parquet")
    assert len(read(str(tmp_path / "a.parquet"), memory=200_000).frame) == 10_000
    with pytest.raises(DataError, match=r"c\.parquet holds 10,000 rows"):
        read(str(tmp_path), memory=370_000)
    assert len(read(str(tmp_path), memory=900_000).frame) == 30_000


def test_the_hash_depends_on_names_and_cells_and_their_order_only(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,x\n2,y\n")
    (tmp_path / "b.txt").write_text("a;b\r\n1;x\r\n2;y\r\n")
    first, second = read(str(tmp_path / "a.csv")), read(str(tmp_path / "b.txt"))
    assert first.sha256 == second.sha256
    assert len(first.sha256) == 64
    frame = first.frame
    others = [
        frame.rename(columns={"a": "c"}),
        frame.iloc[::-1].reset_index(drop=True),
        frame[["b", "a"]],
        frame.assign(a=["1", "3"]),
    ]
    hashes = {content_hash(other) for other in (frame, *others)}
    assert len(hashes) == 5
    assert len(content_hash(pd.DataFrame({"a": [[1], [2]]}))) == 64


@pytest.mark.parametrize("values", [[3, None, 5, 3], [True, None, False, True]])
def test_categories_of_numbers_may_have_gaps(values: list[object]) -> None:
    frame = pd.DataFrame({"x": pd.Categorical(values), "y": [1, 2, 3, 4]})
    held = from_frame(frame).frame["x"]
    assert held.isna().tolist() == [value is None for value in values]
    assert held.dropna().tolist() == [value for value in values if value is not None]


def test_cells_of_bytes_and_lists_have_a_hash() -> None:
    frame = pd.DataFrame({"x": [b"\xff", b"a"], "y": [[1], {"a": 2}]})
    other = pd.DataFrame({"x": [b"\xfe", b"a"], "y": [[1], {"a": 2}]})
    assert from_frame(frame).sha256 == from_frame(frame).sha256
    assert from_frame(frame).sha256 != from_frame(other).sha256


PLAIN = b"age,city,day,y\n" + b"".join(
    b'%d,"K\xc3\xb6ln, %d",2020-01-%02d,%d\n' % (i, i % 3, 1 + i % 28, i % 2) for i in range(60)
)
marks = st.sampled_from(
    [b'"', b"'", b",", b"\n", b"\r", b"\0", b"\xff", b"\\", b"#", b"\t", b"{", b"\xef\xbb\xbf"]
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(PLAIN)), st.integers(0, 30), marks | st.binary(max_size=4)),
        max_size=5,
    ),
    large=st.booleans(),
)
def test_a_damaged_file_is_a_table_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int, bytes]], large: bool
) -> None:
    data = PLAIN
    for place, gone, put in changes:
        data = data[:place] + put + data[place + gone :]
    path = tmp_path_factory.mktemp("damaged") / "t.csv"
    path.write_bytes(data)
    with (
        mock.patch.object(ingest, "LARGE", 100 if large else 2**20),
        mock.patch.object(streamed, "BLOCK", 1000),
        mock.patch.object(streamed, "_HEAD", 1500),
        contextlib.suppress(DataError),
    ):
        assert len(read(str(path)).frame) > 0


@pytest.mark.parametrize(
    "text", ['{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n', '[{"a": 1}, {"a": 2}]']
)
def test_records_after_a_byte_order_mark_are_records(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(text, encoding="utf-8-sig")
    assert read(str(path)).frame["a"].tolist() == [1, 2]


def test_a_configuration_may_tell_how_text_is_written(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("a!!y\nKöln!!1\n".encode("cp437") * 2)
    plain = DataConfig(source=str(path), target="y")
    said = DataConfig(source=str(path), target="y", encoding="cp437", delimiter="!!")
    made = ingest.table(said)
    assert made is not None
    assert made.sha256 == ingest.table(said).sha256 != ingest.table(plain).sha256
    assert made.frame["a"].tolist()[0] == "Köln"
