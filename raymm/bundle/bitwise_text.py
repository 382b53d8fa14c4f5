"""JSON texts told value by value, by what stood at the same place before.

A value is told as one of the last at its path (the keys above it, numbers of items left out), or
under its key anywhere, or as what followed the value before, or else in parts: lists and mappings
by what they hold, numbers by their digits, or as a ratio of two small ones, and words by their
letters. A value is its own text here, so that what is read is what was written to the letter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from raymm.bundle.bitwise import Coder, damaged

DEEPEST = 24
"""Lists and mappings within each other at most."""
LONGEST_PATH = 1024
"""Characters of a path, which is remembered with all that stands at it."""
_NULL, _FALSE, _TRUE, _NUMBER, _TEXT, _LIST, _MAPPING = range(7)
_WORDS = ("null", "false", "true")
_DIGITS, _RATIO, _LETTERS = range(3)
_KEPT, _FEW = 5, 2
"""Values that are remembered of a path, and of a key, and long ones of any."""
_LONG, _LONGER = "**", 12
"""Where long ones are remembered, and the letters of one at least."""
_MOST_PARTS = 1024
"""Of the lower number of a ratio."""
_PLAIN = re.compile(r"(~?)(-?)(0|[1-9]\d*)(?:\.(\d+))?")
_ANY = re.compile(r"~?-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_MARKED = re.compile(r"~(-?[\d.]+)(?:e([-+]?\d+))?")
_MARK = "E+0"
"""What stands for the tilde before a number while it is read as JSON; an exponent's E else."""
_END = b"\xff"
"""After a word's letters in UTF-8, where it never stands."""
_HEX = re.compile(r"[0-9a-f]{16,}")


@dataclass(frozen=True, slots=True)
class Node:
    """A JSON value: its text, its type, and what it holds: of mappings the keys come first."""

    text: str
    kind: int
    parts: tuple[Node, ...] = ()


class _Number(str):
    __slots__ = ()


def parsed(text: str, *, tildes: bool = True) -> Node:
    """Read a JSON text, in which a tilde may stand before numbers, or only in words.

    Raises
    ------
    ValueError, RecursionError
    """
    marked = _MARKED.sub(_marked, text) if tildes else text
    return _node(json.loads(marked, parse_float=_Number, parse_int=_Number))


def noded(value: Any) -> Node:
    """Return a value of JSON as a node."""
    return _node(json.loads(json.dumps(value), parse_float=_Number, parse_int=_Number))


def _marked(match: re.Match[str]) -> str:
    return f"{match[1]}E{match[2]}" if match[2] else f"{match[1]}{_MARK}"


def _node(value: Any) -> Node:
    if value is None or isinstance(value, bool):
        kind = _NULL if value is None else _TRUE if value else _FALSE
        return Node(_WORDS[kind], kind)
    if isinstance(value, _Number):
        tilde = "~" if "E" in value else ""
        return Node(f"{tilde}{value.removesuffix(_MARK).lower()}", _NUMBER)
    if isinstance(value, str):
        return Node(json.dumps(value), _TEXT)
    if isinstance(value, list):
        parts = tuple(map(_node, value))
        return Node(_listed([one.text for one in parts]), _LIST, parts)
    keys, parts = _node([*value]), tuple(map(_node, value.values()))
    texts = [one.text for one in parts]
    return Node(_mapped([one.text for one in keys.parts], texts), _MAPPING, (keys, *parts))


def _listed(texts: Sequence[str]) -> str:
    return f"[{','.join(texts)}]"


def _mapped(keys: Sequence[str], texts: Sequence[str]) -> str:
    return f"{{{','.join(f'{key}:{text}' for key, text in zip(keys, texts, strict=True))}}}"


class Texts:
    """Codes texts; what was seen in one is remembered in the next.

    Parameters
    ----------
    coder : Coder
    like : Texts, optional
        One whose memory it begins with.
    """

    def __init__(self, coder: Coder, like: Texts | None = None) -> None:
        self.coder, self.left = coder, 0
        self._recent: dict[str, list[str]] = {}
        self._after: dict[tuple[str, str], str] = {}
        self._hits: dict[str, int] = {}
        self._numbers: dict[str, tuple[int, int, int]] = {}
        self._rising: dict[str, bool] = {}
        if like is not None:
            self._recent = {key: [*held] for key, held in like._recent.items()}
            self._after, self._hits = {**like._after}, {**like._hits}
            self._numbers, self._rising = {**like._numbers}, {**like._rising}

    def text(self, path: str, told: Node | None, *, most: int) -> str:
        """Code a text of at most so many characters."""
        self.left = most
        return self._value(path, path, told, 0)

    def value(self, path: str, told: Node | None) -> str:
        """Code a value that takes from what is left of the characters."""
        return self._value(path, path, told, 0)

    def foretell(self, path: str, words: Sequence[str]) -> None:
        """Say which words are likely at a path, one after another."""
        texts = ["", *(json.dumps(word) for word in words)]
        for text, following in pairwise(texts):
            self._after[path, text] = following
        self._recent[path] = [""]

    def _value(self, path: str, key: str, told: Node | None, depth: int) -> str:
        if len(path) > LONGEST_PATH:
            raise damaged("has keys that are too long")
        known = self._known(path, key)
        text = self._hit(path, key, known, told) if known else None
        if text is None:
            text = self._parts(path, key, told, depth)
        else:
            self.left -= len(text)
        if self.left < 0:
            raise damaged("has a longer text than it declares")
        self._note(path, key, text)
        return text

    def _known(self, path: str, key: str) -> list[str]:
        """Return what the value may be, the most likely first."""
        here, there = self._recent.get(path, ()), self._recent.get(f"*{key}", ())
        found = [self._after[path, here[0]]] if here and (path, here[0]) in self._after else []
        long = self._recent.get(_LONG, ())
        return list(dict.fromkeys([*found, *here, *there, *long]))

    def _note(self, path: str, key: str, text: str) -> None:
        here = self._recent.get(path)
        if here:
            self._after[path, here[0]] = text
        long = [_LONG] if len(text) >= _LONGER and text[0] not in "[{" else []
        for name in (path, f"*{key}", *long):
            held = self._recent.setdefault(name, [])
            if text in held:
                held.remove(text)
            held.insert(0, text)
            del held[_KEPT if name != _LONG else _FEW :]

    def _hit(self, path: str, key: str, known: Sequence[str], told: Node | None) -> str | None:
        bit = self.coder.bit
        lately = self._hits.get(path, 1)
        contexts = [("hit", path), ("hit", path, lately), ("hit", key, min(len(known), 3))]
        place = None if told is None else known.index(told.text) if told.text in known else -1
        hit = bit(["hit", *contexts], None if place is None else int(place >= 0))
        self._hits[path] = (2 * lately + hit) & 7
        if not hit:
            return None
        for number in range(len(known) - 1):
            here = [("which", number, path), ("which", number, len(known))]
            if bit(["which", *here], None if place is None else int(place == number)):
                return known[number]
        return known[-1]

    def _parts(self, path: str, key: str, told: Node | None, depth: int) -> str:
        if depth > DEEPEST:
            raise damaged("has lists within lists")
        contexts = [("kind", path), ("kind", key)]
        kind = self.coder.among(contexts, 3, None if told is None else told.kind)
        if kind == _NUMBER:
            text = self._number(path, None if told is None else told.text)
        elif kind == _TEXT:
            letters = self.letters(path, None if told is None else json.loads(told.text))
            text = json.dumps(letters)
        elif kind == _LIST:
            return self._list(path, key, told, depth)
        elif kind == _MAPPING:
            return self._mapping(path, key, told, depth)
        elif kind < len(_WORDS):
            text = _WORDS[kind]
        else:
            raise damaged("has a value of no type")
        self.left -= len(text)
        return text

    def _list(self, path: str, key: str, told: Node | None, depth: int) -> str:
        count = self.coder.number(
            [("count", path), ("count", key)], None if told is None else len(told.parts)
        )
        self.left -= 2 + count
        if self.left < 0:
            raise damaged("has a longer text than it declares")
        inner, texts = f"{path}[]", list[str]()
        for number in range(count):
            if not number:
                self._numbers[f"{inner}<"] = self._numbers.pop(inner, (0, 0, 0))
            part = None if told is None else told.parts[number]
            texts.append(self._value(inner, f"{key}[]", part, depth + 1))
        values = [_float(one) for one in texts]
        if count > 2:
            self._rising[inner] = all(
                a is not None and b is not None and a <= b for a, b in pairwise(values)
            )
        return _listed(texts)

    def _mapping(self, path: str, key: str, told: Node | None, depth: int) -> str:
        given = None if told is None else told.parts[0]
        keys = self._value(f"{path}#", f"{key}#", given, depth + 1)
        self.left -= 1
        names = json.loads(keys)
        if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
            raise damaged("has keys that are no words")
        texts = [
            self._value(
                f"{path}.{name}", name, None if told is None else told.parts[1 + place], depth + 1
            )
            for place, name in enumerate(names)
        ]
        return _mapped([json.dumps(name) for name in names], texts)

    def _number(self, path: str, told: str | None) -> str:
        coder = self.coder
        form = None
        if told is not None:
            form = _DIGITS if _split(told) else _RATIO if _ratio(told) else _LETTERS
            if form == _DIGITS and len(told) > 14 and _ratio(told):
                form = _RATIO
        form = coder.among([("form", path)], 2, form)
        if form == _DIGITS:
            return self._digits(path, None if told is None else _split(told))
        if form == _RATIO:
            over, under = (None, None) if told is None else _ratio(told) or (None, None)
            under = coder.number([("under", path)], under)
            over = coder.number([("over", path), ("over", under)], over)
            if not 1 < under <= _MOST_PARTS or over > 1 << 20:
                raise damaged("has a ratio of none that are written")
            return repr(over / under)
        text = self.letters(f"{path}~", told)
        if not _ANY.fullmatch(text):
            raise damaged("has a number that is none")
        return text

    def _digits(self, path: str, told: tuple[str, int, int] | None) -> str:
        """Code a number by its digits: where the point is, the whole number, and its mark."""
        coder = self.coder
        mark, size, places = told or (None, None, None)
        before = self._numbers.get(path)
        last = before or self._numbers.get(f"{path}<") or (0, 0, 0)
        shift = coder.number([("places", path), ("places", path, last[1])], places)
        if shift > 32:
            raise damaged("has a number of too many digits")
        scaled = last[0] * 10**shift // 10 ** last[1]
        if before and self._rising.get(path):
            more = coder.signed(
                [("more", path, shift), ("more", path)], None if size is None else size - scaled
            )
            found = scaled + more
        else:
            found = coder.signed(
                [("size", path, shift), ("size", path, scaled.bit_length())],
                size,
            )
        text = _joined(found, shift)
        if shift and not _exact(text):
            contexts = [("mark", path, last[2]), ("mark", path, shift)]
            marked = coder.bit(["mark", *contexts], None if mark is None else int(mark == "~"))
        else:
            marked = coder.bit(["marked"], None if mark is None else int(mark == "~"))
        self._numbers[path] = found, shift, marked
        return f"~{text}" if marked else text

    def letters(self, path: str, told: str | None) -> str:
        """Code a word."""
        coder = self.coder
        if coder.trains and told is not None:
            return told
        is_hex = None if told is None else int(bool(_HEX.fullmatch(told)))
        if coder.bit(["hex", ("hex", path)], is_hex):
            count = coder.number([("digits", path)], None if told is None else len(told))
            self._spend(count)
            number = coder.even(4 * count, None if told is None else int(told, 16))
            return f"{number:0{count}x}"
        data = None if told is None else told.encode() + _END
        found = bytearray()
        one = two = three = 0
        while True:
            place = min(len(found), 3)
            contexts = [
                ("letter", path if place < 1 else one),
                ("letter", one, two),
                ("letter", one, two, three),
                ("letter", path, place, one),
            ]
            letter = coder.among(contexts, 8, None if data is None else data[len(found)])
            if letter == _END[0]:
                break
            self._spend(1)
            found.append(letter)
            one, two, three = letter, one, two
        try:
            return found.decode()
        except UnicodeDecodeError as error:
            raise damaged("has a word that is none") from error

    def _spend(self, count: int) -> None:
        if count > self.left:
            raise damaged("has a longer text than it declares")


def _split(text: str) -> tuple[str, int, int] | None:
    """Return a number's mark, its digits as a whole number, and how many are behind the point."""
    found = _PLAIN.fullmatch(text)
    if not found:
        return None
    mark, sign, whole, rest = found[1], found[2], found[3], found[4] or ""
    size = int(whole + rest) * (-1 if sign else 1)
    fits = size.bit_length() < 64 and len(rest) <= 32
    return (
        (mark, size, len(rest))
        if fits and _joined(size, len(rest)) == sign + whole + (f".{rest}" if rest else "")
        else None
    )


def _joined(size: int, places: int) -> str:
    digits = str(abs(size)).zfill(places + 1)
    point = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return f"-{point}" if size < 0 else point


def _ratio(text: str) -> tuple[int, int] | None:
    """Return two small numbers whose ratio has this text; None where there are none."""
    if len(text) < 8 or text[0] in "-~":
        return None
    found = Fraction(float(text)).limit_denominator(_MOST_PARTS)
    over, under = found.numerator, found.denominator
    fits = under > 1 and over <= 1 << 20 and repr(over / under) == text
    return (over, under) if fits else None


def _exact(text: str) -> bool:
    """Return whether a number is float32 as it is, so that a mark would say nothing."""
    with np.errstate(over="ignore"):
        return float(np.float32(float(text))) == float(text)


def _float(text: str) -> float | None:
    try:
        return float(text.removeprefix("~"))
    except ValueError:
        return None
