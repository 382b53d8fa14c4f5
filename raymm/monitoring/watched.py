"""A version that is watched: its monitors, and how good its answers were."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from raymm.artifacts import Batch, Statistics, Target, from_record
from raymm.monitoring.estimates import Estimate
from raymm.monitoring.judged import Judged, read_label
from raymm.monitoring.labels import Labels, Pair
from raymm.monitoring.monitor import Monitor
from raymm.monitoring.paired import paired
from raymm.monitoring.predictions import described
from raymm.plugins import monitors
from raymm.sections import MonitoringConfig


class Watched:
    """One version of a model, from the records that it was announced with.

    Parameters
    ----------
    number : int
        Of the version.
    statistics, target : mapping
        Records of its `Statistics` and its `Target`; without a target its answers are not judged.
    config : MonitoringConfig
    clock : function to float
        Seconds since 1970 UTC.

    Attributes
    ----------
    heard : float
        When it was heard of last.
    """

    def __init__(
        self,
        number: int,
        statistics: Mapping[str, Any],
        target: Mapping[str, Any] | None,
        *,
        config: MonitoringConfig,
        clock: Callable[[], float],
    ) -> None:
        self.number = number
        self.statistics = statistics
        self.target = target
        self.heard = clock()
        self._clock = clock
        self._config = config
        self._named = 0
        self._dtype: np.dtype[Any] | None = None
        self._aim = None if target is None else from_record(Target, target)
        known = None if self._aim is None else self._aim.predictions
        read = described(from_record(Statistics, statistics), known)
        self._monitors: dict[str, Monitor] = {
            name: monitors.get(name)(read, config=config, clock=clock) for name in monitors.names()
        }
        self._compared: tuple[tuple[int, ...], dict[str, Any] | None] | None = None
        self._judged = self._estimate = None
        if self._aim is not None:
            self._judged = Judged(self._aim, most=config.labels, recent=config.window)
            self._estimate = Estimate(self._aim, window=config.window)

    def update(self, batch: Batch) -> None:
        """Take in a batch of this version."""
        self.heard = self._clock()
        for made in self._monitors.values():
            made.update(batch)
        if self._estimate is not None and not batch.error:
            self._estimate.update(batch.predictions)

    def expect(self, batch: Batch, labels: Labels) -> None:
        """Let a batch's predictions wait for their labels, where it can be judged by them."""
        if self._judged is None or not batch.ids or len(batch.ids) != len(batch.predictions):
            return
        if self._dtype is None:
            self._dtype = np.dtype(np.float64 if batch.predictions.dtype == np.float64 else "f4")
        self._named += len(batch.ids)
        rows = batch.predictions.astype(self._dtype, copy=False)
        self.learn(
            labels.predicted(
                self.number,
                batch.ids,
                rows,
                now=self._clock(),
                read=lambda _, label: self.read(label),
            )
        )

    def read(self, label: Any) -> float | None:
        """Return a label as a class code or value; None where it is neither."""
        return None if self._aim is None else read_label(self._aim, label)

    def learn(self, pairs: Sequence[Pair]) -> None:
        """Take in predictions of this version with their labels."""
        if pairs and self._judged is not None and self._dtype is not None:
            self._judged.add(pairs, self._dtype)

    def newest(self, count: int) -> dict[str, Any] | None:
        """Return the quality of so many of the newest labelled rows; None without a target."""
        return None if self._judged is None else self._judged.newest(count)

    def against(self, other: Watched, *, since: int = 0) -> dict[str, Any] | None:
        """Return what it gains over another on rows that both answered; None where none are known.

        Predictions before the one numbered ``since`` are left out. It is reckoned anew only where
        labels have come.

        See `raymm.monitoring.paired.paired`.
        """
        if self._judged is None or other._judged is None:
            return None
        key = other.number, other._judged.joined, self._judged.joined, since
        if self._compared is None or self._compared[0] != key:
            count = self._config.window
            found = paired(other._judged, self._judged, count=count, since=since)
            self._compared = key, found
        made = self._compared[1]
        return None if made is None else dict(made)

    def report(self, waiting: int, thinned: int = 0) -> dict[str, Any]:
        """Return the reports of all monitors, laid over each other, and the quality.

        ``waiting`` predictions have no label yet, and ``thinned`` wait for none any more, as too
        many did: coverage is the share with a label of all others.
        """
        report: dict[str, Any] = {"version": self.number, "heard": self.heard}
        for made in self._monitors.values():
            _lay_over(report, made.report())
        if self._judged is not None:
            named = self._named - thinned
            coverage = self._judged.joined / named if named > 0 else None
            report["quality"] = {
                **self._judged.report(),
                "predictions": self._named,
                "coverage": coverage,
                "waiting": waiting,
                "thinned": thinned,
            }
        if self._judged is not None and self._estimate is not None:
            report["estimated"] = self._estimate.report(*self._judged.rows())
        return report

    def state(self) -> dict[str, Any]:
        """Return everything needed to go on after a restart, as plain JSON values."""
        return {
            "statistics": self.statistics,
            "target": self.target,
            "monitors": {name: made.state() for name, made in self._monitors.items()},
            "heard": self.heard,
            "named": self._named,
            "dtype": None if self._dtype is None else self._dtype.str,
            "judged": None if self._judged is None else self._judged.state(),
            "estimate": None if self._estimate is None else self._estimate.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Go on from a state, and return self; a plug-in that is gone leaves its state behind."""
        for name, record in _aligned(state["monitors"]).items():
            if name in self._monitors:
                self._monitors[name].merge(record)
        self.heard = float(state["heard"])
        self._named = int(state["named"])
        if state["dtype"] is not None:
            self._dtype = np.dtype("f8" if state["dtype"] == "<f8" else "f4")
        if self._judged is not None and state["judged"] is not None:
            self._judged.restore(state["judged"])
        if self._estimate is not None and state["estimate"] is not None:
            self._estimate.restore(state["estimate"])
        return self


def _aligned(records: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return monitors' states, where quality's knows of no windows with drift's open one.

    Such a state is of an earlier raymm; its first window is short, and those after it are drift's.
    """
    quality, drift = records.get("quality"), records.get("drift")
    if quality is None or drift is None or "rows" in quality:
        return records
    return {**records, "quality": {**quality, "rows": drift.get("rows", 0)}}


def _lay_over(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(below.get(key), dict):
            _lay_over(below[key], value)
        else:
            below[key] = dict(value) if isinstance(value, Mapping) else value
