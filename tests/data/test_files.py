import gzip
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import obstore
import pandas as pd
import pytest
from obstore.exceptions import NotSupportedError

from raymm.data import ingest
from raymm.data.files import files, local, memory, require_local
from raymm.data.ingest import read
from raymm.errors import DataError


def test_missing_places_are_data_errors(tmp_path: Path) -> None:
    for source in (str(tmp_path / "no.csv"), str(tmp_path / "*.csv"), str(tmp_path), "", " "):
        with pytest.raises(DataError):
            read(source)


def test_a_path_is_looked_for_and_a_url_is_not(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    for there in (str(tmp_path / "a.csv"), str(tmp_path), "s3://bucket/a.csv", "https://a/b.csv"):
        require_local(there)
    with pytest.raises(DataError, match="does not exist"):
        require_local(str(tmp_path / "b.csv"))


def test_the_files_here_that_a_source_names_are_listed_and_nothing_is_raised(
    tmp_path: Path,
) -> None:
    one = tmp_path / "a b.csv"
    assert local(str(one)) == local(str(tmp_path)) == []
    one.write_text("")
    for source in (str(one), str(tmp_path), f"{tmp_path}/*.csv", f"FILE://{tmp_path}/a%20b.csv"):
        assert local(source) == [one]
    for source in ("", "\0", "~nobody-is-called-so/a.csv", "s3://bucket/a.csv", "file://[x"):
        assert local(source) == []


def test_the_limit_counts_unpacked_bytes(tmp_path: Path) -> None:
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,x\n" * 100_000))
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match="at most"):
        read(str(path), limit_bytes=10_000)


def test_a_folder_a_glob_and_urls_give_one_table(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3, 4], "b": ["x", None, "z", "w"]})
    folder = tmp_path / "parts"
    folder.mkdir()
    frame.iloc[:2].to_parquet(folder / "part-0.parquet", index=False)
    frame.iloc[2:].to_parquet(folder / "part-1.parquet", index=False)
    (folder / "_SUCCESS").write_text("")
    (folder / ".hidden.csv").write_text("nothing")
    tables = [read(str(folder)), read(f"{folder}/*.parquet"), read(folder.as_uri())]
    for path in sorted(folder.glob("*.parquet")):
        obstore.put(memory(), f"bucket/{path.name}", path.read_bytes())
    tables += [read("memory://bucket"), read("memory://bucket/part-?.parquet")]
    whole = tmp_path / "whole.parquet"
    frame.to_parquet(whole, index=False)
    tables.append(read(str(whole)))
    for table in tables:
        pd.testing.assert_frame_equal(table.frame, frame, check_dtype=False)
    assert len({table.sha256 for table in tables}) == 1
    assert read("memory://bucket/part-1.parquet").frame["a"].tolist() == [3, 4]
    with pytest.raises(DataError, match="memory://nowhere"):
        read("memory://nowhere")


@pytest.mark.parametrize("ranges", [True, False])
def test_of_a_store_s_files_one_is_held_at_a_time(
    ranges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        obstore.put(memory(), f"many/{number}.csv", f"a,b\n{number},x\n".encode())
    obstore.put(memory(), "many/3.csv.gz", gzip.compress(b"a,b\n3,x\n"))
    fetched: list[str] = []
    whole, part = obstore.get, obstore.get_range

    def get(store: Any, name: str) -> Any:
        fetched.append(name)
        return whole(store, name)

    def get_range(store: Any, name: str, **ends: int) -> Any:
        if not ranges:
            raise NotSupportedError("no ranges")
        return part(store, name, **ends)

    monkeypatch.setattr(obstore, "get", get)
    monkeypatch.setattr(obstore, "get_range", get_range)
    assert read("memory://many").frame["a"].tolist() == ["0", "1", "2", "3"]
    names = [*(f"many/{number}.csv" for number in range(3)), "many/3.csv.gz"]
    # Once for its rows, and before where nothing less tells what it is.
    assert fetched == [*(names[3:] if ranges else names), *names]


def test_files_come_unpacked_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_bytes(b"second")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"first"))
    (tmp_path / "notes.md").write_bytes(b"no table")
    assert [file.read(100) for file in files(str(tmp_path), 100)] == [b"first", b"second"]
    with pytest.raises(DataError, match="at most"):
        files(str(tmp_path), 5)


def test_places_that_cannot_be_read_are_data_errors(tmp_path: Path) -> None:
    for source in ("~no-such-user/t.csv", "a\0b.csv", "x" * 5000, "/dev/null"):
        with pytest.raises(DataError) as error:
            read(source)
        assert str(error.value).endswith(".")


def test_json_and_packed_parquet_must_be_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "LARGE", 300)
    (tmp_path / "t.jsonl").write_text('{"a": 1}\n' * 99)
    pd.DataFrame({"a": range(200)}).to_parquet(tmp_path / "t.parquet")
    packed = gzip.compress((tmp_path / "t.parquet").read_bytes())
    (tmp_path / "p.parquet.gz").write_bytes(packed)
    for name in ("t.jsonl", "p.parquet.gz"):
        with pytest.raises(DataError, match="at most 300 bytes"):
            read(str(tmp_path / name))
    assert len(read(str(tmp_path / "t.parquet")).frame) == 200


@pytest.mark.slow
def test_a_file_of_a_web_server_that_knows_no_ranges_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,x\n2,y\n")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            assert read(f"{address}/t.csv").frame["b"].tolist() == ["x", "y"]
            with pytest.raises(DataError, match=r"no\.csv"):
                read(f"{address}/no.csv")
        finally:
            server.shutdown()
