"""Looks for personal data: mail addresses, phone numbers, card numbers and names of people."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import Anomaly, Column, Schema, Tensors
from raymm.data.findings import anomaly
from raymm.data.naming import parted

SHARE = 0.01
"""The share of a column's values that must be personal for it to be told of; three mail addresses
are enough, as nothing else looks like them."""

_SURNAMES = 0.3
"""The share of different names that must end in another word, where the header does not say
that they are names."""

_ROWS = 5_000
_LEAST = 3
_CELL = 2_000

_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])")
_PHONE = re.compile(
    r"(?<![\w.+\-/])(?:"
    r"(?:\+|00)[1-9]\d{0,2}(?:[ .\-/]?\(?\d{1,5}\)?){2,7}"  # +49 30 1234567
    r"|(?:\+?1[ .\-])?\([2-9]\d{2}\)[ .\-]?\d{3}[ .\-]\d{4}"  # (212) 555-0123
    r"|(?:\+?1[ .\-])?[2-9]\d{2}(?P<mark>[ .\-])[2-9]\d{2}(?P=mark)\d{4}"  # 212-555-0123
    r"|\(?0[1-9]\d{1,3}\)?[ \-/]\d{3,4}(?:[ \-]?\d{2,4}){1,2}"  # 030 1234567, 0171/1234567
    r"|0[1-9](?:[ .\-]\d{2}){4}"  # 06 12 34 56 78
    r")(?![\w:]|[.\-/]\d)"
)
_DIGITS = re.compile(r"(?:\d\D{0,3}){7}")
_BARE = re.compile(r"(?<![\w.+\-/])0[1-9]\d{8,9}(?![\w:]|[.\-/]\d)")
_CARD = re.compile(
    r"(?<![\w.+\-])(?:\d{4}([ -])\d{4}\1\d{4}\1\d{4}|3[47]\d{2}([ -])\d{6}\2\d{5}|\d{13,16})"
    r"(?![\w]|[.\-]\d)"
)
_ISSUER = re.compile(r"4|5[1-5]|2[2-7]|3[47]|6(?:011|4|5)|35")
_CALLED = re.compile(
    r"(^|[_\W])(phone|telephone|tel|mobile|cellphone|handy|fax|msisdn|whatsapp)"
    r"([_\W]?(number|no|nr|num))?([_\W]|\d|$)"
)
_PART = re.compile(
    r"(^|[_\W])((first|last|given|family|middle|maiden|full|birth)[_\W]?name|surname|forename|"
    r"fname|lname|vorname|nachname|prenom|apellidos?)([_\W]|$)"
)
_WHO = (
    r"(^|[_\W])(customer|client|patient|user|employee|student|passenger|driver|owner|"
    r"contact|author|member|holder|manager|doctor|teacher|person|player|guest|tenant)s?"
)
_PERSON = re.compile(rf"^name$|{_WHO}[_\W]?names?([_\W]|$)")
_BEING = re.compile(rf"{_WHO}[_\W]*$")
"""Columns called as people are, which hold their names, or how many they are, or of what kind."""
_LETTERS = r"[^\W\d_]"
_NAME = re.compile(
    rf"{_LETTERS}+(?:[.'’-]{_LETTERS}*)?(?:[ ,]{{1,2}}[(\"]?"
    # A point that no letter follows is left to what ends a piece: with two ways to match each
    # piece, let alone one a letter, what is nearly a name would take minutes.
    rf"{_LETTERS}+(?:['’-]{_LETTERS}*|\.{_LETTERS}+)?[.)\"]*){{0,8}}"
)


class Found(NamedTuple):
    """Personal data of one kind in a column: rows that hold it of those looked at, one of them."""

    rows: int
    of: int
    example: str


def personal(
    frame: pd.DataFrame, schema: Schema, tensors: Tensors | None = None
) -> Iterator[Anomaly]:
    """Yield a warning for each kind of personal data in a column, with a masked example.

    At most 5,000 rows are looked at, drawn with a fixed seed. A kind is told of from three rows
    and one in a hundred on, mail addresses from three rows on. Columns that are left out are told
    of as well: they are in the table.
    ``tensors``, where given, are those of the features: small numbers are passed over by them.
    """
    rows = np.arange(len(frame))
    if len(rows) > _ROWS:
        rows = np.sort(np.random.default_rng(5).choice(rows, _ROWS, replace=False))
    for column in schema.columns:
        if column.name not in frame.columns or column.kind in ("boolean", "datetime"):
            continue
        plain = column.kind == "number" and not column.format
        if plain and tensors is not None and column.name in tensors:
            values = tensors[column.name][rows]
            if not _long(values[~np.isnan(values)], column):
                continue
        words = _words(frame[column.name].iloc[rows], column)
        if not len(words):
            continue
        held = {what: find(words, column) for what, find in _KINDS.items()}
        told = [(what, one) for what, one in held.items() if one and one.rows >= _LEAST]
        often = [(what, one) for what, one in told if one.rows >= SHARE * one.of]
        seldom = [(what, one) for what, one in told if what == _MAILS]
        for what, one in (often or seldom)[:1]:
            yield _told(what, column, one)


def _told(what: str, column: Column, found: Found) -> Anomaly:
    done = f'It is used all the same. List "{column.name}" in data.exclude, or mask it.'
    if column.role == "ignored":
        done = "The model does not see it. Take it out of the table if nobody needs it there."
    elif column.role == "target":
        done = "It is what is predicted. Predict something else, or mask it."
    return anomaly(
        "personal data",
        column.name,
        f"{what} in {found.rows / found.of:.1%} of the values, such as {found.example}",
        "no data that tells who somebody is",
        done,
    )


def _words(cells: pd.Series[Any], column: Column) -> pd.Series[int]:
    """Return the rows of each different word; numbers only where they could be a call or card."""
    if pd.api.types.is_numeric_dtype(cells.dtype):
        values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
        if not _long(values[np.isfinite(values)], column):
            return pd.Series(dtype=np.int64)
        cells = cells.dropna()
        whole = cells.to_numpy(dtype=np.float64)
        if not np.array_equal(whole, np.floor(whole)) or np.abs(whole).max() >= 2.0**63:
            return pd.Series(dtype=np.int64)
        cells = cells.astype(np.int64)
    absent = {"", *(word.strip() for word in column.missing)}
    counts = cells.dropna().astype(str).str.slice(0, _CELL).str.strip().value_counts()
    return counts[~counts.index.isin(absent)]


def _long(values: npt.NDArray[Any], column: Column) -> bool:
    """Return whether enough of the known values are as long as a call or card number is."""
    least = 7 if _CALLED.search(parted(column.name)) else 13
    found = int((values >= 0.999 * 10.0 ** (least - 1)).sum())
    return found >= max(_LEAST, SHARE * len(values))


def _matching(words: pd.Series[int], test: Callable[[str], str]) -> Found | None:
    """Count the rows whose word holds what ``test`` returns masked, the empty text where not."""
    rows, example = 0, ""
    for word, count in words.items():
        masked = test(str(word))
        if masked:
            rows, example = rows + int(count), example or masked
    return Found(rows, int(words.sum()), example) if rows else None


def _mails(words: pd.Series[int], column: Column) -> Found | None:
    def test(word: str) -> str:
        match = _MAIL.search(word) if "@" in word else None
        if not match:
            return ""
        end = match[0].rpartition(".")[2]
        return f"{match[0][0]}***@***.{end}"

    return _matching(words, test)


def _cards(words: pd.Series[int], column: Column) -> Found | None:
    """Find card numbers: most of what looks like one must pass Luhn's check.

    Of random numbers one in ten passes it, and one in three begins as an issuer's do.
    """
    looked = 0

    def test(word: str) -> str:
        nonlocal looked
        match = _CARD.search(word)
        if not match:
            return ""
        looked += int(words[word])
        digits = re.sub(r"\D", "", match[0])
        return f"************{digits[-4:]}" if _ISSUER.match(digits) and luhn(digits) else ""

    found = _matching(words, test)
    return found if found and 2 * found.rows >= looked else None


def luhn(digits: str) -> bool:
    """Return whether a number's last digit checks the others (ISO/IEC 7812-1).

    >>> luhn("4539578763621486"), luhn("4539578763621487")
    (True, False)
    """
    values = [int(digit) for digit in reversed(digits)]
    doubled = sum(sum(divmod(2 * value, 10)) for value in values[1::2])
    return (sum(values[::2]) + doubled) % 10 == 0


def _phones(words: pd.Series[int], column: Column) -> Found | None:
    called = _CALLED.search(parted(column.name)) is not None

    def test(word: str) -> str:
        if not _DIGITS.search(word):
            return ""
        if called and re.fullmatch(r"[+(]?\d[\d ()./\-]{5,20}", word):
            return _hidden(word)
        # A cell that is a plain number is no phone number, unless it begins with + and is long.
        if re.fullmatch(r"-?\d+(\.\d+)?", word):
            return ""
        match = _PHONE.search(word) or (_BARE.search(word) if column.kind == "text" else None)
        if match and 9 <= sum(letter.isdigit() for letter in match[0]) <= 15:
            return _hidden(match[0])
        return ""

    return _matching(words, test)


def _hidden(number: str) -> str:
    return "*" * 8 + re.sub(r"\D", "", number)[-2:]


def _names(words: pd.Series[int], column: Column) -> Found | None:
    """Find names of people, by what the column is called and by how its values are written."""
    name = parted(column.name)
    part = _PART.search(name) is not None
    unsaid = not part and not _PERSON.search(name)
    if len(words) < (10 if unsaid else 5) or (unsaid and not _BEING.search(name)):
        return None
    last: set[str] = set()

    def test(word: str) -> str:
        if not 2 <= len(word) <= 90 or not _NAME.fullmatch(word):
            return ""
        pieces = re.findall(r"[^\W\d_]+", word)
        capital = [piece for piece in pieces if piece[0].isupper() or not piece[0].islower()]
        if len(capital) * 2 < len(pieces) or (not part and len(pieces) < 2):
            return ""
        if unsaid and not (pieces[0][0].isupper() and pieces[-1][0].isupper()):
            return ""
        last.add(pieces[-1].casefold())
        return " ".join(f"{piece[0]}***" for piece in pieces[:3])

    found = _matching(words, test)
    if unsaid and len(last) < _SURNAMES * len(words):  # posts or firms, many of which end alike
        return None
    return found if found and found.rows >= 0.6 * found.of else None


_MAILS = "mail addresses"
_KINDS: dict[str, Callable[[pd.Series[int], Column], Found | None]] = {
    _MAILS: _mails,
    "card numbers": _cards,
    "phone numbers": _phones,
    "names of people": _names,
}
