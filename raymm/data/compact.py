"""Turns columns of text, a piece at a time, into the smallest type that holds them exactly.

A number that is read once as float64 need not be kept as text beside it; words that repeat are
kept once. What a column holds is guessed from its first rows; a cell that does not fit the guess
makes the column `Column.failed`, and it is then read again as text, so nothing is lost.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import Written
from raymm.data.kinds import MISSING, guess
from raymm.features.marks import GROUPS, SIGNS

if TYPE_CHECKING:
    import pyarrow as pa

_REPEATED = 0.6
"""Words of which at most this share differs within a piece are kept once."""
_SPACES = " \t\u00a0\u202f"
_TENS = 10.0 ** np.arange(23)


@dataclass(slots=True)
class Column:
    """A column that is being read.

    Attributes
    ----------
    kind : str
        ``number``, ``datetime`` or ``words``.
    whole : bool
        Whether whole numbers are to be expected.
    parts : list of pyarrow.Array
        The pieces read so far.
    size : int
        Bytes of the pieces so far.
    failed : bool
        Whether a piece held what is not of the kind; ``parts`` is then empty.
    """

    kind: str = "words"
    format: str | None = None
    whole: bool = False
    missing: dict[str, None] = field(default_factory=dict)
    parts: list[Any] = field(default_factory=list)
    size: int = 0
    failed: bool = False
    cells: Any = field(default_factory=hashlib.sha256)
    lengths: Any = field(default_factory=hashlib.sha256)

    def add(self, piece: pa.StringArray) -> None:
        """Take the next cells, shape (rows,), text as written."""
        self._hash(piece)
        if self.failed:
            return
        made = self._made(piece)
        if made is None:
            self.failed, self.size = True, 0
            self.parts.clear()
        else:
            self.parts.append(made)
            self.size += int(made.nbytes)

    def fresh(self) -> Column:
        """Return a column that expects the same and has taken nothing."""
        return Column(kind=self.kind, format=self.format, whole=self.whole)

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of the cells' UTF-8 text and of their lengths in bytes."""
        return str(self.cells.hexdigest() + self.lengths.hexdigest())

    @property
    def written(self) -> Written:
        """How the cells are written."""
        return Written(missing=tuple(self.missing), format=self.format)

    def values(self) -> Any:
        """Return the cells as pandas takes them, and let go of the pieces."""
        import pyarrow as pa

        parts, self.parts = self.parts, []
        if self.kind == "words":
            return _words(parts)
        if self.kind == "datetime":
            joined = pa.chunked_array(parts)
            return joined.to_pandas()
        return _numbers(parts)

    def _made(self, piece: pa.StringArray) -> Any:
        import pyarrow.compute as pc

        if self.kind == "words":
            coded = piece.dictionary_encode()
            return coded if len(coded.dictionary) <= _REPEATED * len(piece) else piece
        read = self._numbers if self.kind == "number" else self._times
        made = read(piece)
        if made is None and pc.any(blank := pc.equal(pc.binary_length(piece), 0)).as_py():
            made = read(pc.if_else(blank, None, piece))
        return made if made is not None else read(self._known(piece))

    def _known(self, cells: Any) -> Any:
        """Return the cells without surrounding blanks, null where they mean "missing"."""
        import pyarrow as pa
        import pyarrow.compute as pc

        plain = pc.utf8_trim_whitespace(cells)
        absent = pc.is_in(pc.utf8_lower(plain), value_set=pa.array(sorted(MISSING)))
        for word in pc.unique(plain.filter(absent)).to_pylist():
            if word:
                self.missing[word] = None
        return pc.if_else(absent, None, plain)

    def _numbers(self, cells: Any) -> Any:
        import pyarrow as pa

        if self.format:
            cells = _unmarked(cells, set(self.format.split(", ")))
        if self.whole:
            try:
                read = cells.cast(pa.int64())
            except pa.ArrowInvalid:
                pass
            else:
                return None if _coded(cells, read) else read
        try:
            return cells.cast(pa.float64())
        except pa.ArrowInvalid:
            return None

    def _times(self, cells: Any) -> Any:
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.format == "ISO8601":
            for zone in (None, "UTC"):
                try:
                    read = cells.cast(pa.timestamp("us", zone))
                except pa.ArrowInvalid:
                    continue
                return read.cast(pa.timestamp("us"))
            return None
        read = pc.strptime(cells, format=self.format, unit="s", error_is_null=True)
        return read if read.null_count == cells.null_count else None

    def _hash(self, piece: pa.StringArray) -> None:
        offsets = np.frombuffer(piece.buffers()[1], np.int32)
        offsets = offsets[piece.offset : piece.offset + len(piece) + 1]
        data = piece.buffers()[2]
        if data is not None and len(offsets):
            self.cells.update(memoryview(data)[int(offsets[0]) : int(offsets[-1])])
        self.lengths.update(np.diff(offsets).astype("<i4").tobytes())


def expected(sample: pd.Series[Any], *, decimal_comma: bool) -> Column:
    """Return the column to read, by what its first cells hold."""
    found = guess(sample, decimal_comma=decimal_comma)
    if found.kind == "number" and len(found.words) > 0:
        known = {word for word in found.missing if word.lower() not in MISSING}
        if not known and found.format != "duration":
            return Column(kind="number", format=found.format, whole=found.whole)
    form = found.format or ""
    if found.kind == "datetime" and not any(mark in form for mark in ("%f", "%p", "%z", "%a")):
        return Column(kind="datetime", format=found.format)
    return Column()


def _unmarked(cells: Any, marks: set[str]) -> Any:
    """Take signs and marks of thousands away, as `raymm.features.columns.parse_numbers` does."""
    import pyarrow.compute as pc

    if "signs" in marks:
        cells = pc.utf8_trim(cells, characters=SIGNS + _SPACES)
        brackets = f"^[(][{SIGNS} \u00a0]*(.*?)[{SIGNS} \u00a0]*[)]$"
        cells = pc.replace_substring_regex(cells, pattern=brackets, replacement=r"-\1")
        behind = f"^([0-9.,].*?)[{SIGNS} \u00a0]*-$"
        cells = pc.replace_substring_regex(cells, pattern=behind, replacement=r"-\1")
        cells = pc.replace_substring_regex(cells, pattern=f"^-[{SIGNS} ]+", replacement="-")
    style = next((style for style in GROUPS if style in marks), "")
    if not style:
        return cells
    mark, point = (".", ",") if style == "decimal comma" else (",", ".")
    plain = pc.replace_substring_regex(cells, pattern=f"[ '{mark}\u00a0\u202f]", replacement="")
    plain = pc.replace_substring(plain, pattern=point, replacement=".")
    return pc.if_else(pc.match_substring_regex(cells, GROUPS[style]), plain, cells)


def _coded(cells: Any, read: Any) -> bool:
    """Whether a cell of three digits or more begins with 0, as codes do."""
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.binary_length(cells), 0).to_numpy(zero_copy_only=False)
    values = pc.fill_null(read, 0).to_numpy(zero_copy_only=False)
    digits = lengths - (values < 0)
    long = digits > 2
    return bool((long & (np.abs(values) < _TENS[np.clip(digits - 1, 0, 22)])).any())


def _numbers(parts: list[Any]) -> npt.NDArray[Any]:
    """Return the pieces as float64, or as the smallest whole numbers where there are no gaps."""
    import pyarrow as pa

    gaps = any(part.null_count for part in parts)
    if gaps or any(pa.types.is_floating(part.type) for part in parts):
        floats = [part.to_numpy(zero_copy_only=False) for part in parts]
        return np.concatenate(floats, dtype=np.float64, casting="unsafe")
    arrays = [part.to_numpy() for part in parts]
    low = min((int(array.min()) for array in arrays if len(array)), default=0)
    high = max((int(array.max()) for array in arrays if len(array)), default=0)
    sizes = [np.dtype(f"i{size}") for size in (1, 2, 4, 8)]
    dtype = next(d for d in sizes if np.iinfo(d).min <= low and high <= np.iinfo(d).max)
    return np.concatenate(arrays, dtype=dtype, casting="unsafe")


def _words(parts: list[Any]) -> Any:
    import pyarrow as pa

    if all(pa.types.is_dictionary(part.type) for part in parts):
        joined = pa.chunked_array(parts).unify_dictionaries()
        codes = np.concatenate([chunk.indices.to_numpy() for chunk in joined.chunks])
        words = pd.Index(joined.chunk(0).dictionary.to_pandas(), dtype="str")
        return pd.Categorical.from_codes(codes, categories=words)
    once = sum(pa.types.is_dictionary(part.type) for part in parts)
    plain = [p.dictionary_decode() if pa.types.is_dictionary(p.type) else p for p in parts]
    if 2 * once > len(parts):
        coded = pa.chunked_array(plain).dictionary_encode()
        return _words(coded.chunks)
    joined = pa.chunked_array([part.cast(pa.large_string()) for part in plain])
    return joined.to_pandas().astype("str")
