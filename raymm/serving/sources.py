"""Where the service's models come from: versions that answer, and how to reach them.

`FixedModels` never change; `raymm.serving.released.ReleasedModels` follow the registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from raymm.artifacts import Predictions, Reliability, Schema, Statistics, Tensors
from raymm.errors import NotFound
from raymm.serving.protocol import AnswerWriter, RecordReader
from raymm.serving.sheets import SheetReader
from raymm.serving.tally import Tally


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
    sheets : SheetReader
        Made from the schema.
    writer : AnswerWriter
        Made from the schema, the name and the number.
    row_seconds : float
        What the example row took through the graph, when it was loaded.
    joined : bool
        Whether requests that wait are to be predicted by one call; see `raymm.serving.gain`.
    metric : str
        The goal's, by which the monitor judges it; "auto" and empty are the task's own.
    reliability : Reliability or None
        By which the monitor estimates its quality before labels come; None where it is not known.
    predictions : Predictions or None
        With which the monitor compares what it predicts; None where they are not known.
    tally : Tally
        What its requests came to in this process.
    """

    name: str
    number: int
    sha256: str
    runner: Predictor
    schema: Schema
    statistics: Statistics | None = None
    row_seconds: float = 0.0
    joined: bool = False
    metric: str = ""
    reliability: Reliability | None = None
    predictions: Predictions | None = None
    tally: Tally = field(default_factory=Tally, compare=False)
    reader: RecordReader = field(init=False)
    sheets: SheetReader = field(init=False)
    writer: AnswerWriter = field(init=False)

    def __post_init__(self) -> None:
        about = {"model": self.name, "version": self.number}
        object.__setattr__(self, "reader", RecordReader(self.schema))
        object.__setattr__(self, "sheets", SheetReader(self.schema))
        object.__setattr__(self, "writer", AnswerWriter(self.schema, about))


class ModelSource(Protocol):
    """Leads from a model's name to the version that answers now."""

    def names(self) -> tuple[str, ...]:
        """Return the models' names, sorted, whether loaded or not."""
        ...

    def get(self, name: str) -> Served:
        """Return the champion of that model; raises NotFound when there is none."""
        ...

    def route(self, name: str, identity: str) -> Served:
        """Return the version that answers a prediction of that name; raises NotFound."""
        ...

    def at(self, name: str, number: int) -> Served:
        """Return a version that is loaded, whatever its role; raises NotFound."""
        ...

    def shadow(self, name: str) -> Served | None:
        """Return the version that is to see what the champion answers, or None."""
        ...

    def reports(self) -> dict[str, dict[str, Any]]:
        """Return how each model stands here (see `raymm.serving.released.ReleasedModel`)."""
        ...

    def history(self, name: str) -> Mapping[str, Any]:
        """Return a model's versions and changes (see `raymm.serving.released.Shelf`).

        May take its time, and raise.
        """
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
            raise unknown(name, self.names())
        return self._served[name]

    def route(self, name: str, identity: str) -> Served:
        """Return the model of that name; raises NotFound."""
        return self.get(name)

    def at(self, name: str, number: int) -> Served:
        """Return the model where it has that version; raises NotFound."""
        served = self.get(name)
        if served.number != number:
            raise unserved(name, number, (served.number,))
        return served

    def shadow(self, name: str) -> Served | None:
        """Return None."""
        return None

    def reports(self) -> dict[str, dict[str, Any]]:
        """Return how each model stands: its one version is the champion."""
        return {
            name: {
                "champion": one.number,
                "canary": None,
                "share": 0.0,
                "shadow": None,
                "refused": {},
                "failure": "",
                "counts": {str(one.number): one.tally.counts().record()},
            }
            for name, one in self._served.items()
        }

    def history(self, name: str) -> Mapping[str, Any]:
        """Return nothing: what never changes has none."""
        return {"versions": [], "changes": []}


def unknown(name: str, known: tuple[str, ...]) -> NotFound:
    """Return the error of a name that no model has."""
    told = f"Models: {', '.join(known)}." if known else "No model is loaded."
    return NotFound(f'no model is named "{name[:80]}". {told}')


def unserved(name: str, number: int, known: tuple[int, ...]) -> NotFound:
    """Return the error of a version that is not loaded; ``known`` are those that are."""
    told = ", ".join(map(str, known)) or "none"
    return NotFound(f'version {str(number)[:20]} of "{name}" is not served. Served: {told}.')
