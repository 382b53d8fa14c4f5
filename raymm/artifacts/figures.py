"""The figures of a monitor's report that Prometheus is shown of each version: one table for all.

A monitor counts what every replica answers, so its counters are the same whichever replica is
asked for them, and a version goes on from its own when it is taken back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from raymm.errors import failed_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A gauge: its name, what it says, and where it lies in a version's report."""

    name: str
    text: str
    path: tuple[str, ...]


FIGURES = (
    Figure(name="raymm_quality", text="Quality by true labels, in the model's metric.",
           path=("quality", "value")),
    Figure(name="raymm_quality_low", text="Lower end of its 95 % interval.",
           path=("quality", "low")),
    Figure(name="raymm_quality_high", text="Upper end of its 95 % interval.",
           path=("quality", "high")),
    Figure(name="raymm_quality_recent", text="Quality of the last window of labelled rows.",
           path=("quality", "recent", "value")),
    Figure(name="raymm_quality_recent_low", text="Lower end of its 95 % interval.",
           path=("quality", "recent", "low")),
    Figure(name="raymm_quality_recent_high", text="Upper end of its 95 % interval.",
           path=("quality", "recent", "high")),
    Figure(name="raymm_quality_maximized", text="1 where more is better, 0 for errors.",
           path=("quality", "direction")),
    Figure(name="raymm_version_champion", text="1 for the version that is the champion, else 0.",
           path=("reigns",)),
    Figure(name="raymm_quality_rows", text="Labelled rows that quality is reckoned from.",
           path=("quality", "n")),
    Figure(name="raymm_calibration",
           text="Calibration error of classes, or mean of label minus prediction, by true labels.",
           path=("quality", "calibration", "value")),
    Figure(name="raymm_calibration_low", text="Lower end of its 95 % interval.",
           path=("quality", "calibration", "low")),
    Figure(name="raymm_calibration_high", text="Upper end of its 95 % interval.",
           path=("quality", "calibration", "high")),
    Figure(name="raymm_calibration_recent",
           text="Calibration of the last window of labelled rows.",
           path=("quality", "calibration", "recent", "value")),
    Figure(name="raymm_calibration_test", text="Calibration of the version's test rows.",
           path=("quality", "calibration", "test", "value")),
    Figure(name="raymm_calibration_worse", text="1 where surely worse than of the test rows.",
           path=("quality", "calibration", "worse")),
    Figure(name="raymm_label_coverage_ratio", text="Share of named predictions with a label.",
           path=("quality", "coverage")),
    Figure(name="raymm_label_delay_seconds", text="Median lateness of labels.",
           path=("quality", "delay", "p50")),
    Figure(name="raymm_predictions_waiting", text="Predictions that wait for a label.",
           path=("quality", "waiting")),
    Figure(name="raymm_predictions_thinned", text="Predictions that wait for no label any more.",
           path=("quality", "thinned")),
    Figure(name="raymm_estimated_accuracy",
           text="Accuracy expected without labels; it cannot see concept drift.",
           path=("estimated", "accuracy", "value")),
    Figure(name="raymm_drifted_features",
           text="Features that drifted in the last complete window or the open one.",
           path=("drifted",)),
    Figure(name="raymm_prediction_drifted",
           text="1 where predictions drifted in the last complete window or the open one.",
           path=("prediction", "drifted")),
)  # fmt: skip
"""Their labels are the model and the version, of which a monitor watches a handful."""

LEAST_POWER, MOST_POWER = -11, 4
"""Buckets of times end at the powers of 2 from 0.5 ms to 16 s, and one holds what is longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a version was asked for, as a monitor counted it.

    Attributes
    ----------
    errors : mapping of str to int
        Requests that were refused or failed by the error's class, of which there are 51 at most.
    buckets : tuple of (str, int)
        Answers within so many seconds, cumulative; the last is "+Inf".
    seconds : float
        What all answers took together.
    """

    version: str
    requests: int
    rows: int
    errors: Mapping[str, int]
    buckets: tuple[tuple[str, int], ...]
    seconds: float


_DIRECTIONS = {"maximize": 1, "minimize": 0}


def figures(report: Mapping[str, Any]) -> Iterator[tuple[Figure, str, float]]:
    """Yield each figure that a report holds, with the version's number and its finite value.

    ``report`` is a monitor's whole report; one without versions yields nothing. A list counts as
    its length, and a direction as 1 where it is "maximize" and 0 where it is "minimize".
    """
    for version, one in report.get("versions", {}).items():
        known = {**one, "reigns": int(version == str(report.get("version")))}
        for figure in FIGURES:
            value: Any = known
            for key in figure.path:
                value = value.get(key) if isinstance(value, Mapping) else None
            if isinstance(value, list | tuple):
                value = len(value)
            elif isinstance(value, str):
                value = _DIRECTIONS.get(value)
            if isinstance(value, int | float) and math.isfinite(value):
                yield figure, str(version), float(value)


def counted(report: Mapping[str, Any]) -> Iterator[Counted]:
    """Yield what each version of a monitor's whole report was asked for; without traffic nothing.

    "within" of a version's latency counts answers by the quarter power of 2 that their seconds are
    at most.
    """
    for version, one in report.get("versions", {}).items():
        if "requests" not in one:
            continue
        latency = one.get("latency", {})
        within = {int(place): int(n) for place, n in latency.get("within", {}).items()}
        bounds = [
            (str(2.0**power), sum(n for place, n in within.items() if place <= 4 * power))
            for power in range(LEAST_POWER, MOST_POWER + 1)
        ]
        yield Counted(
            version=str(version),
            requests=int(one["requests"]),
            rows=int(one.get("rows", 0)),
            errors=dict(one.get("errors", {})),
            buckets=(*bounds, ("+Inf", sum(within.values()))),
            seconds=float(latency.get("sum", 0.0)),
        )


def increase(
    before: Mapping[str, Mapping[str, int]], report: Mapping[str, Any]
) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    """Return what the champion was asked for since a look before, and what to hand in next time.

    "requests", "rows", "errors" and, of these, "failed" (by 5xx) are counted; a version's own are
    compared, so that one which is champion again does not count anew what it answered when it was.
    A version that counts less than before has begun anew.
    """
    now = {
        one.version: {
            "requests": one.requests, "rows": one.rows, "errors": sum(one.errors.values()),
            "failed": failed_of(one.errors),
        }
        for one in counted(report)
    }  # fmt: skip
    champion = str(report.get("version"))
    totals = now.get(champion, {})
    old = before.get(champion, {})
    more = {
        key: total - old.get(key, 0) if total >= old.get(key, 0) else total
        for key, total in totals.items()
    }
    return more, now
