"""Frozen types that the stages of a model's life hand to each other.

Only the standard library, numpy and pandas are used here, so any stage can be read and tested
alone. Every type that is stored can be written as plain JSON with `as_record` and read back with
`from_record`; a type that stands alone in storage carries an integer ``version``.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar, get_type_hints

import numpy as np
import numpy.typing as npt
import pandas as pd

Task = Literal["binary", "multiclass", "regression"]
Kind = Literal["number", "boolean", "category", "datetime", "text"]
Role = Literal["feature", "target", "time", "group", "ignored"]
Direction = Literal["maximize", "minimize"]
Encoding = Literal["ordinal", "dense"]
Scalar = str | int | float | bool | None
Config = Mapping[str, Scalar]
Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Tensors = Mapping[str, npt.NDArray[Any]]
"""Raw columns as the graph takes them, one array of shape (n,) a feature column: float32 for
numbers (missing NaN) and booleans (0, 1, NaN), int64 seconds since 1970 UTC for dates (missing
`NO_TIME`), object arrays of str for categories and text (missing the empty string)."""

NO_TIME = int(np.iinfo(np.int64).min)
"""The int64 that stands for a missing date in tensors and in the graph."""


# ------------------------------------------------------------------------------- search spaces


@dataclass(frozen=True, slots=True)
class Float:
    """A real parameter in [low, high]; ``log`` draws it evenly on a logarithmic scale.

    ``when`` makes it conditional: it is active only where each named categorical parameter holds
    one of the values listed.
    """

    low: float
    high: float
    log: bool = False
    when: Mapping[str, Sequence[Scalar]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high, self.log)


@dataclass(frozen=True, slots=True)
class Int:
    """A whole parameter in [low, high], both ends included; ``log`` and ``when`` as in `Float`."""

    low: int
    high: int
    log: bool = False
    when: Mapping[str, Sequence[Scalar]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high, self.log)


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of ``choices`` (at least one, no two equal); ``when`` as in `Float`."""

    choices: Sequence[Scalar]
    when: Mapping[str, Sequence[Scalar]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(self.choices))
        if not self.choices or len(set(map(repr, self.choices))) != len(self.choices):
            raise ValueError(
                f"choices must be one or more different values, but got {list(self.choices)!r}"
            )


Parameter = Float | Int | Categorical
Space = Mapping[str, Parameter]


def _check_bounds(low: float, high: float, log: bool) -> None:
    if not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise ValueError(f"low must be at most high, both finite, but got low={low}, high={high}")
    if log and low <= 0:
        raise ValueError(f"low must be above 0 on a logarithmic scale, but got low={low}")


# ---------------------------------------------------------------------------------------- data


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as it was read, before anything is decided about it.

    Attributes
    ----------
    frame : DataFrame, shape (n, columns)
        Text files give ``str`` columns, exactly as written; Parquet keeps its types.
    source : str
        Where it was read from.
    sha256 : str
        Of the content (column names and every cell), so equal tables have equal hashes.
    notes : tuple of str
        What was found out while reading (delimiter, encoding, ragged lines), for a person.
    """

    frame: pd.DataFrame
    source: str
    sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What the schema says of one column.

    Attributes
    ----------
    missing : tuple of str
        Words that mean "missing" here, besides the empty string.
    minimum, maximum : float or None
        Smallest and largest value seen; seconds since 1970 UTC for dates.
    categories : tuple of str
        Values seen, most frequent first (categories); the words for false and true (booleans).
    format : str or None
        How dates are written: a strptime format, ``ISO8601``, or ``epoch``.
    nullable : bool
        Whether missing values are allowed.
    reason : str
        Why the column has its role, when that is not plain (say why it is ignored).
    example : str, int, float, bool or None
        One real value, for documentation.
    """

    name: str
    kind: Kind
    role: Role = "feature"
    missing: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] = ()
    format: str | None = None
    nullable: bool = True
    reason: str = ""
    example: Scalar = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The columns of a table and what is predicted.

    Attributes
    ----------
    classes : tuple of str
        The target's classes as text, sorted (numerically where all are numbers); empty for
        regression. Class codes are positions in this tuple; in a binary task the metric's
        positive class is the last.
    """

    columns: tuple[Column, ...]
    target: str
    task: Task
    classes: tuple[str, ...] = ()
    version: int = 1

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns that the model reads, in order."""
        return tuple(column for column in self.columns if column.role == "feature")

    def column(self, name: str) -> Column:
        """Return the column of that name; raises KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnStatistics:
    """Counts of one column, enough to compare two tables without their rows.

    Attributes
    ----------
    edges : tuple of float
        Inner bin edges of the histogram of a number or date, increasing; k edges make k + 1
        bins, value v falls into bin ``searchsorted(edges, v, side="left")`` (so bin i holds
        edges[i - 1] < v <= edges[i]).
    counts : tuple of int
        Rows a bin (numbers and dates, k + 1 of them), or rows a value of ``values``.
    values : tuple of str
        Most frequent values, first the most frequent (categories, booleans, text and, for a
        person, columns whose kind is not yet decided).
    other : int
        Rows that are neither missing nor one of ``values``; 0 for numbers and dates.
    quantiles : tuple of float
        Minimum, 1, 5, 25, 50, 75, 95 and 99 % quantiles and maximum; empty where not numeric.
    mean_length : float
        Mean length of the text in characters; 0 where not text.
    """

    name: str
    kind: Kind
    rows: int
    missing: int
    distinct: int
    mean: float | None = None
    deviation: float | None = None
    quantiles: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    values: tuple[str, ...] = ()
    other: int = 0
    mean_length: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Statistics of each column of a table of ``rows`` rows."""

    rows: int
    columns: tuple[ColumnStatistics, ...]
    version: int = 1

    def column(self, name: str) -> ColumnStatistics:
        """Return the statistics of that column; raises KeyError when there are none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """A way in which a table departs from what is allowed.

    ``severity`` is "error" where no model can be made of it, else "warning". ``column`` is empty
    where the whole table is meant.
    """

    rule: str
    column: str
    observed: str
    allowed: str
    remedy: str
    severity: Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Row numbers to train on and to validate on, both sorted and without a row in common."""

    train: Indices
    valid: Indices


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A table made ready: parsed, encoded and split.

    Attributes
    ----------
    tensors : mapping of feature name to array, shape (n,)
        As `Tensors`; all n rows of the table whose target is known.
    y : int64 or float64, shape (n,)
        Class codes, or the target itself for regression.
    frame : DataFrame, shape (n, columns)
        The same rows as they were read, for slices and protected columns.
    train, test : int64
        Sorted row numbers. Test rows serve the final evaluation and nothing else.
    folds : tuple of Fold
        Within ``train``: one fold is a holdout, more are cross-validation.
    """

    tensors: Tensors
    y: npt.NDArray[Any]
    frame: pd.DataFrame
    schema: Schema
    train: Indices
    test: Indices
    folds: tuple[Fold, ...]
    sha256: str
    source: str

    def rows(self, rows: Indices) -> dict[str, npt.NDArray[Any]]:
        """Return the tensors at these rows, each of shape (len(rows),)."""
        return {name: values[rows] for name, values in self.tensors.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes that a model family's search space may depend on."""

    rows: int
    features: int
    classes: int


# -------------------------------------------------------------------------------------- search


class MetricLike(Protocol):
    """What search, compression and audit need of a metric; `raymm.evaluation` has them."""

    name: str
    direction: Direction

    def __call__(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> float:
        """Score predictions.

        ``truth`` has shape (n,): class codes or values. ``prediction`` has shape (n, classes)
        with probabilities, or (n,) with values.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One configuration tried.

    Attributes
    ----------
    number : int
        Position in the order of suggestion, from 0.
    value : float or None
        Mean of the metric over the folds, at ``rounds``; None when it failed.
    rounds : int
        The amount of training (boosting rounds; 1 where a family has none) that scored best,
        used to train the final model.
    rungs : tuple of (int, float)
        Value at each amount of training that was scored, in order.
    status : str
        "finished", "stopped" (early, by the scheduler or the time budget) or "failed".
    seconds : float
        Time it took on its worker.
    error : str
        The last frame of the failure, in one or two lines; empty otherwise.
    """

    id: str
    number: int
    config: Config
    status: Literal["finished", "stopped", "failed"]
    value: float | None = None
    rounds: int = 1
    fold_values: tuple[float, ...] = ()
    rungs: tuple[tuple[int, float], ...] = ()
    seconds: float = 0.0
    error: str = ""

    @property
    def family(self) -> str:
        """The model family tried, or an empty string for a user's own function."""
        return str(self.config.get("family", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """Every trial of a search.

    Attributes
    ----------
    resumed : int
        How many of them were read from the ledger rather than run now.
    stopped_by : str
        Why the search ended: "trials", "time", "space exhausted" or "interrupted".
    seconds : float
        Time that searching has taken in all sessions of the run.
    """

    trials: tuple[Trial, ...]
    direction: Direction
    metric: str
    resumed: int = 0
    stopped_by: str = "trials"
    seconds: float = 0.0

    @property
    def leaderboard(self) -> tuple[Trial, ...]:
        """Trials that have a value, best first; ties go to the earlier suggestion."""
        sign = -1.0 if self.direction == "maximize" else 1.0
        scored = [(sign * t.value, t.number, t) for t in self.trials if t.value is not None]
        return tuple(trial for _, _, trial in sorted(scored, key=lambda item: item[:2]))

    @property
    def best(self) -> Trial | None:
        """The first of the leaderboard, or None where every trial failed."""
        return next(iter(self.leaderboard), None)


# ------------------------------------------------------------------------ evaluation and proof


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A metric with its confidence interval [low, high] at ``level``."""

    metric: str
    value: float
    low: float
    high: float
    level: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceScore:
    """The goal's metric on the rows where ``column`` holds ``value`` (a word or a range)."""

    column: str
    value: str
    rows: int
    score: Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A bundle's scores on the test rows.

    Attributes
    ----------
    score : Score
        The goal's metric.
    others : tuple of Score
        The task's other metrics.
    baseline : float
        The goal's metric of the trivial prediction (class frequencies or mean of the training
        target) on the same rows.
    gain : Score
        Paired difference to that baseline, positive is better.
    champion : str
        The reigning champion it was compared with (``name@number``), or empty.
    champion_gain : Score or None
        Paired difference to that champion on the same rows, positive is better.
    """

    direction: Direction
    rows: int
    score: Score
    others: tuple[Score, ...]
    baseline: float
    gain: Score
    champion: str = ""
    champion_gain: Score | None = None
    slices: tuple[SliceScore, ...] = ()
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One condition of a blessing, as a sentence with its figures."""

    name: str
    passed: bool
    statement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Blessing:
    """Whether a model may be promoted, and the checks that say so."""

    blessed: bool
    checks: tuple[Check, ...]
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """How much worse the metric gets when a column is shuffled, with its interval."""

    column: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What the served bundle's predictions rest on.

    Attributes
    ----------
    importance : tuple of Importance
        By raw column, most important first.
    columns : tuple of str
        The raw columns, in the order of ``contributions``.
    contributions : tuple of tuple of float, shape (rows, columns)
        Contribution of each column to each explained row's output.
    base : float
        The output that contributions add to.
    outputs : tuple of float, shape (rows,)
        ``base`` plus the sum of the row's contributions.
    unit : str
        Of the output: "log-odds", "probability of CLASS" or the target's name.
    method : str
        How contributions were computed.
    """

    importance: tuple[Importance, ...]
    columns: tuple[str, ...]
    contributions: tuple[tuple[float, ...], ...]
    base: float
    outputs: tuple[float, ...]
    unit: str
    method: str
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The metric by group of each protected column, with the widest gap of each column."""

    groups: tuple[SliceScore, ...]
    gaps: tuple[Score, ...]
    version: int = 1


# --------------------------------------------------------------------- compression and lineage


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One compressed form of a bundle, measured on validation rows.

    Attributes
    ----------
    technique : str
        Its compressor's name, or "none" for the bundle as it was.
    parameters : mapping
        What to hand to the compressor to make it again.
    score : float
        The goal's metric.
    loss : Score
        Paired loss against the bundle as it was, in the metric's unit, positive is worse.
    bytes : int
        The bundle file's size.
    row_microseconds : float
        Median time of one row through the graph, one thread.
    """

    technique: str
    parameters: Config
    score: float
    loss: Score
    bytes: int
    row_microseconds: float
    chosen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """Every candidate of compression and the loss that was allowed."""

    candidates: tuple[Candidate, ...]
    metric: str
    max_loss: float
    rows: int
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Where a bundle comes from: enough to make it again. Holds no clock time.

    Attributes
    ----------
    ledger : str
        SHA-256 over the finished trials' configurations and values.
    configuration : mapping
        The run's configuration as plain JSON.
    trial : mapping
        The trial that won, as a record without its times.
    packages : mapping
        Versions of the libraries that made it.
    """

    run: str
    data_sha256: str
    source: str
    seed: int
    ledger: str
    configuration: Mapping[str, Any]
    trial: Mapping[str, Any]
    packages: Mapping[str, str]
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A registered version of a model.

    Attributes
    ----------
    number : int
        From 1, without gaps.
    bundle : str
        SHA-256 of the bundle file, under which its blob is stored.
    created : str
        UTC, ISO 8601.
    summary : mapping
        What ``raymm models`` and ``--json`` print of it: metric, score, family and so on.
    parts : mapping of name to SHA-256
        Other blobs of the version: evaluation, blessing, frontier, explanation, audit, report.
    """

    name: str
    number: int
    bundle: str
    bundle_bytes: int
    run: str
    blessed: bool
    created: str
    summary: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a replica tells its monitor of one request.

    ``predictions`` are probabilities (n, classes) or values (n,); ``seconds`` is the time the
    request took; ``error`` is the exception's class name where it failed, else empty;
    ``version`` is the number of the version that answered.
    """

    rows: int
    version: int
    seconds: float
    tensors: Tensors = field(default_factory=dict)
    predictions: npt.NDArray[Any] = field(default_factory=lambda: np.empty(0))
    error: str = ""


class Watcher(Protocol):
    """How a replica reaches its monitor; none of the calls waits, and none raises."""

    def watch(self, version: int, statistics: Statistics) -> None:
        """Say which version is served now, and what its training data looked like."""
        ...

    def tell(self, batch: Batch) -> None:
        """Hand over one batch."""
        ...

    def report(self) -> Mapping[str, Any]:
        """Return the monitor's latest known report; empty before the first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Something worth telling the person who waits.

    ``stage`` is a stage of the lifecycle; ``done`` and ``total`` count trials where they are
    known; ``seconds_left`` is an estimate.
    """

    stage: str
    message: str = ""
    done: int = 0
    total: int | None = None
    best: float | None = None
    seconds_left: float | None = None


Notify = Callable[[Progress], None]


# ------------------------------------------------------------------------------ plain records

Made = TypeVar("Made")


def as_record(value: Any) -> Any:
    """Turn a frozen type into plain JSON values.

    Tuples and arrays become lists, NaN and infinities become None, mappings keep their order.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_record(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_record(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return as_record(value.tolist())
    if isinstance(value, list | tuple):
        return [as_record(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def from_record(kind: type[Made], record: Mapping[str, Any]) -> Made:
    """Read a frozen type back from what `as_record` wrote.

    Fields that the record lacks take their defaults; fields that the type does not know are
    passed over, so an older reader can read a newer record of the same version number.

    Raises
    ------
    ValueError
        When a field without a default is missing, or the record's version is newer.
    """
    hints = get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if (
        "version" in fields
        and record.get("version", 1) > typing.cast(Any, fields["version"]).default
    ):
        raise ValueError(
            f"this {kind.__name__} has format version {record['version']}, newer than "
            f"{fields['version'].default}. Use a newer raymm."
        )
    known = {name: _typed(hints[name], record[name]) for name in fields if name in record}
    try:
        return kind(**known)
    except TypeError as error:
        raise ValueError(f"not a {kind.__name__}: {error}") from error


def _typed(hint: Any, value: Any) -> Any:
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        frozen = [a for a in arguments if dataclasses.is_dataclass(a)]
        return _typed(frozen[0], value) if frozen and isinstance(value, Mapping) else value
    if dataclasses.is_dataclass(hint):
        return from_record(typing.cast(type[Any], hint), value)
    if origin is tuple:
        inner = arguments[0] if arguments[-1] is Ellipsis else None
        if inner is None:
            return tuple(_typed(a, v) for a, v in zip(arguments, value, strict=True))
        return tuple(_typed(inner, item) for item in value)
    if hint is float and value is None:
        return float("nan")
    return value
