"""Tells sentences from names of groups, in scripts with blanks between words and without."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

_IDEOGRAPH = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_SYLLABIC = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
_PER_WORD, _PER_SYLLABIC_WORD = 2, 5


def is_text(words: list[str], rows: npt.NDArray[np.int64]) -> bool:
    """Return whether words are sentences rather than names of groups.

    Text is long (more than 50 characters on average, in several words), or is nearly always
    another text in each row and consists of several words. Where a script parts its words by no
    blanks, two characters count as a word and as four letters (Chinese, Japanese), or five as a
    word (Thai, Lao, Burmese, Khmer).

    Parameters
    ----------
    words : list of str
        Distinct cells, at least one.
    rows : int64, shape (len(words),)
        Rows that hold each.
    """
    sizes = [_size(word) for word in words]
    several = sum(parts for parts, _ in sizes) / len(words)
    length = sum(width for _, width in sizes) / len(words)
    different = len(words) / int(rows.sum())
    if several < 1.5:
        return False
    if len(words) > 20 and length > 50:
        return True
    return len(words) >= 10 and different > 0.5 and (several >= 2 or different > 0.9)


def _size(word: str) -> tuple[float, int]:
    """Return of how many words a cell consists, and its length in letters."""
    parts = len(word.split())
    if word.isascii():
        return parts, len(word)
    ideographs = len(_IDEOGRAPH.findall(word))
    within = ideographs / _PER_WORD + len(_SYLLABIC.findall(word)) / _PER_SYLLABIC_WORD
    return max(parts, within), len(word) + ideographs
