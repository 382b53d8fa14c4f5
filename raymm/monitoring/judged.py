"""How good a version's answers were, by the labels that came later.

The rows of the newest predictions whose label is known are kept, and quality is reckoned from them
by the very metrics that proved the model, in the order in which they were predicted. What order
the labels came in, and when, therefore makes no difference to any figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Target
from raymm.bundle.blend import decided
from raymm.features.columns import number
from raymm.monitoring.arrays import from_text, to_text
from raymm.monitoring.calibration import calibration
from raymm.monitoring.intervals import interval_of
from raymm.monitoring.labels import Pair
from raymm.monitoring.sketches import Latencies
from raymm.plugins import metrics

LEVEL = 0.95
AUTO = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "rmse"}
"""What a goal's metric "auto" stands for."""
DEFAULTS = {"binary": "accuracy", "multiclass": "accuracy", "regression": "rmse"}
_LEAST_ROOM = 256
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no")

Rows = tuple[npt.NDArray[Any], npt.NDArray[Any]]


class Delays(Latencies):
    """Lateness of labels: durations of up to 30 years, each off by 1 % at most."""

    _LONGEST = 1e9


def read_label(target: Target, label: Any) -> float | None:
    """Return a label as a class code or a value; None where it is no class or no finite number.

    Text is taken without surrounding blanks. Where all classes are numbers they are compared as
    numbers; true and false meet the classes' usual words for them.
    """
    if target.task == "regression":
        found = number(label.strip()) if isinstance(label, str) else label
        if isinstance(found, bool) or not isinstance(found, int | float):
            return None
        try:
            return float(found) if math.isfinite(found) else None
        except OverflowError:
            return None
    text = str(label).strip()
    if text in target.classes:
        return float(target.classes.index(text))
    if isinstance(label, bool):
        words = _TRUE if label else _FALSE
        near = [code for code, name in enumerate(target.classes) if name.lower() in words]
    else:
        value, named = number(text), [number(name) for name in target.classes]
        known = value is not None and None not in named
        near = [code for code, name in enumerate(named) if known and name == value]
    return float(near[0]) if len(near) == 1 else None


def metric_of(target: Target) -> str:
    """Return the name of the metric that a version is judged by.

    That is the task's default where the target names none, or one that is not known here or does
    not suit the task: a monitor goes on whatever it is told.
    """
    named = AUTO[target.task] if target.metric == "auto" else target.metric
    if named in metrics.names() and target.task in metrics.get(named).tasks:
        return named
    return DEFAULTS[target.task]


class Judged:
    """Labelled rows of one version, `most` of them at most, those predicted last.

    Parameters
    ----------
    target : Target
    most : int
        Rows that are kept.
    recent : int
        Rows behind the figures called recent: those predicted last.
    """

    def __init__(self, target: Target, *, most: int, recent: int) -> None:
        self.target = target
        self.most = most
        self.recent = recent
        self.joined = 0
        self.delays = Delays()
        self._numbers = np.empty(0, np.int64)
        self._truth = np.empty(0, np.float64)
        self._keys = np.empty(0, np.int64)
        self._rows: npt.NDArray[Any] | None = None
        self._count = 0
        self._calibration: tuple[int, dict[str, Any]] | None = None

    def add(self, pairs: Sequence[Pair], dtype: npt.DTypeLike) -> None:
        """Take in labelled predictions, whose bytes are of ``dtype``.

        One that has not as many numbers as those before it is passed over.
        """
        width = max(len(self.target.classes), 1)
        size = np.dtype(dtype).itemsize * width
        fitting = [pair for pair in pairs if len(pair.row) == size]
        if not fitting:
            return
        rows = np.frombuffer(b"".join(pair.row for pair in fitting), dtype).reshape(-1, width)
        if self._rows is None:
            self._rows = np.empty((0, width), dtype)
        self._make_room(len(fitting))
        place = slice(self._count, self._count + len(fitting))
        self._numbers[place] = [pair.number for pair in fitting]
        self._truth[place] = [pair.truth for pair in fitting]
        self._keys[place] = [pair.key for pair in fitting]
        self._rows[place] = rows
        self._count += len(fitting)
        self.joined += len(fitting)
        self.delays.add(*(pair.delay for pair in fitting))

    def _make_room(self, more: int) -> None:
        """Let ``more`` rows in; rows beyond half as many again as are kept are dropped first."""
        assert self._rows is not None
        if self._count > self.most + self.most // 2:
            self._keep(self._newest(self.most))
        need = self._count + more
        if need > len(self._numbers):
            room = max(need, 2 * len(self._numbers), _LEAST_ROOM)
            self._numbers = np.resize(self._numbers, room)
            self._truth = np.resize(self._truth, room)
            self._keys = np.resize(self._keys, room)
            grown = np.empty((room, self._rows.shape[1]), self._rows.dtype)
            grown[: self._count] = self._rows[: self._count]
            self._rows = grown

    def _keep(self, chosen: npt.NDArray[np.intp]) -> None:
        assert self._rows is not None
        self._count = len(chosen)
        self._numbers, self._truth = self._numbers[chosen], self._truth[chosen]
        self._keys = self._keys[chosen]
        self._rows = self._rows[chosen]

    def _newest(self, count: int) -> npt.NDArray[np.intp]:
        """Return the places of the rows predicted last, in the order of prediction."""
        return np.argsort(self._numbers[: self._count], kind="stable")[-count:]

    def rows(self, count: int | None = None) -> Rows:
        """Return truth, shape (n,), and predictions, (n, classes) or (n,), in their order.

        Truth holds class codes (int64) or values (float64). ``count`` asks for the newest alone.
        """
        classes = len(self.target.classes)
        if self._rows is None:
            empty = np.empty((0, classes) if classes else 0, np.float32)
            return np.empty(0, np.int64 if classes else np.float64), empty
        chosen = self._newest(min(count or self.most, self.most))
        truth, rows = self._truth[chosen], self._rows[chosen]
        return (truth.astype(np.int64), rows) if classes else (truth, rows[:, 0])

    def keys(self, count: int, since: int = 0) -> npt.NDArray[np.int64]:
        """Return what names each of `rows`, shape (n,); see `raymm.monitoring.labels.Pair`.

        Predictions before the one numbered ``since`` have 0, which is no name.
        """
        chosen = self._newest(min(count, self.most))
        return np.where(self._numbers[chosen] >= since, self._keys[chosen], np.int64(0))

    def report(self) -> dict[str, Any]:
        """Return the metric's value, interval and rows; of the newest rows too; and lateness.

        ``others`` holds what every task has beside the metric: accuracy, or the root mean squared
        error. ``calibration`` is as `raymm.monitoring.calibration.calibration` returns it, reckoned
        anew only where labels have come.
        """
        metric = metric_of(self.target)
        default = DEFAULTS[self.target.task]
        truth, rows = self.rows()
        report: dict[str, Any] = _scored(metric, self.target, truth, rows)
        report["joined"] = self.joined
        report["recent"] = _scored(metric, self.target, truth[-self.recent :], rows[-self.recent :])
        if default != metric:
            report["others"] = {default: _scored(default, self.target, truth, rows)}
        if self._calibration is None or self._calibration[0] != self.joined:
            made = calibration(self.target, truth, rows, recent=self.recent, level=LEVEL)
            self._calibration = self.joined, made
        report["calibration"] = dict(self._calibration[1])
        report["delay"] = {
            name: self.delays.quantile(share)
            for name, share in {"p50": 0.5, "p95": 0.95, "p99": 0.99}.items()
        }
        return report

    def newest(self, count: int) -> dict[str, Any]:
        """Return the metric's value, interval and rows over so many of the newest rows."""
        return _scored(metric_of(self.target), self.target, *self.rows(max(count, 1)))

    def state(self) -> dict[str, Any]:
        """Return everything needed to go on after a restart, as plain JSON values."""
        chosen = self._newest(self.most)
        kept = None if self._rows is None else self._rows[chosen]
        return {
            "joined": self.joined,
            "delays": self.delays.state(),
            "numbers": to_text(self._numbers[chosen]),
            "truth": to_text(self._truth[chosen]),
            "keys": to_text(self._keys[chosen]),
            "dtype": "" if kept is None else kept.dtype.str,
            "rows": "" if kept is None else to_text(kept),
        }

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Go on from a state, and return self; raises ValueError where it does not add up."""
        self.joined = int(state["joined"])
        self.delays = Delays().merge(state["delays"])
        self._numbers = from_text(state["numbers"], np.int64)
        self._truth = from_text(state["truth"], np.float64)
        self._count = len(self._numbers)
        unknown = to_text(np.zeros(self._count, np.int64))  # as a state of older versions has it
        self._keys = from_text(state.get("keys", unknown), np.int64)
        if state["dtype"]:
            width = max(len(self.target.classes), 1)
            kind = np.dtype(state["dtype"])
            if kind.kind != "f":
                raise ValueError(f"its predictions are of type {kind}")
            self._rows = from_text(state["rows"], kind).reshape(-1, width)
        held = 0 if self._rows is None else len(self._rows)
        if not self._count == len(self._truth) == len(self._keys) == held:
            raise ValueError("its labelled rows do not add up")
        return self


def score(
    metric: str, target: Target, truth: npt.NDArray[Any], rows: npt.NDArray[Any]
) -> tuple[float, float, float]:
    """Return a metric's value and interval at `LEVEL`; NaN where it is not defined on the rows."""
    if not len(truth):
        return float("nan"), float("nan"), float("nan")
    made = metrics.get(metric)()
    seen = decided(rows, target.decision) if made.labels else rows
    if not np.isfinite(seen).all():
        return float("nan"), float("nan"), float("nan")
    return made(truth, seen), *interval_of(made, truth, seen, LEVEL)


def _scored(
    metric: str, target: Target, truth: npt.NDArray[Any], rows: npt.NDArray[Any]
) -> dict[str, Any]:
    value, low, high = (
        one if math.isfinite(one) else None for one in score(metric, target, truth, rows)
    )
    return {
        "metric": metric,
        "direction": metrics.get(metric).direction,
        "value": value,
        "low": low,
        "high": high,
        "level": LEVEL,
        "n": len(truth),
    }
