"""The figures of a monitor's report that Prometheus is shown of each version: one table for all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


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
    Figure(name="raymm_label_coverage_ratio", text="Share of named predictions with a label.",
           path=("quality", "coverage")),
    Figure(name="raymm_label_delay_seconds", text="Median lateness of labels.",
           path=("quality", "delay", "p50")),
    Figure(name="raymm_predictions_waiting", text="Predictions that wait for a label.",
           path=("quality", "waiting")),
    Figure(name="raymm_estimated_accuracy",
           text="Accuracy expected without labels; it cannot see concept drift.",
           path=("estimated", "accuracy", "value")),
    Figure(name="raymm_drifted_features", text="Features that drifted in the last window.",
           path=("drifted",)),
)  # fmt: skip
"""Their labels are the model and the version, of which a monitor watches a handful."""

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
