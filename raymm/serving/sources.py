"""Where the service's models come from: fixed ones, or one that is polled for a newer version."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from raymm.artifacts import Schema, Statistics, Tensors
from raymm.errors import NotFound, ServingError
from raymm.serving.protocol import AnswerWriter, RecordReader, example

Load = Callable[[int | None], tuple[int, bytes] | None]
"""Called with the version number that is served (None at first); returns a newer version's number
and its bundle's bytes, or None where there is none."""

_log = logging.getLogger("raymm.serving")


class Predictor(Protocol):
    """What the service needs of a runner; `raymm.bundle.run.Runner` is one."""

    schema: Schema

    def predict(self, tensors: Tensors) -> Any:
        """Return float32 probabilities of shape (n, classes), or values of shape (n,)."""
        ...

    def labels(self, predictions: Any) -> Any:
        """Return the classes, or the values, of n predictions."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A version that answers requests.

    Attributes
    ----------
    number : int
        The version's number in the registry.
    sha256 : str
        Of the bundle file.
    reader : RecordReader
        Made from the schema.
    writer : AnswerWriter
        Made from the schema, the name and the number.
    row_seconds : float
        What the example row took through the graph, when it was loaded.
    """

    name: str
    number: int
    sha256: str
    runner: Predictor
    schema: Schema
    statistics: Statistics | None = None
    row_seconds: float = 0.0
    reader: RecordReader = field(init=False)
    writer: AnswerWriter = field(init=False)

    def __post_init__(self) -> None:
        about = {"model": self.name, "version": self.number}
        object.__setattr__(self, "reader", RecordReader(self.schema))
        object.__setattr__(self, "writer", AnswerWriter(self.schema, about))


class ModelSource(Protocol):
    """Leads from a model's name to the version that answers now."""

    def names(self) -> tuple[str, ...]:
        """Return the models' names, sorted, whether loaded or not."""
        ...

    def get(self, name: str) -> Served:
        """Return the version of that model; raises NotFound when there is none."""
        ...


class FixedModels:
    """Models that never change.

    Parameters
    ----------
    served : Served
        One or more, of different names.
    """

    def __init__(self, *served: Served) -> None:
        self._served = {one.name: one for one in served}

    def names(self) -> tuple[str, ...]:
        """Return the models' names, sorted."""
        return tuple(sorted(self._served))

    def get(self, name: str) -> Served:
        """Return the model of that name; raises NotFound."""
        if name not in self._served:
            raise _unknown(name, self.names())
        return self._served[name]


class PolledModel:
    """One model whose newest version is looked for every few seconds.

    A newer version is loaded, warmed with an example row and only then swapped in, so that
    requests see either the old one or the new one. A version that cannot be loaded leaves the old
    one serving; it is logged, told by `failure`, and not tried again until another was offered.

    Parameters
    ----------
    load : Load
        Fetches a newer version; may take its time.
    poll : float
        Seconds between two looks.
    prepare : callable or None
        Makes a `Served` of (name, number, bytes); None reads a bundle.
    """

    def __init__(
        self,
        name: str,
        load: Load,
        *,
        poll: float = 2.0,
        prepare: Callable[[str, int, bytes], Served] | None = None,
    ) -> None:
        self._name = name
        self._load = load
        self._poll = poll
        self._prepare = prepare or from_bundle
        self._served: Served | None = None
        self._failed: int | None = None
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.failure = ""

    def start(self) -> None:
        """Load the first version and begin to look for newer ones in a daemon thread.

        Raises
        ------
        ServingError
            When there is no version to serve, or it cannot be loaded.
        """
        self.refresh()
        if self._served is None:
            told = self.failure or "no version is promoted"
            raise ServingError(
                f'model "{self._name}" cannot be served: {told}. '
                f"Promote a version with: raymm promote {self._name} NUMBER"
            )
        self._thread = threading.Thread(target=self._look, name="raymm-poll", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; the version loaded last goes on serving."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=self._poll + 1)

    def refresh(self) -> bool:
        """Look once for a newer version; returns whether one was swapped in. Never raises."""
        known = self._served.number if self._served is not None else None
        number: int | None = None
        try:
            found = self._load(known)
            if found is None or found[0] in (known, self._failed):
                return False
            number, data = found
            self._served = self._prepare(self._name, number, data)
        except Exception as error:  # a bad version or storage must not end the service
            what = "the newest version" if number is None else f"version {number}"
            failure = f"{what} cannot be loaded: {type(error).__name__}: {error}"
            if failure != self.failure:
                _log.error("%s: %s; version %s goes on serving", self._name, failure, known)
            self.failure, self._failed = failure, number
            return False
        self.failure, self._failed = "", None
        _log.info("%s: version %s is served now", self._name, number)
        return True

    def names(self) -> tuple[str, ...]:
        """Return the one name."""
        return (self._name,)

    def get(self, name: str) -> Served:
        """Return the version that is served; raises NotFound for another name or before any."""
        served = self._served
        if name != self._name or served is None:
            raise _unknown(name, self.names() if served is not None else ())
        return served

    def _look(self) -> None:
        while not self._stopped.wait(self._poll):
            self.refresh()


def from_bundle(name: str, number: int, data: bytes) -> Served:
    """Read a bundle, run its example row through it and return it ready to serve.

    Raises
    ------
    BundleError
        When the bytes are no sound bundle.
    """
    from raymm.bundle.packed import Bundle
    from raymm.bundle.run import Runner

    bundle = Bundle.from_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    return warmed(name, number, sha256, Runner(bundle), statistics=bundle.statistics)


def warmed(
    name: str,
    number: int,
    sha256: str,
    runner: Predictor,
    *,
    statistics: Statistics | None = None,
) -> Served:
    """Run the schema's example row through the graph twice and return the version."""
    reader = RecordReader(runner.schema)
    tensors = reader.tensors([example(runner.schema)])
    runner.labels(runner.predict(tensors))
    start = time.perf_counter()
    runner.predict(tensors)
    return Served(
        name=name,
        number=number,
        sha256=sha256,
        runner=runner,
        schema=runner.schema,
        statistics=statistics,
        row_seconds=time.perf_counter() - start,
    )


def _unknown(name: str, known: Mapping[str, Any] | tuple[str, ...]) -> NotFound:
    told = f"Models: {', '.join(known)}." if known else "No model is loaded."
    return NotFound(f'no model is named "{name[:80]}". {told}')
