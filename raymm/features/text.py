"""Free text as words that count, the number of words, and marks such as digits and links.

Words are what `raymm.features.words.words` says: ASCII letters in lower case, cut at spaces, tabs
and line ends. The graph's operators decide this: StringNormalizer with locale "C" lowers ASCII
letters alone, on every machine, and StringSplit cuts at spaces alone, to which the graph adds a cut
for each of the other separators that training texts hold. Measured with onnxruntime 1.32.

Of the words seen in at least `LEAST` rows, the `LARGEST` that tell most about the target (by the
chi-square statistic of presence against class, or against halves of a number) make a feature.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Column
from raymm.features.scaled_number import Scaling
from raymm.features.transform import Transform
from raymm.features.words import MARKS, SEPARATORS, read_texts
from raymm.onnx_builder import FLOAT, GraphBuilder
from raymm.plugins import transform

LARGEST = 1000
COUNTED, COUNTED_ROWS = 400, 25
"""Most words that are counted for trees, or one for so many rows where that is more."""
LEAST = 3
_CELLS = 50_000_000
"""Most cells of training rows by words (200 MB as float32)."""
_FIRST_WORD = "\x01"
"""Put before every text in the graph, so that an empty one still has a word; no feature."""


class _Words(Transform):
    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.vocabulary: tuple[str, ...] = ()
        self.separators = ""
        self.marks: tuple[str, ...] = ()

    def fit(self, values: npt.NDArray[Any], y: npt.NDArray[Any]) -> Self:
        """Learn separators, marks that differ between rows, and the vocabulary."""
        texts: list[str] = values.tolist()
        self.separators = "".join(c for c in SEPARATORS if any(c in text for text in texts))
        read = read_texts(texts, self.separators)
        self.marks = tuple(
            mark for i, mark in enumerate(MARKS) if len(texts) and np.ptp(read.marks[:, i]) > 0
        )
        row, word = read.distinct()
        rows = np.bincount(word, minlength=len(read.words))
        spelled = read.words
        frequent = np.flatnonzero(rows >= LEAST).tolist()
        known = np.array(
            sorted((n for n in frequent if spelled[n] != _FIRST_WORD), key=spelled.__getitem__),
            dtype=np.int64,
        )
        score = _association(row, word, known, _as_classes(y))
        order = np.lexsort((np.arange(len(known)), -score))[: self._most(len(texts))]
        self.vocabulary = tuple(sorted(spelled[n] for n in known[order].tolist()))
        return self

    def _most(self, rows: int) -> int:
        """Return how many words may be features at most."""
        return min(LARGEST, max(1, _CELLS // max(1, rows)))

    def _read(
        self, values: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return counts by word, (n, words); all words of each text, (n, 1); and its marks."""
        read = read_texts(values.tolist(), self.separators)
        counts = np.zeros((len(values), len(self.vocabulary)), dtype=np.float32)
        row, place = read.rows, read.places(self.vocabulary)
        found = place >= 0
        np.add.at(counts.reshape(-1), row[found] * counts.shape[1] + place[found], np.float32(1.0))
        chosen = [i for i, mark in enumerate(MARKS) if mark in self.marks]
        return counts, read.lengths[:, None].astype(np.float32), read.marks[:, chosen]

    def _graph_counts(self, builder: GraphBuilder, tensor: str) -> tuple[str, str]:
        flat = builder.node("Reshape", [tensor, builder.constant([-1], np.int64)])
        text = builder.node(
            "StringNormalizer", [flat], case_change_action="LOWER", is_case_sensitive=1, locale="C"
        )
        start = builder.constant(np.array([_FIRST_WORD + " "], dtype=object), object)
        text = builder.node("StringConcat", [start, text])
        for separator in self.separators:
            text = builder.nodes("StringSplit", [text], outputs=2, delimiter=separator)[0]
        text, count = builder.nodes("StringSplit", [text], outputs=2)
        if self.separators:
            text = builder.node("Reshape", [text, builder.constant([0, -1], np.int64)])
            count = builder.node("Reshape", [count, builder.constant([0, -1], np.int64)])
            count = builder.node("ReduceSum", [count, builder.constant([1], np.int64)], keepdims=0)
        total = builder.node("Sub", [count, builder.constant(1, np.int64)])
        total = builder.node("Reshape", [total, builder.constant([-1, 1], np.int64)])
        return text, builder.node("Cast", [total], to=FLOAT)

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

    @property
    def names(self) -> tuple[str, ...]:
        """One a word, the number of words, one a mark."""
        column = self.column.name
        terms = [f'{column} has "{word}"' for word in self.vocabulary]
        return (*terms, f"{column} words", *(f"{column} has {mark}" for mark in self.marks))


@transform("text")
class Text(_Words):
    """How often each word occurs, the number of words, and the marks: whole numbers all."""

    def transform(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return shape (n, words + 1 + marks)."""
        return np.hstack(self._read(values))

    def _most(self, rows: int) -> int:
        """Return fewer words where rows are few: a booster looks at every one in each round.

        On 4,500 messages, 400 words were as good as 1,000 (0.9895 against 0.9892 of area under the
        curve for slow small trees of LightGBM, 0.9897 against 0.9875 for fast ones; XGBoost's fell
        from 0.9860 to 0.9859), in 60 % of the time or less. One table, three folds.
        """
        return min(super()._most(rows), max(COUNTED, rows // COUNTED_ROWS))

    def to_onnx(self, builder: GraphBuilder, tensor: str) -> str:
        """Add splitting, counting and matching."""
        text, total = self._graph_counts(builder, tensor)
        counts = [self._graph_vocabulary(builder, text)] if self.vocabulary else []
        parts = [*counts, total, *self._graph_marks(builder, tensor)]
        return builder.node("Concat", parts, axis=1)


@transform("scaled_text")
class ScaledText(_Words):
    """Presence of each word by its rarity, over the root of the text's length; marks as 0, 1.

    The weight is ``(1 + log((1 + n) / (1 + rows with the word))) / sqrt(1 + words)``: TF-IDF
    with presence for frequency, since a repeated word adds little, and a length that needs no
    sum of rounded squares, so that both forms agree to the last bit.
    """

    def fit(self, values: npt.NDArray[Any], y: npt.NDArray[Any]) -> Self:
        """Learn words, their rarity, and the scale of the length."""
        super().fit(values, y)
        counts, totals, _ = self._read(values)
        rows = (counts > 0).sum(axis=0)
        self.rarity = (1.0 + np.log((1.0 + len(values)) / (1.0 + rows))).astype(np.float32)[None]
        self.scale = Scaling().fit(totals[:, 0])
        return self

    def transform(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return shape (n, words + 1 + marks)."""
        counts, totals, marks = self._read(values)
        np.minimum(counts, np.float32(1.0), out=counts)
        counts *= self.rarity
        counts /= np.sqrt(totals + np.float32(1.0))
        length = self.scale(totals[:, 0])[:, None]
        return np.hstack([counts, length, marks])

    def to_onnx(self, builder: GraphBuilder, tensor: str) -> str:
        """Add splitting, counting, weighing and matching."""
        text, total = self._graph_counts(builder, tensor)
        parts = [self.scale.to_onnx(builder, total), *self._graph_marks(builder, tensor)]
        if self.vocabulary:
            counts = self._graph_vocabulary(builder, text)
            present = builder.node("Min", [counts, builder.constant(1.0)])
            weighed = builder.node("Mul", [present, builder.constant(self.rarity)])
            root = builder.node("Sqrt", [builder.node("Add", [total, builder.constant(1.0)])])
            parts.insert(0, builder.node("Div", [weighed, root]))
        return builder.node("Concat", parts, axis=1)


def _as_classes(y: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if np.issubdtype(y.dtype, np.integer) or y.size == 0:
        return np.asarray(y, dtype=np.int64)
    return np.asarray(y > np.median(y), dtype=np.int64)


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
