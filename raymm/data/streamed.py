"""Reads text files that are too large to be kept as text, piece by piece into compact columns.

The rows pass through pyarrow's streaming reader once; `raymm.data.compact` turns each piece into
numbers, moments or coded words, so that a table takes about half the bytes of its file. Columns
whose later cells do not fit what their first ones led to expect are read a second time.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from raymm.artifacts import Written
from raymm.data.compact import Column, expected
from raymm.data.decoding import undecodable
from raymm.data.files import Named
from raymm.data.findings import Findings, shown
from raymm.data.given import Given
from raymm.data.kinds import decimal_commas
from raymm.data.memory import available
from raymm.data.naming import named
from raymm.data.opening import Encoding, Opened, opened
from raymm.data.partitions import partitions
from raymm.data.ragged import Ragged
from raymm.data.transcoded import Transcoded
from raymm.data.wide import in_batch
from raymm.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 4 * 2**20
_HEAD = 4 * 2**20
_ROWS = 5000
"""The first rows that tell what a column holds."""
_COPIES = 2.0
"""How often the table is in memory at once while its columns are put together."""
_SHARE = 0.4
"""The share of free memory that a table may take; search and report need the rest."""
_SWALLOWED = 20
"""Lines within ragged rows from which a lone quote is suspected."""
_PACKED = 6
"""How often its bytes a packed text unpacks to, roughly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """A table read in pieces."""

    frame: pd.DataFrame
    sha256: str
    written: Mapping[str, Written]


def read(
    files: Sequence[Named],
    limit: int,
    found: Findings,
    *,
    memory: int | None = None,
    said: Given | None = None,
) -> Streamed:
    """Read text files of the same columns into one table.

    Parameters
    ----------
    limit : int
        The most bytes a file may unpack to.
    memory : int or None
        The bytes that the table may take; by default two fifths of what is free. A larger table
        is sampled: each row is kept by chance (the seed is fixed), and `found` is told.
    said : Given or None
        What a person says of the files.

    Raises
    ------
    DataError
        When a file is no table, the files' columns differ, or nothing is left.
    """
    import pyarrow as pa

    said = said or Given()
    first = _opened(files[0], found, said)
    sample = first.sample
    names = named(first.how.names[: sample.shape[1]], found)
    comma = decimal_commas(sample)
    guesses = [expected(sample.iloc[:_ROWS, i], decimal_comma=comma) for i in range(len(names))]
    room = int(available() * _SHARE) if memory is None else memory
    reader = _Reader(files, names, first, said, (limit, room))
    columns = reader.all(guesses, found)
    reader.tell(found)
    digest = hashlib.sha256(json.dumps(names).encode())
    for column in columns:
        digest.update(column.digest.encode())
    pairs = list(zip(names, columns, strict=True))
    written = {name: column.written for name, column in pairs if column.kind != "words"}
    if not any(column.parts for column in columns):
        frame = pd.DataFrame(columns=names)
    else:
        values = {name: column.values() for name, column in pairs}
        folders = partitions([file.name for file in files])
        for name in _with_folders(values, folders, reader.kept, digest):
            found.note(f'the folders of the files give the column "{name}"')
        frame = pd.DataFrame(values, copy=False)
    pa.default_memory_pool().release_unused()
    return Streamed(frame=frame, sha256=digest.hexdigest(), written=written)


def _opened(file: Named, found: Findings, said: Given, encoding: Encoding | None = None) -> Opened:
    head = file.read(_HEAD)
    whole = len(head) <= _HEAD
    return opened(head, file.name, found, whole=whole, said=said, encoding=encoding)


def _with_folders(
    columns: dict[str, Any], folders: Mapping[str, Sequence[str]], kept: Sequence[int], digest: Any
) -> list[str]:
    """Add the columns that files' folders are named by, and return their names.

    Parameters
    ----------
    folders : mapping of key to a value a file
    kept : sequence of int
        Rows a file.
    digest : hashlib hash
        Takes the cells; what is there besides is not changed, so that a table without folders
        keeps its hash.
    """
    added = [key for key in folders if key not in columns]
    for key in added:
        codes, words = pd.factorize(np.array(folders[key], dtype=object))
        columns[key] = pd.Categorical.from_codes(
            np.repeat(codes, kept), categories=pd.Index(words, dtype="str")
        )
        digest.update(json.dumps([key, list(folders[key]), list(kept)]).encode())
    return added


class _RetryError(Exception):
    """A file cannot be read in the way tried; the message is pyarrow's or the decoder's."""

    def __init__(self, reason: str, file: Named, text: Transcoded) -> None:
        super().__init__(reason)
        self.file, self.text = file, text


class _Reader:
    """Goes through the files, and keeps what has to be told of them."""

    def __init__(
        self,
        files: Sequence[Named],
        names: list[str],
        first: Opened,
        said: Given,
        bounds: tuple[int, int],
    ) -> None:
        self._files, self._names, self._first, self._said = files, names, first, said
        self._limit, self._room = bounds
        self._encodings = {files[0].name: first.encoding}
        self._broken: dict[str, int] = {}
        self._strict, self._block = True, BLOCK
        self._ragged: dict[str, Ragged] = {}
        self._reordered: list[str] = []
        self._share = 1.0
        self._rows = 0
        self.kept: list[int] = []
        """Rows that were kept, a file."""
        self._lost: int | None = None

    def all(self, guesses: Sequence[Column], found: Findings) -> list[Column]:
        """Return every column, read in the first way that goes through to the end."""
        while True:
            columns = [column.fresh() for column in guesses]
            try:
                self._run(dict(enumerate(columns)), estimate=True)
                again = {i: Column() for i, column in enumerate(columns) if column.failed}
                if again:
                    self._run(again)
                if self._quotes_agree():
                    return [again.get(i, column) for i, column in enumerate(columns)]
            except _RetryError as error:
                self._change(error)

    def _quotes_agree(self) -> bool:
        """Whether quotes were rightly taken as such, or not; if not, change that.

        Where a ragged row spans many lines, a lone quote is likelier; then quotes count as plain
        characters, unless that loses more lines.
        """
        lost = sum(ragged.lines for ragged in self._ragged.values())
        most = max((r.lines - r.count for r in self._ragged.values()), default=0)
        if self._lost is None and self._strict and most >= _SWALLOWED:
            self._lost, self._strict = lost, False
            return False
        if self._lost is not None and not self._strict and lost > self._lost:
            self._strict = True
            return False
        return True

    def _change(self, error: _RetryError) -> None:
        """Choose another way to read, or raise DataError where there is none."""
        reason, name = str(error), error.file.name
        tried = self._encodings[name]
        if error.text.place is not None:
            other = tried.other(error.text.around)
            if other is None:
                raise undecodable(name, tried.name, error.text.place, error.text.byte) from error
            self._encodings[name] = other
        elif "straddl" in reason and self._block == BLOCK:
            self._block = 16 * BLOCK
        elif self._strict and self._lost is None:
            self._strict, self._block, self._lost = False, BLOCK, 2**62
        else:
            raise DataError(
                f"{name} cannot be read: {reason}. Check its quotes, its lines and "
                "its encoding at that place."
            )

    def _run(self, wanted: dict[int, Column], *, estimate: bool = False) -> None:
        """Let the columns, by their places in the first file, take every file's rows."""
        rng = np.random.default_rng(0)
        self._rows, self.kept = 0, []
        # One thread parses the next piece while others convert this one: pyarrow lets go of the
        # interpreter's lock in both.
        with ThreadPoolExecutor(3) as pool:
            for file in self._files:
                places, made = self._places(file)
                chosen = {str(places[place]): column for place, column in wanted.items()}
                batches = self._batches(file, made, list(chosen))
                coming = pool.submit(next, batches, None)
                self.kept.append(0)
                while (batch := coming.result()) is not None:
                    coming = pool.submit(next, batches, None)
                    if estimate:
                        self._estimate(batch, list(chosen.values()))
                        estimate = False
                    self._rows += len(batch)
                    if self._share < 1.0:
                        batch = batch.filter(rng.random(len(batch)) < self._share)
                    self.kept[-1] += len(batch)
                    pieces = [(chosen[name], batch[name]) for name in batch.schema.names]
                    list(pool.map(lambda pair: pair[0].add(pair[1]), pieces))
                    self._require_room(wanted.values(), file)

    def tell(self, found: Findings) -> None:
        """Tell of encodings, of quotes, of rows left out and of the sample."""
        for name, encoding in self._encodings.items():
            encoding.tell(name, self._broken.get(name, 0), found)
        if not self._strict:
            told = "quotes are not paired, so they were taken as plain characters"
            found.repair("quotes", told, "Put cells that hold a delimiter in quotes.")
        for name, ragged in self._ragged.items():
            self._require_table(name, ragged)
            for rows, what in (
                (ragged.short, "fewer cells than the header; the rest is empty"),
                (ragged.left, "more or fewer cells than the header and were left out"),
            ):
                where = f" (rows {shown(rows.rows)}, the header being 1)" if rows.rows else ""
                if rows.count:
                    found.repair(
                        "ragged rows",
                        f"{name}: {rows.count:,} rows have {what}{where}",
                        "Quote cells that hold the delimiter, and write every cell of each row.",
                    )
        for name in self._reordered:
            found.note(f"{name} has its columns in another order; they were put in the first's")
        if self._share < 1.0:
            found.repair(
                "sample",
                f"{sum(self.kept):,} rows of {self._rows:,} were read, taken evenly by chance (the "
                f"same ones each time), so that the table takes {self._room / 2**30:.1f} GiB",
                "Use a machine with more memory, or leave out columns, to read every row.",
            )

    def _require_table(self, name: str, ragged: Ragged) -> None:
        if ragged.count > ragged.whole:
            raise DataError(
                f"{name} is no table: {ragged.count:,} rows have more or fewer cells than the "
                f"header, which has {len(self._names)}. Give a file with one delimiter throughout."
            )

    def _places(self, file: Named) -> tuple[list[int], Opened]:
        """Return where the first file's columns stand in this one, and how it is laid out."""
        if file is self._files[0]:
            return list(range(len(self._names))), self._first
        made = _opened(file, Findings(), self._said, self._encodings.get(file.name))
        self._encodings[file.name] = made.encoding
        theirs = named(made.how.names[: made.sample.shape[1]], Findings())
        require_same(self._names, theirs, self._files[0].name, file.name)
        if theirs != self._names and file.name not in self._reordered:
            self._reordered.append(file.name)
        return [theirs.index(name) for name in self._names], made

    def _estimate(self, batch: pa.RecordBatch, columns: Sequence[Column]) -> None:
        """Set the share of rows to keep, from what the first rows take once they are compact."""
        compact = 0
        for column, piece in zip(columns, batch.columns, strict=True):
            trial = column.fresh()
            trial.add(piece)
            compact += trial.size or piece.nbytes
        total = sum(file.size * (_PACKED if file.packed else 1) for file in self._files)
        need = total * compact / max(1, batch.nbytes) * _COPIES
        share = min(1.0, self._room / max(1.0, need))
        # In steps of a sixth, so that the same rows are read again although free memory is never
        # twice the same.
        self._share = 2.0 ** (math.floor(4 * math.log2(share)) / 4)

    def _require_room(self, columns: Any, file: Named) -> None:
        taken = sum(column.size for column in columns)
        if taken * _COPIES > 1.5 * self._room:
            holds, remedy = "holds", "Give a sample of its rows, or leave out columns."
            if file.packed:
                holds = "unpacks to"
                remedy = (
                    "Unpack it, so that its size is known and rows can be sampled; or give a "
                    "sample of its rows."
                )
            raise DataError(
                f"{file.name} {holds} more than fits the memory that is free: {self._rows:,} rows "
                f"take {taken / 2**30:.1f} GiB. {remedy}"
            )

    def _batches(self, file: Named, made: Opened, wanted: list[str]) -> Iterator[Any]:
        """Yield the file's rows in pieces, as text; columns are named by their places."""
        import pyarrow as pa
        import pyarrow.csv

        how, mark = made.how, made.mark
        quote = how.dialect.quote if self._strict else ""
        ragged = self._ragged[file.name] = Ragged(how, quote)
        encoding = self._encodings[file.name]
        with file.open(self._limit) as stream:
            text = Transcoded(stream, encoding.name, encoding.errors, mark=mark)
            try:
                batches = pa.csv.open_csv(
                    pa.PythonFile(io.BufferedReader(text, self._block), "r"),
                    read_options=pa.csv.ReadOptions(
                        column_names=[str(place) for place in range(len(how.names))],
                        skip_rows=how.above,
                        skip_rows_after_names=0 if how.headless else 1,
                        block_size=self._block,
                        use_threads=False,
                    ),
                    parse_options=pa.csv.ParseOptions(
                        delimiter=how.dialect.delimiter,
                        quote_char=quote or False,
                        escape_char=how.dialect.escape or False,
                        newlines_in_values=self._strict,
                        invalid_row_handler=ragged,
                    ),
                    convert_options=pa.csv.ConvertOptions(
                        column_types=dict.fromkeys(wanted, pa.string()),
                        include_columns=wanted,
                        strings_can_be_null=False,
                    ),
                )
                pieces = map(ragged.merged, batches)
                yield from (in_batch(piece, mark) if quote else piece for piece in pieces)
                if ragged.waits:
                    yield in_batch(ragged.rest(wanted), mark)
                self._broken[file.name] = text.broken
            except (pa.ArrowInvalid, OverflowError, UnicodeError) as error:
                raise _RetryError(str(error), file, text) from error


def require_same(ours: Sequence[str], theirs: Sequence[str], first: str, name: str) -> None:
    """Raise DataError when a file's columns are not the first file's."""
    expected_, held = set(ours), set(theirs)
    if expected_ == held:
        return
    parts = [f"lacks {sorted(expected_ - held)}"] if expected_ - held else []
    parts += [f"has besides {sorted(held - expected_)}"] if held - expected_ else []
    raise DataError(
        f"All files of one table must have the same columns, but {name} {' and '.join(parts)} "
        f"compared with {first}. Read them apart, or mend that file."
    )
