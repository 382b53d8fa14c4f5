"""Writes the odd files that lie beside it: ``python tests/data/odd/make.py``.

Each tells in its name what is odd. Most hold the same 40 people, whose column ``y`` can be
predicted, so that a test can go through to the split.
"""

from __future__ import annotations

import bz2
import datetime
import decimal
import gzip
import io
import json
import lzma
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

HERE = Path(__file__).parent
N = 40
CITIES = ("Köln", "Aix", "São Paulo", "Łódź")


def people() -> list[dict[str, str]]:
    """Return 40 rows: age, income (with decimals), city and y."""
    return [
        {
            "age": str(20 + (7 * i) % 45),
            "income": f"{1000 + 137.25 * ((11 * i) % 40):.2f}",
            "city": CITIES[i % 3],
            "y": "yes" if (7 * i) % 45 > 20 else "no",
        }
        for i in range(N)
    ]


def lines(delimiter: str = ",", end: str = "\n", *, header: bool = True) -> str:
    """Return the people as delimited text."""
    rows = [list(row.values()) for row in people()]
    head = [list(people()[0])] if header else []
    return "".join(delimiter.join(row) + end for row in [*head, *rows])


def changed(change: object) -> str:
    """Return the people as CSV after ``change(row, i)`` has replaced each row's cells."""
    rows = [change(row, i) for i, row in enumerate(people())]  # type: ignore[operator]
    head = ",".join(rows[0])
    return "\n".join([head, *(",".join(row.values()) for row in rows)]) + "\n"


def german(i: int) -> str:
    """Return an amount as 1.234,56."""
    plain = f"{1000 + 137.25 * i:,.2f}"
    return plain.replace(",", " ").replace(".", ",").replace(" ", ".")


def texts() -> dict[str, str]:
    """Return the files that are text in UTF-8."""
    plain = lines()
    rows = plain.splitlines()
    words = ("", "NA", "N/A", "null", "None", "-", "?", "nan", ".", "#N/A")
    days = [datetime.date(2023, 1, 1) + datetime.timedelta(days=9 * i) for i in range(N)]
    return {
        "semicolon_decimal_comma.csv": "name;amount;y\n"
        + "".join(f"a{i % 5};{german(i)};{i % 2}\n" for i in range(N)),
        "tab.tsv": lines("\t"),
        "bar.psv": lines("|"),
        "control_a.txt": lines("\x01"),
        "caret.txt": lines("^"),
        "minus_behind.csv": "text;amount;y\n"
        + "".join(
            f"item {i % 7};{german(i)}{'-' if i % 3 else ''};{'yes' if i % 3 else 'no'}\n"
            for i in range(N)
        ),
        "double_colon.dat": lines("::"),
        "double_bar.txt": lines("||"),
        "blanks.txt": "  age    income  y\n"
        + "".join(f"  {20 + i}   {1000.5 + i:9.2f}  {'ab'[i % 2]}\n" for i in range(N)),
        "space_after_comma.csv": "age, note, y\n"
        + "".join(f'{i}, "one, two {i % 4}", {"ab"[i % 2]}\n' for i in range(N)),
        "thousands.csv": "amount,y\n"
        + "".join(f'"{1234 * (i + 1):,}.50",{i % 2}\n' for i in range(N)),
        "numbers_that_mean_missing.csv": "x,y\n"
        + "".join(f"{-999 if i % 8 == 0 else i * 1.5},{'ab'[i % 2]}\n" for i in range(N)),
        "thousands_blank.csv": "amount;y\n"
        + "".join(f"{1234567 + 1000 * i:,};{i % 2}\n".replace(",", " ") for i in range(N)),
        "signs.csv": "price,rate,y\n"
        + "".join(f'"${1200 + 7 * i:,}.50",{i}.5%,{i % 2}\n' for i in range(N)),
        "quoted_newlines.csv": "note,age,y\n"
        + "".join(f'"first line\nsecond, {i % 4}",{i},{"ab"[i % 2]}\n' for i in range(N)),
        "doubled_quotes.csv": "note,y\n"
        + "".join(f'"say ""x{i % 3}""",{i % 2}\n' for i in range(N)),
        "escaped_quotes.csv": "note,y\n"
        + "".join(f'"say \\"x, {i % 3}\\"",{i % 2}\n' for i in range(N)),
        "single_quotes.csv": "note,y\n" + "".join(f"'x, {i % 3}',{i % 2}\n" for i in range(N)),
        "unpaired_quote.csv": plain.replace("Aix", '"Aix', 1),
        "ragged.csv": "\n".join([*rows[:5], rows[5] + ",extra", *rows[6:9], "33,1000", *rows[9:]])
        + "\n",
        "trailing_delimiter.csv": "".join(f"{row},\n" for row in rows),
        "duplicate_names.csv": plain.replace("age,income", "age,age", 1),
        "empty_names.csv": plain.replace("age,income", ",", 1),
        "no_header.csv": lines(header=False),
        "no_header_whole_numbers.csv": "".join(f"{i % 7},{3 * i % 11},{i % 2}\n" for i in range(N)),
        "years_as_names.csv": "land,2019,2020,2021,y\n"
        + "".join(f"l{i % 6},{i},{i + 1},{i + 3},{'ab'[i % 2]}\n" for i in range(N)),
        "title_above.csv": "Sales of the year\nwritten by hand\n\n" + plain,
        "comments.csv": "# written in May\n# by hand\n"
        + "\n".join([*rows[:6], "# a pause", *rows[6:]]),
        "header_in_comment.csv": "#" + plain,
        "separator_named.csv": "sep=;\n" + lines(";"),
        "row_names.csv": rows[0]
        + "\n"
        + "".join(f"p{i},{row}\n" for i, row in enumerate(rows[1:])),
        "old_mac.csv": lines(end="\r"),
        "windows_blank_lines.csv": "\r\n" + lines(end="\r\n\r\n"),
        "no_last_newline.csv": plain.rstrip("\n"),
        "booleans.csv": "a,b,c,d,e,f,y\n"
        + "".join(
            ",".join(pair[i // k % 2] for k, pair in enumerate(_PAIRS, start=1))
            + f",{'pq'[i % 3 == 0]}\n"
            for i in range(N)
        ),
        "dates.csv": "iso,european,american,zoned,clock,named,epoch_ts,y\n"
        + "".join(
            f"{d},{d:%d/%m/%Y},{d:%m/%d/%Y},{d}T10:00:00+02:00,{d} {i % 24:02d}:30,{d:%d %b %Y},"
            f"{1672531200 + 86400 * i},{i % 2}\n"
            for i, d in enumerate(days)
        ),
        "dates_of_two_readings.csv": "day,y\n"
        + "".join(f"{1 + i % 12:02d}/{1 + i % 5:02d}/2023,{i % 2}\n" for i in range(N)),
        "durations.csv": "took,y\n"
        + "".join(
            f"{i % 5:02d}:{(7 * i) % 60:02d}:{(11 * i) % 60:02d},{i % 2}\n" for i in range(N)
        ),
        "missing_words.csv": "x,z,y\n"
        + "".join(f"{words[i % 20] if i % 20 < 10 else i},{i},{'ab'[i % 2]}\n" for i in range(N)),
        "mixed_types.csv": "x,y\n"
        + "".join(
            f"{('unsure', 'much', 'n.v.t.')[i // 10] if i in (3, 13, 26) else i * 1.5},{i % 2}\n"
            for i in range(N)
        ),
        "codes.csv": "zip,y\n" + "".join(f"0{1000 + i % 9},{i % 2}\n" for i in range(N)),
        "long_cell.csv": "note,age,y\n"
        + "".join(f"{'word ' * (40000 if i == 7 else 3)}{i},{i},{i % 2}\n" for i in range(N)),
        "duplicate_rows.csv": plain + "\n".join(rows[1:]) + "\n",
        "constant_and_empty.csv": changed(lambda row, i: {"same": "1", "none": "", **row}),
        "records.jsonl": "".join(
            json.dumps(
                {"age": i, "place": {"city": CITIES[i % 3]}, "tags": ["a"], "y": "ab"[i % 2]}
            )
            + "\n"
            for i in range(N)
        ),
        "records_of_two_types.jsonl": "".join(
            json.dumps({"age": i if i % 9 else str(i), "y": "ab"[i % 2]}) + "\n" for i in range(N)
        ),
        "records.json": json.dumps([{"age": i, "y": "ab"[i % 2]} for i in range(N)]),
        "one_column.csv": "y\n" + "".join(f"{i % 2}\n" for i in range(N)),
        "empty.csv": "",
        "blank.csv": " \n\n \n",
        "header_only.csv": "age,income,city,y\n",
        "one_row.csv": "\n".join(rows[:2]) + "\n",
        "prose.csv": "".join(
            ", ".join(f"word{k}" for k in range(1 + (i * i) % 7)) + ".\n" for i in range(N)
        ),
        "page.csv": "<!DOCTYPE html>\n<html><body>404, not found</body></html>\n",
        "pointer.csv": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n",
        "arff.csv": "% a comment\n@relation people\n@attribute age numeric\n@data\n1\n",
        "broken.jsonl": '{"age": 1, "y": "a"}\n{"age": 2, "y": \n',
        "object.json": json.dumps({"a": 1, "b": [1, 2]}),
    }


_PAIRS = (("no", "yes"), ("N", "Y"), ("nein", "ja"), ("FALSE", "TRUE"), ("0", "1"), ("off", "on"))


def packed() -> dict[str, bytes]:
    """Return the files that are packed or in another encoding."""
    plain = lines().encode()
    broken = (
        lines().encode().replace("Köln".encode(), "K\udcf6ln".encode("utf-8", "surrogateescape"), 1)
    )
    return {
        "byte_order_mark.csv": b"\xef\xbb\xbf" + plain,
        "utf16.csv": lines().encode("utf-16"),
        "utf16_without_mark.csv": lines().encode("utf-16-le"),
        "utf32.csv": lines().encode("utf-32"),
        "latin1.csv": lines().replace("Ł", "L").replace("ź", "z").encode("latin-1"),
        "broken_utf8.csv": broken,
        "nul.csv": plain.replace(b"Aix", b"Aix\0", 1),
        "packed.csv.gz": gzip.compress(plain, mtime=0),
        "packed.csv.zst": _zstd(plain),
        "packed.csv.bz2": bz2.compress(plain),
        "packed.csv.xz": lzma.compress(plain),
        "packed_in_two_parts.csv.gz": gzip.compress(plain[:500], mtime=0)
        + gzip.compress(plain[500:], mtime=0),
        "packed.zip": _zip({"people.csv": plain, "__MACOSX/._people.csv": b"x"}),
        "two_tables.zip": _zip({"a.csv": plain, "b.csv": plain}),
        "workbook.csv": _zip({"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>"}),
        "cut_off.csv.gz": gzip.compress(plain, mtime=0)[:200],
        "bomb.csv.gz": gzip.compress(b"age,y\n" + b"1,0\n" * 20_000_000, mtime=0),
        "wide.csv.gz": gzip.compress(_wide(), mtime=0),
        "picture.csv": _png(),
        "pickle.csv": pickle.dumps({"age": [1, 2, 3]}),
        "binary.csv": bytes((i * i + 7 * i) % 256 for i in range(5000)),
        "archive.csv": b"people.csv".ljust(257, b"\0") + b"ustar\x0000" + bytes(250),
        "damaged.parquet": b"PAR1" + bytes(range(200)) + b"PAR1",
    }


def _zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def _zip(members: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return sink.getvalue()


def _wide() -> bytes:
    names = ",".join([*(f"x{i}" for i in range(9_999)), "y"])
    rows = [",".join([*(str((i * j) % 10) for j in range(9_999)), "ab"[i % 2]]) for i in range(12)]
    return "\n".join([names, *rows]).encode()


def _png() -> bytes:
    def part(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = part(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    body = part(b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + head + body + part(b"IEND", b"")


def typed() -> pa.Table:
    """Return a table of types that CSV does not know."""
    moments = [datetime.datetime(2023, 1, 1 + i % 28, i % 24) for i in range(N)]
    return pa.table(
        {
            "place": [{"city": CITIES[i % 3], "at": {"x": i, "y": -i}} for i in range(N)],
            "tags": [["a", "b"][: i % 3] for i in range(N)],
            "plan": pa.array(["basic", "full", None, "basic"] * (N // 4)).dictionary_encode(),
            "price": pa.array([decimal.Decimal(f"{i}.25") for i in range(N)], pa.decimal128(9, 2)),
            "zoned": pa.array(moments, pa.timestamp("ms", "Europe/Berlin")),
            "day": pa.array([moment.date() for moment in moments], pa.date32()),
            "took": pa.array([datetime.timedelta(minutes=i) for i in range(N)], pa.duration("s")),
            "opens": pa.array([datetime.time(i % 24, 30) for i in range(N)], pa.time32("s")),
            "raw": pa.array([bytes([255, i]) for i in range(N)], pa.binary()),
            "member": pa.array([None if i % 7 == 0 else i % 2 == 0 for i in range(N)]),
            "nothing": pa.nulls(N),
            "y": [i % 2 for i in range(N)],
        }
    )


def main() -> None:
    """Write every file."""
    for name, text in texts().items():
        (HERE / name).write_bytes(text.encode())
    for name, data in packed().items():
        (HERE / name).write_bytes(data)
    pq.write_table(typed(), HERE / "nested.parquet")
    simple = pa.table({"age": list(range(N)), "y": [i % 2 for i in range(N)]})
    pq.write_table(simple, HERE / "packed_columns.parquet", compression="zstd")
    pa.feather.write_feather(simple, str(HERE / "table.feather"))
    whole = lines().splitlines()
    longer = [whole[0] + ",more", *(row + ",1" for row in whole[1:])]
    turned = [",".join(reversed(row.split(","))) for row in whole]
    for folder, second in (
        ("parts", turned),
        (
            "parts_that_differ",
            longer,
        ),
    ):
        (HERE / folder).mkdir(exist_ok=True)
        (HERE / folder / "1.csv").write_text("\n".join(whole), encoding="utf-8")
        (HERE / folder / "2.csv").write_text("\n".join(second), encoding="utf-8")


if __name__ == "__main__":
    main()
