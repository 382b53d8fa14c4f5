"""Cuts texts into words and finds marks in them, once for all folds and encodings.

Every fold of a search reads most of the same texts, several times. What was read is remembered in
this process, up to `BYTES`; then all of it is forgotten.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

BYTES = 250_000_000
"""What is remembered at most, as it is counted for each text (`_Memory.read`)."""
_GAPS = (
    r"\x00-\x20\x7f-\xa0"
    "\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufe00-\ufe0f\ufeff"
)
"""Control characters, spaces and marks without width: they part words and are none."""
_SIGNS = (
    r"!-/:-@\[-`{-~\xa1-\xbf\xd7\xf7"
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
    "\u2010-\u2027\u2030-\u205e\u20a0-\u20cf\u2190-\u2bff\u3001-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\U0001f000-\U0001faff"
)
"""Punctuation, currencies, symbols, and what is written without spaces (Chinese, Japanese,
Thai, Lao, Burmese, Khmer)."""
START = "\x01"
"""Put before every text in the graph, so that an empty one still has a word."""
WORD = f"[^{_GAPS}{_SIGNS}]+|[{_SIGNS}]|{START}"
"""A run of letters and digits of any script, or a single sign. Negated and plain sets of code
points alone, so that Python's re and RE2 cut alike."""
MARKS = {
    "long number": "[0-9]{5}",
    "link": "[Hh][Tt][Tt][Pp]|[Ww][Ww][Ww][.]",
    "capitals": "[A-Z]{3}",
}
"""Patterns searched in the text as written; they read alike in Python's re and in RE2."""
COUNTS = {"digits": "[0-9]", "capitals": "[A-Z]"}
"""Patterns of single characters, counted in the text as written."""
_SEARCHES = tuple(re.compile(pattern).search for pattern in MARKS.values())
_FINDS = tuple(re.compile(pattern).findall for pattern in COUNTS.values())
_words = re.compile(WORD).findall


def words(text: str) -> list[str]:
    r"""Cut a text into words as the graph does.

    >>> words("Call  NOW,\nÄrzte! £5")
    ['call', 'now', ',', 'Ärzte', '!', '£', '5']
    """
    return _words(text.lower() if text.isascii() else _lower_ascii(text))


def _lower_ascii(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Texts as numbers of words.

    Attributes
    ----------
    words : list of str
        The word of each number; holds words of other texts too, and grows as more are read.
    numbers : dict
        The number of each word.
    codes : int64, shape (total,)
        The words of all texts, one text after the other.
    lengths : int64, shape (n,)
        How many words each text has.
    marks : float32, shape (n, len(MARKS))
        1 where a text has the mark, else 0.
    counts : float32, shape (n, len(COUNTS))
        How many of the characters a text has.
    """

    words: list[str]
    numbers: dict[str, int]
    codes: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    marks: npt.NDArray[np.float32]
    counts: npt.NDArray[np.float32]

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """The text that each of `codes` stands in, shape (total,)."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def distinct(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return each pair of a text and a word in it once: two arrays of one length."""
        width = int(self.codes.max(initial=0)) + 1
        pairs = np.unique(self.rows * width + self.codes)
        return pairs // width, pairs % width

    def places(self, vocabulary: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return where in a vocabulary each of `codes` is, shape (total,); -1 where it is not."""
        # Others may be adding words meanwhile, whose numbers are larger than any of `codes`.
        place = np.full(int(self.codes.max(initial=0)) + 1, -1, dtype=np.int64)
        for position, word in enumerate(vocabulary):
            number = self.numbers.get(word, len(place))
            if number < len(place):
                place[number] = position
        found: npt.NDArray[np.int64] = place[self.codes]
        return found


@dataclass(frozen=True, slots=True)
class _Read:
    codes: npt.NDArray[np.int32]
    marks: tuple[bool, ...]
    counts: tuple[int, ...]


@dataclass(slots=True)
class _Memory:
    """What was read of each text."""

    words: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    held: dict[str, _Read] = field(default_factory=dict)
    size: int = 0

    def read(self, text: str) -> _Read:
        known = self.held.get(text)
        if known is None:
            codes = []
            for word in words(text):
                number = self.numbers.setdefault(word, len(self.words))
                if number == len(self.words):
                    self.words.append(word)
                codes.append(number)
            known = _Read(
                np.array(codes, dtype=np.int32),
                tuple(search(text) is not None for search in _SEARCHES),
                tuple(len(find(text)) for find in _FINDS),
            )
            if self.size <= BYTES:
                self.held[text] = known
                # The text, its codes, and what an entry and its few objects take besides.
                self.size += 2 * len(text) + 4 * len(codes) + 450
        return known


_memory = _Memory()
_lock = threading.Lock()


def read_texts(texts: Sequence[str]) -> Texts:
    """Return the words, marks and counts of texts."""
    global _memory
    with _lock:
        memory = _memory
        read = [memory.read(text) for text in texts]
        if memory.size > BYTES:
            _memory = _Memory()
    codes = [one.codes for one in read]
    rows = len(texts)
    return Texts(
        words=memory.words,
        numbers=memory.numbers,
        codes=np.concatenate([np.zeros(0, np.int32), *codes]).astype(np.int64),
        lengths=np.array([len(part) for part in codes], dtype=np.int64),
        marks=np.array([one.marks for one in read], np.float32).reshape(rows, len(MARKS)),
        counts=np.array([one.counts for one in read], np.float32).reshape(rows, len(COUNTS)),
    )
