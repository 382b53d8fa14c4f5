"""What a replica tells its monitor, and what a stage tells the person who waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from raymm.artifacts.kinds import Task, Tensors
from raymm.artifacts.table import ColumnStatistics, Schema, Statistics
from raymm.artifacts.trial import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a replica tells its monitor of one request.

    ``predictions`` are probabilities (n, classes) or values (n,); ``seconds`` is the time the
    request took; ``error`` is the exception's class name where it failed, else empty;
    ``version`` is the number of the version that answered. Where several requests were put
    together, ``merged`` holds the seconds of each and ``seconds`` their sum. ``ids`` names each
    row's prediction, so that its true label can be told later; empty where nobody may tell.
    ``thinned`` says that of the rows only times are told, as too many came at a time.
    """

    rows: int
    version: int
    seconds: float
    tensors: Tensors = field(default_factory=dict)
    predictions: npt.NDArray[Any] = field(default_factory=lambda: np.empty(0))
    error: str = ""
    merged: tuple[float, ...] = ()
    ids: tuple[str, ...] = ()
    thinned: bool = False


class OneRow(dict[str, npt.NDArray[Any]]):
    """The tensors of one row, cut from arrays that hold like columns beside each other.

    Attributes
    ----------
    layout : tuple of tuple of str
        The columns of each part, in its order; the very same object for all rows of a reader.
    parts : tuple of array, shape (columns,)
        What the tensors were cut from: few arrays to keep where the row is needed later.
    """

    __slots__ = ("layout", "parts")

    def __init__(
        self,
        tensors: Tensors,
        layout: tuple[tuple[str, ...], ...],
        parts: tuple[npt.NDArray[Any], ...],
    ) -> None:
        super().__init__(tensors)
        self.layout, self.parts = layout, parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """True labels that became known after their predictions; ``labels`` are as in the table."""

    ids: tuple[str, ...]
    labels: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """How often probabilities came true on rows that were not trained on.

    ``rows`` and ``hits`` are counts a bin of the probability, in the bins of
    `raymm.monitoring.estimates`.
    """

    rows: tuple[int, ...]
    hits: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """Labels minus predictions of a regression, in the target's unit, on rows not trained on.

    ``skewness`` has no unit; it is 0 where all errors are equal.
    """

    rows: int
    mean: float
    deviation: float
    skewness: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What a version itself predicted on rows that it was not trained on.

    Attributes
    ----------
    column : ColumnStatistics
        Bins of one number a row, as `raymm.monitoring.predictions` makes them.
    errors : Errors or None
        None for classes.
    version : int
        Of the format.
    """

    column: ColumnStatistics
    errors: Errors | None = None
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a version predicts, so that a monitor can judge its answers by true labels.

    ``classes`` and ``decision`` are as in `Schema`; ``metric`` is the goal's, empty where only
    what every task has (accuracy, or the root mean squared error) is asked for. ``reliability``
    lets quality be estimated better before labels come, and calibration be compared with what it
    was; ``predictions`` does so with what is predicted and with the bias of a regression.
    """

    task: Task
    classes: tuple[str, ...] = ()
    decision: tuple[float, ...] = ()
    metric: str = ""
    reliability: Reliability | None = None
    predictions: Predictions | None = None

    @classmethod
    def of(
        cls,
        schema: Schema,
        metric: str = "",
        *,
        reliability: Reliability | None = None,
        predictions: Predictions | None = None,
    ) -> Target:
        """Return what a schema says of its target."""
        return cls(
            task=schema.task,
            classes=schema.classes,
            decision=schema.decision,
            metric=metric,
            reliability=reliability,
            predictions=predictions,
        )


class Watcher(Protocol):
    """How a replica reaches its monitor; none of the calls waits, and none raises."""

    def watch(
        self,
        version: int,
        statistics: Statistics,
        *,
        target: Target | None = None,
        champion: bool = True,
    ) -> None:
        """Say that a version is served from now on, and what its training data looked like.

        Without ``target`` its answers are not judged by labels. One that is not the ``champion``
        (in shadow, or with a share of the requests) is watched beside it.
        """
        ...

    def tell(self, batch: Batch) -> None:
        """Hand over one batch."""
        ...

    def tell_row(
        self,
        version: int,
        seconds: float,
        tensors: Tensors,
        prediction: npt.NDArray[Any],
        key: str,
    ) -> None:
        """Hand over an answer to one row: a batch of it, or what takes less time.

        Arrays have one row, and ``key`` is the row's id and never empty; the rest is as in `Batch`.
        """
        self.tell(
            Batch(
                rows=1, version=version, seconds=seconds, tensors=tensors, predictions=prediction,
                ids=(key,),
            )
        )  # fmt: skip

    def learn(self, feedback: Feedback) -> None:
        """Hand over true labels."""
        ...

    def report(self) -> Mapping[str, Any]:
        """Return the monitor's latest known report; empty before the first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Something worth telling the person who waits.

    ``stage`` is a stage of the lifecycle; ``done`` and ``total`` count trials where they are
    known; ``seconds_left`` is an estimate.

    Attributes
    ----------
    metric : str
        What ``best`` and the leaders' values are in.
    failed, running : int
        Trials that failed, of those done, and trials at work now.
    leaders : tuple of Trial
        The best trials so far, best first; three are enough.
    """

    stage: str
    message: str = ""
    done: int = 0
    total: int | None = None
    best: float | None = None
    seconds_left: float | None = None
    metric: str = ""
    failed: int = 0
    running: int = 0
    leaders: tuple[Trial, ...] = ()


Notify = Callable[[Progress], None]
