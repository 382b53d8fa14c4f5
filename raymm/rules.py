"""What a configuration's checks found, in raymm's own words rather than pydantic's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_WORDS: Mapping[str, str] = {
    "greater_than_equal": "at least {ge:g}",
    "greater_than": "above {gt:g}",
    "less_than_equal": "at most {le:g}",
    "less_than": "below {lt:g}",
    "literal_error": "{expected}",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "model_type": "a section of keys",
    "model_attributes_type": "a section of keys",
    "string_pattern_mismatch": "of small letters, digits, dots, hyphens and underscores, "
    "beginning with a letter or digit, 63 at most",
}

_QUOTED = r"'[^']*'"


def reason(item: Mapping[str, Any]) -> str:
    """Return what one of pydantic's errors asks for: ``at least 1``, or a whole sentence.

    A sentence is what a validator of raymm's own said.

    >>> reason({"type": "greater_than_equal", "msg": "Input should be …", "ctx": {"ge": 1}})
    'at least 1'
    """
    words = _WORDS.get(item["type"])
    if words is not None:
        told = words.format(**item.get("ctx", {}))
        of = re.findall(_QUOTED, str(item.get("loc", ("",))[-1])) if told == "a list" else ()
        return f"{told} of {_either(of)}" if of else told
    said: str = item["msg"].removeprefix("Value error, ").removeprefix("must be ")
    return said.removeprefix("Input should be ")


def sentence(key: str, items: Sequence[Mapping[str, Any]]) -> str:
    """Return the errors of one key as one sentence: the rule and the value.

    Where a key may hold one of several kinds, each has its error, and they become one rule; of a
    list that it may hold, what is wrong within is told alone.

    >>> word = {"type": "literal_error", "input": "often", "ctx": {"expected": "'auto'"}}
    >>> sentence("search.plateau", [word, {"type": "int_parsing", "input": "often"}])
    "search.plateau must be 'auto' or a whole number, but got 'often'."
    """
    within = [item for item in items if isinstance(item.get("loc", ("",))[-1], int)]
    words = [one for item in items for one in _literals(item)]
    if 0 < len(within) < len(items) and not _one_word(items, words):
        return f"each of {sentence(key, within)}"
    rest = [reason(item) for item in items if not _literals(item)]
    rules = list(dict.fromkeys([*([_either(words)] if words else []), *rest]))
    plain = [item["input"] for item in items if isinstance(item["input"], str | int | float | bool)]
    shown = plain[0] if plain else None
    told = " or ".join(rules)
    end = "." if shown is None or "but got" in told else f", but got {shown!r}."
    if " must be " in told:
        return f"{key}: {told}{end}"  # a sentence of its own, about keys inside this section
    return f"{key} must be {told}{end}"


def _one_word(items: Sequence[Mapping[str, Any]], words: Sequence[str]) -> bool:
    """Whether a key holds one word that is none of ``words``, which is read as a list of it."""
    lists = [item["input"] for item in items if isinstance(item["input"], list | tuple)]
    word = lists[0][0] if lists and len(lists[0]) == 1 else None
    return isinstance(word, str) and repr(word) not in words


def _literals(item: Mapping[str, Any]) -> list[str]:
    """Return the words of which a key must be one, in their quotes."""
    expected = item.get("ctx", {}).get("expected", "") if item["type"] == "literal_error" else ""
    return re.findall(_QUOTED, expected)


def _either(words: Sequence[str]) -> str:
    """Return words as a person lists them.

    >>> _either(["'a'"]), _either(["'a'", "'b'", "'c'"])
    ("'a'", "'a', 'b' or 'c'")
    """
    *others, last = dict.fromkeys(words)
    return f"{', '.join(others)} or {last}" if others else last
