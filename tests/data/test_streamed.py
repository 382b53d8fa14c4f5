import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from raymm.artifacts import Table
from raymm.data import ingest, schema, statistics, streamed
from raymm.errors import DataError
from raymm.features.columns import encode
from raymm.sections import DataConfig


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "LARGE", 2000)
    monkeypatch.setattr(streamed, "BLOCK", 4096)
    monkeypatch.setattr(streamed, "_HEAD", 8192)


def table(rows: int = 3000) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "n": rng.normal(size=rows).round(4),
            "k": rng.integers(0, 1000, rows),
            "gap": np.where(rng.random(rows) < 0.1, "NA", rng.integers(0, 9, rows).astype(str)),
            "word": rng.choice(["Köln", "Aix, Var", 'say "x"'], rows),
            "day": np.datetime64("2020-01-01") + rng.integers(0, 999, rows),
            "note": [f"note {i} of many" for i in range(rows)],
            "y": rng.choice(["no", "yes"], rows),
        }
    )


def read(path: Path, monkeypatch: pytest.MonkeyPatch, *, large: bool) -> Table:
    monkeypatch.setattr(ingest, "LARGE", 2000 if large else 2**30)
    return ingest.read(str(path))


@pytest.mark.slow
def test_a_large_file_gives_the_schema_statistics_and_tensors_of_a_small_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    table().to_csv(path, index=False)
    config = DataConfig(source=str(path), target="y")
    made = []
    for large in (False, True):
        found = read(path, monkeypatch, large=large)
        assert (found.frame["n"].dtype == "float64") is large
        described = statistics.describe(found)
        columns = schema.infer(found, described, config)
        made.append((columns, described, encode(found.frame, columns)))
    (first, counts, tensors), (second, others, same) = made
    for column, other in zip(first.columns, second.columns, strict=True):
        # A whole number's example and a date's are written anew where the file is large.
        assert (column.name, column.kind, column.role) == (other.name, other.kind, other.role)
        assert (column.missing, column.format) == (other.missing, other.format)
        assert column.categories == other.categories
        assert (column.minimum, column.maximum) == (other.minimum, other.maximum)
    assert counts == others
    for name, values in tensors.items():
        np.testing.assert_array_equal(values, same[name])


def test_columns_that_change_their_kind_late_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = table()
    frame["late"] = ["1"] * 2900 + ["x1"] * 100
    frame["zip"] = [f"{12345 + i}" for i in range(2999)] + ["01234"]
    frame.to_csv(tmp_path / "t.csv", index=False)
    found = read(tmp_path / "t.csv", monkeypatch, large=True).frame
    assert found["late"].tolist() == frame["late"].tolist()
    assert found["zip"].tolist()[-1] == "01234"


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_files_in_any_encoding_packed_or_in_parts_are_one_table(
    tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = table()
    text = frame.to_csv(index=False)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode(encoding)))
    whole = read(tmp_path / "t.csv.gz", monkeypatch, large=True)
    folder = tmp_path / "parts"
    folder.mkdir()
    frame.iloc[:1000].to_csv(folder / "1.csv", index=False, encoding=encoding)
    turned = frame.iloc[1000:, ::-1]
    turned.to_csv(folder / "2.csv", index=False, encoding=encoding)
    parts = read(folder, monkeypatch, large=True)
    assert whole.sha256 == parts.sha256
    assert whole.frame["word"].tolist() == frame["word"].tolist()
    assert parts.frame["note"].tolist() == frame["note"].tolist()
    assert any("another order" in note for note in parts.notes)
    (folder / "3.csv").write_text("a,b\n1,2\n", encoding=encoding)
    with pytest.raises(DataError, match="same columns"):
        read(folder, monkeypatch, large=True)


def test_text_that_stops_being_unicode_late_is_read_as_western(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["a,y"] + [f"word{i % 7},{i % 2}" for i in range(4000)] + ["é,1"]
    (tmp_path / "t.csv").write_bytes("\n".join(lines).encode("latin-1"))
    found = read(tmp_path / "t.csv", monkeypatch, large=True)
    assert found.frame["a"].tolist()[-1] == "é"
    assert any("cp1252" in note for note in found.notes)


def test_ragged_rows_and_unpaired_quotes_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["a,b,y"] + [f"{i},w{i % 5},{i % 2}" for i in range(3000)]
    lines[2000] = "1,2"
    lines[2500] = "1,2,3,4"
    (tmp_path / "t.csv").write_text("\n".join(lines))
    found = read(tmp_path / "t.csv", monkeypatch, large=True)
    assert len(found.frame) == 2999
    assert [anomaly.rule for anomaly in found.anomalies] == ["ragged rows"] * 2
    assert "1 rows have fewer" in found.notes[-2]
    assert "2001" in found.notes[-2]
    assert "1 rows have more" in found.notes[-1]
    assert "2501" in found.notes[-1]
    lines[1500] = '7,"w,1'
    (tmp_path / "t.csv").write_text("\n".join(lines))
    found = read(tmp_path / "t.csv", monkeypatch, large=True)
    assert "quotes" in [anomaly.rule for anomaly in found.anomalies]
    assert len(found.frame) >= 2990


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True])
def test_rows_whose_empty_cells_were_not_written_are_kept_in_their_order(
    late: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    full = [f"{i},{i % 7},w{i % 5},{i % 2 or ''}" for i in range(4000)]
    cut = rng.random(4000) < 0.4
    lines = [line.rpartition(",")[0] if c else line for line, c in zip(full, cut, strict=True)]
    if late:  # beyond what is looked at first, a column changes its kind and is read again
        lines[3500] = "3500,much"
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a,b,c,y", *lines]))
    small, large = (read(path, monkeypatch, large=one) for one in (False, True))
    assert len(large.frame) == 4000
    for name in "abcy":
        numbers = [pd.to_numeric(t.frame[name], errors="coerce") for t in (small, large)]
        np.testing.assert_array_equal(*numbers)
    assert large.frame["c"].astype(str).tolist() == small.frame["c"].tolist()
    assert f"{cut.sum() + (late and not cut[3500]):,} rows have fewer" in large.notes[-1]


@pytest.mark.slow
def test_a_table_larger_than_the_memory_is_sampled_the_same_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed, "BLOCK", 2**16)
    path = tmp_path / "t.csv"
    table(20_000).to_csv(path, index=False)
    whole = ingest.read(str(path))
    some = ingest.read(str(path), memory=400_000)
    again = ingest.read(str(path), memory=400_000)
    assert 0 < len(some.frame) < len(whole.frame) == 20_000
    assert some.sha256 == again.sha256 != whole.sha256
    assert [anomaly.rule for anomaly in some.anomalies] == ["sample"]
    assert f"{len(some.frame):,} rows of 20,000" in some.notes[-1]
    # Evenly: the mean of the rows' numbers has a standard error of 20,000 / sqrt(12 n).
    places = some.frame["note"].str.split(" ").str[1].astype(int)
    assert abs(places.mean() - 10_000) < 6 * 20_000 / np.sqrt(12 * len(places))


@pytest.mark.parametrize("packed", [True, False])
def test_a_table_that_outgrows_the_memory_is_refused(
    packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "LARGE", 1)
    monkeypatch.setattr(streamed, "BLOCK", 2**12)
    # The first rows promise a small table; the words that follow are all different.
    alike, other = f"{0:064x},1\n" * 2_000, "".join(f"{i:064x},1\n" for i in range(20_000))
    path = tmp_path / ("t.csv.gz" if packed else "t.csv")
    text = f"a,y\n{alike}{other}".encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    told = r"unpacks to more .* Unpack it" if packed else r"holds more .* leave out columns"
    with pytest.raises(DataError, match=told):
        ingest.read(str(path), memory=300_000)


def test_an_empty_last_column_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a;y;\n" + "1,5;x;\n" * 3000)
    found = read(path, monkeypatch, large=True)
    assert list(found.frame.columns) == ["a", "y"]
    assert found.frame["a"].tolist() == [1.5] * 3000
    assert found.written["a"].format == "decimal comma"


def test_a_header_and_blank_lines_hold_no_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "\n" * 3000)
    with pytest.raises(DataError, match="no rows"):
        read(path, monkeypatch, large=True)


def test_a_ragged_row_in_another_encoding_is_found_and_the_file_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * 3000 + b"x,\xe9,z\n" + b"3,4\n" * 10)
    found = ingest.read(str(path))
    assert found.frame.shape == (3010, 2)
    assert any("not UTF-8" in note for note in found.notes)
    assert any("1 rows have more or fewer" in one.observed for one in found.anomalies)


RUSSIAN = [f"{'Саратов' if i % 3 else 'Тверь'},{i},{i % 2}" for i in range(3000)]


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp1251", "koi8-r", "utf-16"])
@pytest.mark.parametrize("late", [False, True])
def test_old_encodings_are_told_by_their_letters_wherever_these_stand(
    encoding: str, late: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = [f"city{i % 3},{i},{i % 2}" for i in range(3000)]
    rows = [*plain, *RUSSIAN] if late else RUSSIAN
    path = tmp_path / "t.csv"
    path.write_bytes("\n".join(["c,n,y", *rows, ""]).encode(encoding))
    found = read(path, monkeypatch, large=True)
    assert found.frame["c"].tolist() == [row.split(",")[0] for row in rows]
    assert sum(encoding.upper() in note.upper() for note in found.notes) == 1


def test_broken_bytes_in_unicode_are_replaced_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = "\n".join(["c,n,y", *RUSSIAN, ""]).encode()
    path = tmp_path / "t.csv"
    path.write_bytes(data + b"Tver\xff,1,0\n" + data[6:])
    found = read(path, monkeypatch, large=True)
    assert found.frame["c"].iloc[2999:3002].tolist() == ["Саратов", "Tver\ufffd", "Тверь"]
    (told,) = found.anomalies
    assert (told.rule, "1 broken" in told.observed) == ("encoding", True)


def test_each_file_has_its_own_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(["c,n,y", *RUSSIAN, ""])
    for name, encoding in (("1", "utf-8"), ("2", "cp1251"), ("3", "utf-16")):
        (tmp_path / f"{name}.csv").write_bytes(text.encode(encoding))
    found = read(tmp_path, monkeypatch, large=True)
    assert found.frame["c"].tolist() == 3 * [row.split(",")[0] for row in RUSSIAN]


@pytest.mark.slow
def test_the_columns_that_folders_are_named_by_are_those_of_small_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = table()
    for i, (year, place) in enumerate([("2023", "Köln"), ("2024", ""), ("2023", "Aix")]):
        folder = tmp_path / f"year={year}" / f"place={place or '__HIVE_DEFAULT_PARTITION__'}"
        folder.mkdir(parents=True)
        frame.iloc[1000 * i : 1000 * i + 500 * (i + 1)].to_csv(folder / "a.csv", index=False)
    small, large = (read(tmp_path, monkeypatch, large=one) for one in (False, True))
    assert list(large.frame.columns) == list(small.frame.columns)
    for name in ("note", "year", "place"):
        assert large.frame[name].astype(str).tolist() == small.frame[name].tolist()
    assert [note for note in small.notes if note not in large.notes] == []
    kinds = []
    for one in (small, large):
        made = schema.infer(one, statistics.describe(one), DataConfig(source="t", target="y"))
        kinds.append([(c.name, c.kind, c.role, c.categories) for c in made.columns])
    assert kinds[0] == kinds[1]
    (tmp_path / "year=2024").rename(tmp_path / "year=2025")
    assert read(tmp_path, monkeypatch, large=True).sha256 != large.sha256


@pytest.mark.slow
@pytest.mark.parametrize("mark", ["::", "||", "¦", "tab", None])
def test_what_is_said_of_a_file_is_obeyed_large_or_small(
    mark: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = {"tab": "\t", None: "::"}.get(mark, mark or "")
    rows = [row.replace(",", written) for row in ["c,n,y", *RUSSIAN]]
    rows[100] = f'"a{written}b"{written}7{written}1'
    path = tmp_path / "t.csv"
    path.write_bytes("\n".join([*rows, ""]).encode("cp1251"))
    made = []
    for large in (False, True):
        monkeypatch.setattr(ingest, "LARGE", 2000 if large else 2**30)
        made.append(ingest.read(str(path), encoding="Windows-1251", delimiter=mark))
        assert "the text was read as cp1251, as data.encoding says" in made[-1].notes
        with pytest.raises(DataError, match=r"not written in utf-8: .* which is byte \d+ "):
            ingest.read(str(path), encoding="utf8", delimiter=mark)
    small, big = (one.frame.astype(str) for one in made)
    assert big.to_dict("list") == small.to_dict("list")
    assert small["c"].tolist()[98:101] == ["Саратов", f"a{written}b", "Саратов"]


def test_a_late_byte_that_is_not_of_the_encoding_that_was_named_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, start = tmp_path / "t.csv", b"a,y\n" + b"1,2\n" * 9000
    path.write_bytes(start + b"\xe9,1\n")
    for large in (False, True):
        monkeypatch.setattr(ingest, "LARGE", 2000 if large else 2**30)
        with pytest.raises(DataError, match=f"0xe9, which is byte {len(start):,} "):
            ingest.read(str(path), encoding="ascii")
