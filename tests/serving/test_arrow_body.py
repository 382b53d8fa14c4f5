"""Streams as hostile as can be made: sizes that lie, cut and flipped bytes, parts out of order."""

import io
import random
import struct

import numpy as np
import pyarrow as pa
import pytest

from raymm.errors import InputError, TooLarge
from raymm.serving.arrow_body import BATCHES, arrow_sheet

KNOWN = frozenset({"x", "word"})


def stream(*batches, schema=None, **options):
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(**options)
    with pa.ipc.new_stream(sink, schema or batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue()


def batch(rows, **columns):
    made = columns or {"x": np.arange(rows, dtype=float), "word": ["é"] * rows}
    return pa.record_batch(made)


def read(body, rows=1000, size=100_000):
    return arrow_sheet(body, known=KNOWN, max_rows=rows, max_bytes=size)


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_batches_are_put_together(compression):
    sheet = read(stream(batch(3), batch(4), compression=compression))
    assert sheet.rows == 7
    assert sheet.columns["x"].to_pylist() == [0, 1, 2, 0, 1, 2, 3]
    assert sheet.columns["word"].to_pylist() == ["é"] * 7
    assert sheet.place(3) == "rows[3]."


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_what_unpacks_to_much_is_not_unpacked(compression, monkeypatch):
    bomb = stream(batch(1000, x=np.zeros(1000), word=["x" * 1000] * 1000), compression=compression)
    assert len(bomb) < 20_000
    monkeypatch.setattr(pa.ipc, "open_stream", None)  # nobody gets so far
    with pytest.raises(TooLarge, match="unpacked"):
        read(bomb)


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_what_an_older_arrow_packed_is_refused(codec):
    # Up to version 4 of the metadata a batch's own may say that its buffers are packed.
    old = pa.ipc.MetadataVersion.V4
    with pytest.raises(InputError, match="old format"):
        read(stream(batch(3), metadata_version=old))
    coded = batch(2, word=pa.array(["a", "b"]).dictionary_encode())
    with pytest.raises(InputError, match="old format"):
        read(stream(coded, metadata_version=old))
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch(3).schema) as writer:
        told = {"ARROW:experimental_compression": codec}
        writer.write_batch(batch(3), custom_metadata=told)
    with pytest.raises(InputError, match="custom metadata"):
        read(sink.getvalue())


def test_a_size_that_lies_is_not_believed():
    whole = stream(batch(1000, x=np.zeros(1000)), compression="zstd")
    place = whole.index(struct.pack("<q", 8000))
    for size in (2**60, 2**31, -2, 9000, 7000, 0):
        body = whole[:place] + struct.pack("<q", size) + whole[place + 8 :]
        with pytest.raises((InputError, TooLarge)):
            read(body)


def test_rows_are_bounded_before_they_are_read():
    with pytest.raises(TooLarge, match="1000 rows at most"):
        read(stream(batch(600), batch(401)))
    # a column of nulls has no buffers: its rows cost nothing to send
    nulls = stream(pa.record_batch({"x": pa.nulls(1_000_000)}))
    assert len(nulls) < 1000
    with pytest.raises(TooLarge, match="1000 rows at most"):
        read(nulls)


def test_parts_are_bounded():
    with pytest.raises(TooLarge, match="batches"):
        read(stream(*[batch(1)] * (BATCHES + 1)), rows=10_000, size=10**7)
    words = [batch(2, word=pa.array(["a", chr(98 + n)]).dictionary_encode()) for n in range(2)]
    assert read(stream(*words)).rows == 4
    grown = [
        pa.record_batch({"word": pa.DictionaryArray.from_arrays([0], pa.array(words))})
        for words in (["a"], ["a", "b"])
    ]
    with pytest.raises(InputError, match="whole"):
        read(stream(*grown, emit_dictionary_deltas=True))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"\xff" * 100,
        b"\xff\xff\xff\xff\x00\x00\x00\x00",
        b"ARROW1\0\0" + b"\0" * 50,
        b'{"records": []}',
        b"\xff\xff\xff\xff\xff\xff\xff\x7f" + b"\0" * 64,
        stream(schema=pa.schema({"x": pa.float64()})),
        stream(batch(0)),
        stream(pa.record_batch([pa.array([1]), pa.array([2])], names=["x", "x"])),
        stream(pa.record_batch([pa.array([1])] * 3000, names=[str(n) for n in range(3000)])),
    ],
)
def test_what_is_no_stream(body):
    with pytest.raises(InputError):
        read(body)


def test_damaged_streams_are_refused_or_read():
    generator = random.Random(0)
    coded = pa.array(["a", None, "b"] * 20).dictionary_encode()
    bodies = [
        stream(batch(60, x=np.arange(60.0), word=coded)),
        stream(batch(60, x=pa.array([1, None] * 30), word=["ab"] * 60), compression="zstd"),
        stream(batch(60, x=[[1]] * 60, word=pa.array(["ab"] * 60, pa.string_view()))),
    ]
    refused = 0
    for number in range(400):
        body = bytearray(generator.choice(bodies))
        if number % 4 == 0:
            del body[generator.randrange(len(body)) :]
        else:
            for _ in range(generator.randrange(1, 4)):
                place = generator.randrange(len(body))
                body[place] = generator.choice((0, 1, 127, 128, 255, generator.randrange(256)))
        try:
            sheet = read(bytes(body))
            assert all(len(column) == sheet.rows for column in sheet.columns.values())
        except (InputError, TooLarge):
            refused += 1
    assert 100 < refused < 400
