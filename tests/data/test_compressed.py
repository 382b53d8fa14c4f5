import bz2
import gzip
import io
import lzma
import zipfile

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.data import compressed
from raymm.data.compressed import Unpacked, kind_of
from raymm.errors import DataError


def zipped(**members: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return sink.getvalue()


def unpack(data: bytes, limit: int = 10**9) -> bytes:
    kind = kind_of(data)
    return io.BufferedReader(Unpacked(pa.BufferReader(data), kind, len(data), limit, "f")).read()


@given(st.binary(max_size=3000), st.sampled_from(["gzip", "bz2", "xz", "zip", "zstd", "lz4"]))
def test_what_was_packed_comes_back(data: bytes, kind: str) -> None:
    makers = {"gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
    makers["zip"] = lambda plain: zipped(table=plain)
    if kind in ("zstd", "lz4"):
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, kind) as stream:
            stream.write(data)
        packed = sink.getvalue().to_pybytes()
    else:
        packed = makers[kind](data)
    if packed:  # pyarrow writes nothing where there is nothing
        assert kind_of(packed) == kind
        assert unpack(packed) == data


def test_bombs_end_at_the_ratio_and_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "FLOOR", 100_000)
    bomb = gzip.compress(b"a" * 5_000_000)
    with pytest.raises(DataError, match="200 times"):
        unpack(bomb)
    with pytest.raises(DataError, match="at most 1,000 bytes"):
        unpack(bomb, limit=1000)
    with pytest.raises(DataError, match="at most 1,000 bytes"):
        unpack(zipped(table=b"a" * 5000), limit=1000)


def test_damaged_and_locked_archives_are_data_errors() -> None:
    for make in (gzip.compress, bz2.compress, lzma.compress):
        with pytest.raises(DataError, match="cannot be unpacked"):
            unpack(make(b"a,b\n" * 5000)[:40])
    with pytest.raises(DataError, match="damaged"):
        unpack(zipped(table=b"a")[:20])
    locked = bytearray(zipped(table=b"a,b\n"))
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(DataError, match="password"):
        unpack(bytes(locked))
    with pytest.raises(DataError, match="holds 0"):
        unpack(zipped(**{"folder/": b""}))
