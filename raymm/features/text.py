"""Free text as words that count, how long it is, and marks such as links and capitals.

Words are what `raymm.features.words.words` says: runs of letters and digits, and single signs.
The graph cuts them with onnxruntime's Tokenizer, for which ONNX has no operator of its own
(StringSplit cuts at one string and leaves "now," and "now" two words: 0.9893 against 0.9943 of
area under the curve for a logistic regression of 5,574 messages), and lowers ASCII letters alone
by StringNormalizer with locale "C", which is the same on every machine.

Of the words seen in at least `LEAST` rows, the `LARGEST` that tell most about the target (by the
chi-square statistic of presence against class, or against halves of a number) make a feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Column
from raymm.features.scaled_number import Scaling
from raymm.features.transform import Transform
from raymm.features.words import COUNTS, MARKS, START, WORD, Texts, read_texts
from raymm.onnx_builder import FLOAT, INT64, RUNTIME_DOMAIN, GraphBuilder
from raymm.plugins import transform

LARGEST = 1000
COUNTED, COUNTED_ROWS = 400, 25
"""Most words that are counted for trees, or one for so many rows where that is more."""
LEAST = 3
_CELLS = 50_000_000
"""Most cells of training rows by words (200 MB as float32)."""
_PAD = "\x02"
"""What the graph fills short rows with; no word, as it is a control character."""
_MOST_COUNTED = 255
"""Characters up to which the logarithm of their number is told apart."""
_LOGARITHM = np.log1p(np.arange(_MOST_COUNTED + 1)).astype(np.float32)


class _Words(Transform):
    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.vocabulary: tuple[str, ...] = ()
        self.marks: tuple[str, ...] = ()
        self.counts: tuple[str, ...] = ()

    def fit(self, values: npt.NDArray[Any], y: npt.NDArray[Any]) -> Self:
        """Learn the marks and counts that differ between rows, and the vocabulary."""
        texts: list[str] = values.tolist()
        read = read_texts(texts)
        self.marks = _varying(MARKS, read.marks)
        self.counts = _varying(COUNTS, read.counts)
        row, word = read.distinct()
        rows = np.bincount(word, minlength=len(read.words))
        spelled = read.words
        frequent = np.flatnonzero(rows >= LEAST).tolist()
        known = np.array(
            sorted((n for n in frequent if spelled[n] != START), key=spelled.__getitem__),
            dtype=np.int64,
        )
        score = _association(row, word, known, _as_classes(y))
        order = np.lexsort((np.arange(len(known)), -score))[: self._most(len(texts))]
        self.vocabulary = tuple(sorted(spelled[n] for n in known[order].tolist()))
        return self

    def _most(self, rows: int) -> int:
        """Return how many words may be features at most."""
        return min(LARGEST, max(1, _CELLS // max(1, rows)))

    def _read(self, values: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float32], Texts]:
        """Return how often each word stands in each text, (n, words), and what else was read."""
        read = read_texts(values.tolist())
        counts = np.zeros((len(values), len(self.vocabulary)), dtype=np.float32)
        row, place = read.rows, read.places(self.vocabulary)
        found = place >= 0
        np.add.at(counts.reshape(-1), row[found] * counts.shape[1] + place[found], np.float32(1.0))
        return counts, read

    def _marks(self, read: Texts) -> npt.NDArray[np.float32]:
        return read.marks[:, [i for i, mark in enumerate(MARKS) if mark in self.marks]]

    def _counts(self, read: Texts) -> npt.NDArray[np.float32]:
        return read.counts[:, [i for i, kind in enumerate(COUNTS) if kind in self.counts]]

    def _graph_words(self, builder: GraphBuilder, tensor: str) -> tuple[str, str]:
        """Add the cutting; return the words, (n, most), and their number, (n, 1)."""
        flat = builder.node("Reshape", [tensor, builder.constant([-1], np.int64)])
        text = builder.node(
            "StringNormalizer", [flat], case_change_action="LOWER", is_case_sensitive=1, locale="C"
        )
        start = builder.constant(np.array([START + " "], dtype=object), object)
        text = _cut(builder, builder.node("StringConcat", [start, text]), WORD)
        total = builder.node("Sub", [_filled(builder, text), builder.constant(1.0)])
        return text, total

    def _graph_vocabulary(self, builder: GraphBuilder, text: str) -> str:
        return builder.node(
            "TfIdfVectorizer",
            [text],
            mode="TF",
            min_gram_length=1,
            max_gram_length=1,
            max_skip_count=0,
            ngram_counts=[0],
            ngram_indexes=list(range(len(self.vocabulary))),
            pool_strings=list(self.vocabulary),
        )

    def _graph_marks(self, builder: GraphBuilder, tensor: str) -> list[str]:
        found = []
        for mark in self.marks:
            pattern = f"(?s).*({MARKS[mark]}).*"
            flag = builder.node("RegexFullMatch", [tensor], pattern=pattern)
            found.append(builder.node("Cast", [flag], to=FLOAT))
        return found

    def _graph_counts(self, builder: GraphBuilder, tensor: str) -> list[str]:
        if not self.counts:
            return []
        flat = builder.node("Reshape", [tensor, builder.constant([-1], np.int64)])
        return [_filled(builder, _cut(builder, flat, COUNTS[kind])) for kind in self.counts]

    @property
    def names(self) -> tuple[str, ...]:
        """One a word, the number of words, one a mark, one a kind of characters."""
        column = self.column.name
        terms = [f'{column} has "{word}"' for word in self.vocabulary]
        marks = [f"{column} has {mark}" for mark in self.marks]
        return (*terms, f"{column} words", *marks, *(f"{column} {kind}" for kind in self.counts))


@transform("text")
class Text(_Words):
    """How often each word and kind of character occurs, the number of words, and the marks."""

    def transform(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return whole numbers, shape (n, words + 1 + marks + kinds)."""
        counts, read = self._read(values)
        total = read.lengths[:, None].astype(np.float32)
        return np.hstack([counts, total, self._marks(read), self._counts(read)])

    def _most(self, rows: int) -> int:
        """Return fewer words where rows are few: a booster looks at every one in each round.

        On 4,500 messages, 400 words were as good as 1,000 (0.9895 against 0.9892 of area under the
        curve for slow small trees of LightGBM, 0.9897 against 0.9875 for fast ones; XGBoost's fell
        from 0.9860 to 0.9859), in 60 % of the time or less. One table, three folds.
        """
        return min(super()._most(rows), max(COUNTED, rows // COUNTED_ROWS))

    def to_onnx(self, builder: GraphBuilder, tensor: str) -> str:
        """Add splitting, counting and matching."""
        text, total = self._graph_words(builder, tensor)
        counts = [self._graph_vocabulary(builder, text)] if self.vocabulary else []
        marks = self._graph_marks(builder, tensor)
        parts = [*counts, total, *marks, *self._graph_counts(builder, tensor)]
        return builder.node("Concat", parts, axis=1)


@transform("scaled_text")
class ScaledText(_Words):
    """Presence of each word by its rarity, over the root of the text's length; marks as 0, 1.

    Characters are counted up to 255, by the logarithm of one more than their number.

    The weight is ``(1 + log((1 + n) / (1 + rows with the word))) / sqrt(1 + words)``: TF-IDF
    with presence for frequency, since a repeated word adds little, and a length that needs no
    sum of rounded squares, so that both forms agree to the last bit.
    """

    def fit(self, values: npt.NDArray[Any], y: npt.NDArray[Any]) -> Self:
        """Learn words, their rarity, and the scale of the length."""
        super().fit(values, y)
        counts, read = self._read(values)
        rows = (counts > 0).sum(axis=0)
        self.rarity = (1.0 + np.log((1.0 + len(values)) / (1.0 + rows))).astype(np.float32)[None]
        self.scale = Scaling().fit(read.lengths.astype(np.float32))
        return self

    def transform(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return shape (n, words + 1 + marks + kinds)."""
        counts, read = self._read(values)
        totals = read.lengths.astype(np.float32)
        np.minimum(counts, np.float32(1.0), out=counts)
        counts *= self.rarity
        counts /= np.sqrt(totals + np.float32(1.0))[:, None]
        length = self.scale(totals)[:, None]
        kinds = _LOGARITHM[np.minimum(self._counts(read), _MOST_COUNTED).astype(np.int64)]
        return np.hstack([counts, length, self._marks(read), kinds])

    def to_onnx(self, builder: GraphBuilder, tensor: str) -> str:
        """Add splitting, counting, weighing and matching."""
        text, total = self._graph_words(builder, tensor)
        parts = [self.scale.to_onnx(builder, total), *self._graph_marks(builder, tensor)]
        for count in self._graph_counts(builder, tensor):
            held = builder.node("Min", [count, builder.constant(float(_MOST_COUNTED))])
            place = builder.node("Cast", [held], to=INT64)
            parts.append(builder.node("Gather", [builder.constant(_LOGARITHM), place]))
        if self.vocabulary:
            counts = self._graph_vocabulary(builder, text)
            present = builder.node("Min", [counts, builder.constant(1.0)])
            weighed = builder.node("Mul", [present, builder.constant(self.rarity)])
            root = builder.node("Sqrt", [builder.node("Add", [total, builder.constant(1.0)])])
            parts.insert(0, builder.node("Div", [weighed, root]))
        return builder.node("Concat", parts, axis=1)


def _varying(kinds: Mapping[str, str], found: npt.NDArray[np.float32]) -> tuple[str, ...]:
    """Return the kinds, in order, of which texts have different numbers."""
    if not len(found):
        return ()
    return tuple(kind for i, kind in enumerate(kinds) if np.ptp(found[:, i]) > 0)


def _cut(builder: GraphBuilder, text: str, pattern: str) -> str:
    """Add what finds a pattern, (n,) to (n, most); short rows are filled up."""
    return builder.node(
        "Tokenizer",
        [text],
        domain=RUNTIME_DOMAIN,
        mark=0,
        mincharnum=1,
        pad_value=_PAD,
        tokenexp=pattern,
    )


def _filled(builder: GraphBuilder, cut: str) -> str:
    """Add what counts the cells that are not filled up, (n, most) to (n, 1)."""
    pad = builder.constant(np.array(_PAD, dtype=object), object)
    found = builder.node("Not", [builder.node("Equal", [cut, pad])])
    found = builder.node("Cast", [found], to=FLOAT)
    return builder.node("ReduceSum", [found, builder.constant([1], np.int64)], keepdims=1)


def _as_classes(y: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if np.issubdtype(y.dtype, np.integer) or y.size == 0:
        return np.asarray(y, dtype=np.int64)
    middle = np.median(y)
    high = y > middle
    # Where half of the values are the largest, as with ratings, the others are the lower half.
    return np.asarray(high if high.any() else y >= middle, dtype=np.int64)


def _association(
    row: npt.NDArray[np.int64],
    word: npt.NDArray[np.int64],
    known: npt.NDArray[np.int64],
    classes: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Return the chi-square of each word's presence over the classes, shape (len(known),).

    ``row`` and ``word`` name each pair of a row and a word in it once; ``known`` are the words
    that are asked for.
    """
    if not len(known):
        return np.zeros(0)
    share = np.bincount(classes) / len(classes)
    place = np.full(int(max(word.max(), known.max())) + 1, -1, dtype=np.int64)
    place[known] = np.arange(len(known))
    asked = place[word] >= 0
    cell = place[word[asked]] * len(share) + classes[row[asked]]
    table = np.bincount(cell, minlength=len(known) * len(share)).reshape(len(known), -1)
    rows = table.sum(axis=1, keepdims=True)
    used = share > 0
    expected = rows * share[used]
    return np.asarray(((table[:, used] - expected) ** 2 / expected).sum(axis=1))
