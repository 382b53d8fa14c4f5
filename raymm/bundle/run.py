"""Runs a bundle in onnxruntime."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Kind, Schema, Tensors
from raymm.bundle.blend import decided
from raymm.bundle.compiled import compiled as compile_
from raymm.bundle.graph import PREDICTION, PROBABILITIES, input_names
from raymm.bundle.heap import grown, held
from raymm.bundle.lowering import lowered
from raymm.bundle.packed import Bundle
from raymm.bundle.safety import require_safe
from raymm.errors import BundleError

_ERRORS, _FATAL = 3, 4
"""Severities of onnxruntime's log. What a session fails at is raised besides, and told once."""
_DTYPE: dict[Kind, np.dtype[Any]] = {
    "number": np.dtype(np.float32),
    "boolean": np.dtype(np.float32),
    "datetime": np.dtype(np.int64),
    "category": np.dtype(object),
    "text": np.dtype(object),
}
_CELLS = 4_000_000
"""Rows in one call times characters of the longest text, and times the longest side of the graph's
matrices: texts are cut into words at once, where a row takes as many places as the longest row has
words, and a model that compares each row with others has a place for each of them. Sets of
categories count as one matrix."""
_ROWS = 16_384
"""Rows in one call at most: the graph makes every feature of all of them before it predicts."""


class Runner:
    """A bundle ready to predict; safe to call from several threads at once.

    Parameters
    ----------
    bundle : Bundle
    threads : int
        How many one call may use; idle ones do not spin.
    compiled : bool
        Whether trees may run in machine code where numba is installed, for predictions rather than
        for proofs of the graph; see `raymm.bundle.compiled`.

    Attributes
    ----------
    heap_bytes : int or None
        Memory that loading it took and keeps, by the C library's count; None where that does not
        tell. The first in a process counts what onnxruntime sets up for all, and one that is loaded
        while other threads are at work counts theirs.

    Raises
    ------
    BundleError
        When the graph is refused by `raymm.bundle.safety.require_safe` or by onnxruntime, or
        its inputs are not those of the schema.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1, compiled: bool = False) -> None:
        before = held()
        self.schema: Schema = bundle.schema
        longest = require_safe(bundle.graph)
        self._rows = max(1, min(_ROWS, _CELLS // longest))
        self._classes = bundle.schema.classes
        weights = np.asarray(bundle.schema.decision, dtype=np.float32)
        self._decision = weights if len(weights) else None
        self._output = [PREDICTION if bundle.schema.task == "regression" else PROBABILITIES]
        names = input_names(bundle.schema)
        self._feeds = tuple(
            (column.name, names[column.name], _DTYPE[column.kind])
            for column in bundle.schema.features
        )
        self._texts = tuple(c.name for c in bundle.schema.features if c.kind == "text")
        self._compiled = compile_(bundle.graph, bundle.schema, threads) if compiled else None
        if self._compiled is not None:
            self.heap_bytes = grown(before)
            return
        made = lowered(bundle.graph, self._output[0])
        self._session = _session(made.graph, threads)
        self._matrices, self._spare = made.matrices, made.spare
        found = {value.name for value in self._session.get_inputs()}
        together = {name for matrix in self._matrices for name in matrix.columns}
        own = {self._spare, *(matrix.name for matrix in self._matrices)}
        found = (found - own) | together
        self._apart = sorted(found - together)
        outputs = {value.name for value in self._session.get_outputs()}
        if found != set(names.values()) or not outputs.issuperset(self._output):
            raise BundleError(
                f"the graph's inputs must be {sorted(names.values())}, but they are "
                f"{sorted(found)} (outputs {sorted(outputs)}). Build the bundle again."
            )
        del made
        self.heap_bytes = grown(before)

    def predict(self, tensors: Tensors) -> npt.NDArray[np.float32]:
        """Predict rows.

        Parameters
        ----------
        tensors : mapping of column name to array, shape (n,)
            At least the schema's feature columns; n may be 0.

        Returns
        -------
        float32
            Probabilities, shape (n, classes), or values, shape (n,).

        Raises
        ------
        BundleError
            When a column is missing, columns differ in length, or onnxruntime fails.
        """
        if self._compiled is not None and (made := self._compiled.one(tensors)) is not None:
            return self._shaped(made)
        try:
            feed = {name: _typed(tensors[column], dtype) for column, name, dtype in self._feeds}
        except KeyError as error:
            raise BundleError(f"the column {error} is missing from the rows.") from error
        rows = set(map(len, feed.values()))
        if len(rows) != 1:
            raise BundleError(f"columns must have equal lengths, but have {sorted(rows)}.")
        count = rows.pop()
        if count == 0:
            return self._shaped(np.zeros((0, max(1, len(self._classes))), dtype=np.float32))
        if self._compiled is not None:
            columns = {column: feed[name] for column, name, _ in self._feeds}
            return self._shaped(self._compiled.many(columns, count))
        if count == 1 or (not self._texts and count <= self._rows):
            return self._run(feed)
        return np.concatenate(
            [
                self._run({name: values[part] for name, values in feed.items()})
                for part in self._slices(tensors, count)
            ]
        )

    def labels(self, predictions: npt.NDArray[Any]) -> list[str] | list[float]:
        """Return what predictions say: the class of each row, or the values.

        ``predictions`` is what `predict` returned. The class is the likeliest one, after the
        schema's ``decision`` where it has one. Ties go to the earlier class.
        """
        if not self._classes:
            return [float(value) for value in predictions]
        if self._decision is not None:
            predictions = predictions * self._decision
        if len(predictions) == 1:
            return [self._classes[predictions[0].argmax()]]  # in a third of the time
        return [self._classes[code] for code in np.argmax(predictions, axis=1).tolist()]

    def judge(self, tensors: Tensors) -> npt.NDArray[np.float32]:
        """Return what a metric on labels is to see: the largest of a row is the label answered.

        It is what `predict` returns, for a bundle whose schema has no ``decision``.
        """
        predictions: npt.NDArray[np.float32] = decided(self.predict(tensors), self.schema.decision)
        return predictions

    def _run(self, feed: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        try:
            return self._shaped(self._session.run(self._output, self._inputs(feed))[0])
        except UnicodeEncodeError:
            return self._run({name: _encodable(values) for name, values in feed.items()})
        except Exception as error:  # onnxruntime's own errors share no base below Exception
            raise BundleError(f"onnxruntime could not run the graph: {error}") from error

    def _inputs(self, feed: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Return what the session reads of columns, shape (n,): matrices stand for some."""
        found: dict[str, npt.NDArray[Any]] = {}
        for name in self._apart:
            found[name] = feed[name].reshape(-1, 1)
        for matrix in self._matrices:
            found[matrix.name] = matrix.of(feed)
        if self._spare:
            found[self._spare] = np.empty(len(next(iter(feed.values()))), np.uint8)
        return found

    def _shaped(self, result: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return result if self._classes else result.reshape(-1)

    def _slices(self, tensors: Tensors, count: int) -> Iterator[slice]:
        if not self._texts:
            yield from (slice(start, start + self._rows) for start in range(0, count, self._rows))
            return
        lengths = np.array(
            [max(map(len, row)) for row in zip(*(tensors[c] for c in self._texts), strict=True)]
        )
        start, longest = 0, 1
        for row, length in enumerate(lengths.tolist()):
            longest = max(longest, length)
            places = (row - start + 1) * longest
            if row > start and (places > _CELLS or row - start == self._rows):
                yield slice(start, row)
                start, longest = row, max(1, length)
        yield slice(start, count)


def _typed(values: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    # asking first is faster than asarray, which counts with many columns of one row
    if type(values) is np.ndarray and values.dtype is dtype and values.ndim == 1:
        return values
    return np.asarray(values, dtype=dtype).reshape(-1)


def _encodable(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Replace lone surrogates, which UTF-8 cannot hold, by question marks."""
    if values.dtype != object:
        return values
    clean = [text.encode("utf-8", "replace").decode("utf-8") for text in values.ravel()]
    return np.array(clean, dtype=object).reshape(values.shape)


def _session(graph: bytes, threads: int) -> Any:
    import onnxruntime

    onnxruntime.set_default_logger_severity(_ERRORS)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no base below Exception
        raise BundleError(f"onnxruntime refuses the graph: {error}") from error
