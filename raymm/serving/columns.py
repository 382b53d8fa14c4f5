"""Turns the JSON values of one column into the tensor that the graph takes, or says what is wrong.

Each reader takes the values of one column for all rows of a request, so that a request of many
rows is checked by a few calls of C functions; only when one of those finds something unusual are
the values looked at one by one.
"""

from __future__ import annotations

import contextlib
import datetime
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import NO_TIME, Column
from raymm.features.columns import digits, gone_numbers, gone_times, parse_times, spell

Reader = Callable[[Sequence[Any]], npt.NDArray[Any]]

LARGEST = float(np.finfo(np.float32).max)
"""Numbers beyond it would be infinite in the graph, whose numbers are float32."""

NUMBERS = frozenset({int, float})
"""The types of a number that came from JSON."""
_TEXT = frozenset({str})
_PLAIN = (str, bool, int, float)
_BEYOND = 10**18
_FILLED = "(this column allows no missing value)"
_ENDLESS = (math.inf, -math.inf)
"""What JSON's numbers beyond float64 are read as."""
EARLIEST = int(datetime.datetime(1, 1, 1, tzinfo=datetime.UTC).timestamp())
LATEST = int(datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC).timestamp())
"""Seconds since 1970 between which dates lie: those of the years 1 to 9999."""


class Misfit(ValueError):
    """A value that a column cannot hold.

    Parameters
    ----------
    row : int
        Its position among the values.
    value : object
        The value as it came from JSON.
    allowed : str
        What is allowed there.
    """

    def __init__(self, row: int, value: Any, allowed: str) -> None:
        super().__init__(allowed)
        self.row = row
        self.value = value
        self.allowed = allowed


def shown(value: Any, length: int = 60) -> str:
    """Return a value and its JSON type for an error, shortened to about ``length`` characters.

    >>> shown("abc"), shown(None), shown([1, 2]), shown(True)
    ("'abc' (text)", 'null', 'a list of 2', 'true')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object with {len(value)} keys"
    if isinstance(value, str):
        cut = value if len(value) <= length else value[:length] + "…"
        return f"{cut!r} (text)"
    if isinstance(value, int) and abs(value) >= 10**length:
        return "a whole number of too many digits"
    return repr(value)


def reader(column: Column) -> Reader:
    """Return the reader of a column.

    It takes a sequence of n JSON values, None where a value is missing, and returns an array of
    shape (n,) as `raymm.artifacts.Tensors` describes: float32 for numbers and booleans, int64
    seconds for dates, object for categories and text. It raises `Misfit` for the first value that
    does not fit.

    Missing is null, the empty text and the schema's own words for missing, also where a number or
    date has the value of such a word; a column that is not nullable refuses them all. Numbers are
    JSON numbers within float32; text is refused even where it looks like a number. Booleans are
    true, false, 0, 1, or the schema's two words, capitals not counting. Dates are ISO 8601 text,
    text in the schema's format, or seconds since 1970 UTC (milliseconds where the training data had
    them; where the format has digits alone, a whole number that follows it is its date); a date
    without an offset is UTC. Categories are text, seen before or not; a number counts as its text.
    Whatever is taken gives the tensor that `raymm.features.columns.encode` gave in training.
    """
    makers: dict[str, Callable[[Column], Reader]] = {
        "number": _numbers,
        "boolean": _booleans,
        "datetime": _dates,
        "category": _words,
        "text": _words,
    }
    return makers[column.kind](column)


def _absent(column: Column) -> Callable[[int, Any, str], bool]:
    means = _meaning(column)

    def absent(row: int, value: Any, allowed: str) -> bool:
        if value is not None and not means(value):
            return False
        if not column.nullable:
            raise Misfit(row, value, f"{allowed} {_FILLED}")
        return True

    return absent


def missing_words(column: Column) -> frozenset[str]:
    """Return the texts that stand for a missing value in a column, without spaces around."""
    return frozenset({"", *(word.strip() for word in column.missing)})


def _meaning(column: Column) -> Callable[[Any], bool]:
    """Return what tells whether a value that is there means "missing"."""
    missing = missing_words(column)
    gone = frozenset(gone_values(column).tolist())

    def means(value: Any) -> bool:
        if isinstance(value, str):
            return value.strip() in missing
        if column.kind == "number":
            plain = type(value) in NUMBERS and -LARGEST <= value <= LARGEST
            return bool(gone) and plain and float(np.float32(value)) in gone
        return isinstance(value, _PLAIN) and value not in _ENDLESS and spell(value) in missing

    return means


def gone_values(column: Column) -> npt.NDArray[Any]:
    """Return what a column's words for missing stand for in a tensor of numbers or dates.

    These are float32, or seconds since 1970 UTC; none for the other kinds.
    """
    if column.kind == "datetime":
        return gone_times(column.missing, column.format)
    words = column.missing if column.kind == "number" else ()
    return gone_numbers(words, column.format)


def _numbers(column: Column) -> Reader:
    absent = _absent(column)
    gone = gone_values(column)
    allowed = "a number"

    def one(row: int, value: Any) -> float:
        if absent(row, value, allowed):
            return math.nan
        if type(value) not in NUMBERS:
            hint = " written without quotes" if _numeric(value) else ""
            raise Misfit(row, value, allowed + hint)
        if not -LARGEST <= value <= LARGEST:
            raise Misfit(row, value, f"{allowed} between -{LARGEST:.6g} and {LARGEST:.6g}")
        return float(value)

    def read(values: Sequence[Any]) -> npt.NDArray[Any]:
        plain = NUMBERS.issuperset(map(type, values))
        if plain and min(values) >= -LARGEST and max(values) <= LARGEST:
            made = np.array(values, dtype=np.float32)
            if not len(gone) or not np.isin(made, gone).any():
                return made
        return np.array([one(row, value) for row, value in enumerate(values)], dtype=np.float32)

    return read


def _numeric(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


def _booleans(column: Column) -> Reader:
    absent = _absent(column)
    known = {"false": 0.0, "true": 1.0, "0": 0.0, "1": 1.0}
    given = column.categories[:2]
    known |= {word.strip().casefold(): code for word, code in zip(given, (0.0, 1.0), strict=False)}
    allowed = " or ".join(["true or false", *([" or ".join(map(repr, given))] if given else [])])

    def one(row: int, value: Any) -> float:
        if absent(row, value, allowed):
            return math.nan
        code = known.get(spell(value).casefold()) if isinstance(value, _PLAIN) else None
        if code is None:
            raise Misfit(row, value, allowed)
        return code

    def read(values: Sequence[Any]) -> npt.NDArray[Any]:
        return np.array([one(row, value) for row, value in enumerate(values)], dtype=np.float32)

    return read


def _words(column: Column) -> Reader:
    absent = _absent(column)
    missing = missing_words(column)
    taken = (str, int, float) if column.kind == "category" else str
    allowed = "text"

    def one(row: int, value: Any) -> str:
        if absent(row, value, allowed):
            return ""
        if isinstance(value, bool) or not isinstance(value, taken) or value in _ENDLESS:
            raise Misfit(row, value, allowed)
        text = spell(value)
        if not encodable(text):
            raise Misfit(row, value, "text that is valid Unicode and holds no zero character")
        return text

    def read(values: Sequence[Any]) -> npt.NDArray[Any]:
        words = [value.strip() for value in values] if _TEXT.issuperset(map(type, values)) else None
        if words is None or not missing.isdisjoint(words) or not encodable("".join(words)):
            words = [one(row, value) for row, value in enumerate(values)]
        tensor = np.empty(len(words), dtype=object)
        tensor[:] = words
        return tensor

    return read


def encodable(text: str) -> bool:
    """Whether the graph can take it: no lone surrogate (JSON may hold one) and no zero."""
    if "\0" in text:
        return False
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _dates(column: Column) -> Reader:
    absent = _absent(column)
    gone = frozenset(gone_values(column).tolist())
    form = column.format or "ISO8601"
    unit = "milliseconds" if form == "epoch ms" else "seconds"
    also = "" if form == "ISO8601" or form.startswith("epoch") else f", text in the format {form}"
    allowed = f"a date as ISO 8601 text{also} or as {unit} since 1970 UTC"

    def one(row: int, value: Any) -> int:
        if absent(row, value, allowed):
            return NO_TIME
        seconds = None
        if isinstance(value, str):
            seconds = _instant(value.strip(), column)
        elif type(value) in NUMBERS and abs(value) < _BEYOND:
            seconds = _counted(value, form)
        if seconds is None or not EARLIEST <= seconds <= LATEST:
            raise Misfit(row, value, allowed)
        if seconds not in gone:
            return seconds
        if not column.nullable:
            raise Misfit(row, value, f"{allowed} {_FILLED}")
        return NO_TIME

    def read(values: Sequence[Any]) -> npt.NDArray[Any]:
        return np.array([one(row, value) for row, value in enumerate(values)], dtype=np.int64)

    return read


def moment_of(seconds: int, column: Column) -> int:
    """Return seconds since 1970 UTC as the number by which a date column's requests tell them.

    Where the column's format has digits alone, these are the number.
    """
    if digits(column.format) and EARLIEST <= seconds <= LATEST:
        moment = _EPOCH + datetime.timedelta(seconds=seconds)
        return int(moment.strftime(str(column.format)))
    return seconds * 1000 if column.format == "epoch ms" else seconds


def _counted(value: float, form: str) -> int:
    """Return a number's whole seconds since 1970 UTC, rounded down."""
    if digits(form) and value >= 0 and value == math.floor(value):
        with contextlib.suppress(ValueError):
            moment = datetime.datetime.strptime(spell(value).zfill(digits(form)), form)
            return (moment.replace(tzinfo=datetime.UTC) - _EPOCH) // datetime.timedelta(seconds=1)
    return math.floor(value / 1000 if form == "epoch ms" else value)


def _instant(text: str, column: Column) -> int | None:
    """Return whole seconds since 1970 UTC, rounded down; None where the text is no date.

    The column's own format is tried first, as in training. What Python's quick parsers do not
    take goes through the one of training, which takes a millisecond.
    """
    form = column.format or "ISO8601"
    moment = None
    with contextlib.suppress(ValueError):
        if form == "ISO8601":
            moment = datetime.datetime.fromisoformat(text)
        elif not form.startswith("epoch"):
            moment = datetime.datetime.strptime(text, form)
    if moment is None:
        seconds = int(parse_times([text], column.missing, column.format)[0])
        return None if seconds == NO_TIME else seconds
    aware = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    return (aware - _EPOCH) // datetime.timedelta(seconds=1)


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
