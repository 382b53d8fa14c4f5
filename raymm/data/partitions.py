"""Reads the columns that the folders of a table's files are named by, as in year=2023/part-0."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

_PART = re.compile(r"([^=/\\]+)=([^/\\]*)").fullmatch
_NONE = "__HIVE_DEFAULT_PARTITION__"


def partitions(names: Sequence[str]) -> dict[str, list[str]]:
    """Return the values, one a file, of each key that all files' folders name; by its key.

    A value that is the same for all files is left out: it may name a folder above the table's,
    and nothing can be learnt of it. Hive's word for a missing value is the empty text.

    >>> partitions(["t/year=2023/a.csv", "t/year=2024/a.csv"])
    {'year': ['2023', '2024']}
    """
    found = [_pairs(name) for name in names]
    keys = [key for key in found[0] if all(key in pairs for pairs in found)] if found else []
    held = {key: [pairs[key] for pairs in found] for key in keys}
    return {key: values for key, values in held.items() if len(set(values)) > 1}


def _pairs(name: str) -> dict[str, str]:
    folders = re.split(r"[/\\]", name)[:-1]
    matches = [match for match in map(_PART, folders) if match]
    pairs = {unquote(match[1]): unquote(match[2]) for match in matches}
    return {key: "" if value == _NONE else value for key, value in pairs.items()}
