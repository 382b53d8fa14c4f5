"""Cuts texts into words, and finds marks in them, once for all folds and encodings.

Every fold of a search reads most of the same texts, several times. What was read is remembered in
this process, up to `CHARACTERS` of text; then all of it is forgotten.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

CHARACTERS = 30_000_000
"""Characters of texts that are remembered: about 250 MB with their words."""
SEPARATORS = "\t\n\r"
MARKS = {
    "digit": "[0-9]",
    "long number": "[0-9]{5}",
    "link": "[Hh][Tt][Tt][Pp]|[Ww][Ww][Ww][.]",
    "exclamation": "!",
    "question": "[?]",
    "capitals": "[A-Z]{3}",
    "at sign": "@",
    "currency": "[$£€]",
}
"""Patterns searched in the text as written; they read alike in Python's re and in RE2."""
_SEARCHES = tuple(re.compile(pattern).search for pattern in MARKS.values())


def words(text: str, separators: str = SEPARATORS) -> list[str]:
    r"""Cut a text into words as the graph does.

    >>> words("Call  NOW,\nÄrzte!")
    ['call', 'now,', 'Ärzte!']
    """
    lowered = text.lower() if text.isascii() else _lower_ascii(text)
    for separator in separators:
        lowered = lowered.replace(separator, " ")
    return [word for word in lowered.split(" ") if word]


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
    """

    words: list[str]
    numbers: dict[str, int]
    codes: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    marks: npt.NDArray[np.float32]

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


@dataclass(slots=True)
class _Memory:
    """What was read with the same separators: for each text its words and its marks."""

    words: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    held: dict[str, tuple[npt.NDArray[np.int32], tuple[bool, ...]]] = field(default_factory=dict)
    size: int = 0

    def read(self, text: str, separators: str) -> tuple[npt.NDArray[np.int32], tuple[bool, ...]]:
        known = self.held.get(text)
        if known is None:
            codes = []
            for word in words(text, separators):
                number = self.numbers.setdefault(word, len(self.words))
                if number == len(self.words):
                    self.words.append(word)
                codes.append(number)
            marks = tuple(search(text) is not None for search in _SEARCHES)
            known = self.held[text] = np.array(codes, dtype=np.int32), marks
            self.size += len(text)
        return known


_memories: dict[str, _Memory] = {}
_lock = threading.Lock()


def read_texts(texts: Sequence[str], separators: str = SEPARATORS) -> Texts:
    """Return the words and marks of texts; ``separators`` as in `words`."""
    with _lock:
        memory = _memories.setdefault(separators, _Memory())
        read = [memory.read(text, separators) for text in texts]
        if sum(one.size for one in _memories.values()) > CHARACTERS:
            _memories.clear()
    codes = [part for part, _ in read]
    return Texts(
        words=memory.words,
        numbers=memory.numbers,
        codes=np.concatenate([np.zeros(0, np.int32), *codes]).astype(np.int64),
        lengths=np.array([len(part) for part in codes], dtype=np.int64),
        marks=np.array([marks for _, marks in read], np.float32).reshape(len(texts), len(MARKS)),
    )
