"""What is new in the reports of a model's monitor: troubles that begin and end, each told once.

Reports are read every few seconds, and their figures waver around a bound as labels come. So what
labels tell begins where it is sure, and ends only where it is clearly over: between the two it
stays what it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from raymm.monitoring.events import Event
from raymm.monitoring.triggers import poor

LEAST_ROWS = 500
"""Labelled rows of which the last window is compared with all."""
_SURE = 2.0
"""Times the reach of a 95 % interval by which the last window is surely worse than all labelled
rows: 3.9 deviations, one-sided 4 in 100,000 by chance at one look, as there is one every round."""
_LIKELY = 0.01
"""Chance from which on calibration that was surely worse is no longer called so."""
_SHOWN = ("value", "low", "high", "n")


class News:
    """Compares each report of a monitor with what stood before it.

    Parameters
    ----------
    quality_at_least : float or None
        Of the metric: a floor, or a ceiling for errors; None without one.
    """

    def __init__(self, *, quality_at_least: float | None = None) -> None:
        self._bound = quality_at_least
        self._version: int | None = None
        self._drifted: set[str] = set()
        self._standing: set[str] = set()

    def of(self, report: Mapping[str, Any], *, at: float) -> tuple[Event, ...]:
        """Return what is new in a report; of an empty one, nothing.

        The first report, and the first of another champion, are compared with nothing. What a
        report does not tell of stays as it was.

        Parameters
        ----------
        report : mapping
            As `raymm.monitoring.observer.Observer.report` makes it.
        at : float
            Seconds since 1970 UTC.
        """
        if not report:
            return ()
        if report["version"] != self._version:
            self._version, self._drifted, self._standing = report["version"], set(), set()
        about = {"model": report["model"], "number": report["version"], "at": at}
        found = [*self._features(report), *self._predictions(report)]
        quality = report.get("quality") or {}
        found += [*self._quality(quality), *self._calibration(quality.get("calibration") or {})]
        return tuple(
            Event(kind=kind, reason=reason, figures=figures, **about)
            for kind, reason, figures in found
        )

    def _features(self, report: Mapping[str, Any]) -> Iterator[_Found]:
        old, new = self._drifted, set(report.get("drifted", ()))
        self._drifted = new
        if new - old:
            figures = {name: report["features"][name]["reasons"] for name in sorted(new)[:20]}
            yield "drift", f"{', '.join(sorted(new - old)[:5])} drifted.", figures
        if old and not new:
            yield "calm", "No feature drifts any more.", {}

    def _predictions(self, report: Mapping[str, Any]) -> Iterator[_Found]:
        one = report.get("prediction") or {}
        begins = one.get("drifted")
        figures = {key: one.get(key) for key in ("statistic", "threshold", "reasons", "against")}
        turn = self._turned("prediction", begins=begins is True, over=begins is False)
        if turn == "begins":
            beside = f", compared with the {one['against']}" if "against" in one else ""
            yield "prediction_drift", f"The predictions drifted{beside}.", figures
        elif turn == "ends":
            yield "prediction_calm", "The predictions do not drift any more.", {}

    def _quality(self, whole: Mapping[str, Any]) -> Iterator[_Found]:
        recent = whole.get("recent") or {}
        told = poor(recent, self._bound)
        turns = [
            self._turned("bound", begins=bool(told), over=_reaches(recent, self._bound)),
            self._turned("fall", begins=_fall(whole) > _SURE, over=_fall(whole) <= 1),
        ]
        figures = {
            "metric": recent.get("metric"), "direction": recent.get("direction"),
            "quality_at_least": self._bound,
            "recent": {key: recent.get(key) for key in _SHOWN},
            "all": {key: whole.get(key) for key in _SHOWN},
        }  # fmt: skip
        fell = (
            f"{recent.get('metric')} of the last {recent.get('n')} labelled rows is surely worse "
            f"than of all {whole.get('n')}"
        )
        reasons = [
            reason
            for turn, reason in zip(turns, (told, fell), strict=True)
            if turn == "begins"
        ]  # fmt: skip
        if reasons:
            yield "quality", f"{'; '.join(reasons)}.", figures
        elif "ends" in turns and not self._standing & {"bound", "fall"}:
            yield "quality_calm", "Quality is not surely worse any more.", figures

    def _calibration(self, one: Mapping[str, Any]) -> Iterator[_Found]:
        worse = one.get("worse")
        over = worse is False and not any(
            _unlikely(part, one.get("test")) for part in (one, one.get("recent") or {})
        )
        figures = {key: one.get(key) for key in ("measure", *_SHOWN, "test", "chance")}
        turn = self._turned("calibration", begins=worse is True, over=over)
        if turn == "begins":
            measure = str(one.get("measure", "calibration")).replace("_", " ")
            told = f"By true labels, the {measure} is surely worse than on the test rows."
            yield "calibration", told, figures
        elif turn == "ends":
            told = "Calibration is not surely worse than on the test rows any more."
            yield "calibration_calm", told, figures

    def _turned(self, trouble: str, *, begins: bool, over: bool) -> str:
        """Note whether a trouble stands, and return "begins", "ends" or "" where nothing turned."""
        if begins and trouble not in self._standing:
            self._standing.add(trouble)
            return "begins"
        if over and not begins and trouble in self._standing:
            self._standing.remove(trouble)
            return "ends"
        return ""


_Found = tuple[str, str, Mapping[str, Any]]
"""The kind of an event, its reason and its figures."""


def _reaches(recent: Mapping[str, Any], bound: float | None) -> bool:
    """Return whether the last window's own value, whatever its interval, reaches the bound."""
    value = recent.get("value")
    if bound is None or value is None:
        return False
    return bool(value <= bound if recent["direction"] == "minimize" else value >= bound)


def _fall(whole: Mapping[str, Any]) -> float:
    """Return how much worse the last window is than all, in reaches of their difference's interval.

    The intervals' facing sides add up as independent ones do: a little too much, since the last
    window is among all. NaN where too little is known.
    """
    recent = whole.get("recent") or {}
    ends: list[Any] = [one.get(key) for one in (whole, recent) for key in ("value", "low", "high")]
    if None in ends or whole.get("n", 0) < LEAST_ROWS or recent["n"] >= whole["n"]:
        return math.nan
    value, low, high, now, least, most = map(float, ends)
    if recent["direction"] == "minimize":
        worse, reach = now - value, math.hypot(now - least, high - value)
    else:
        worse, reach = value - now, math.hypot(most - now, value - low)
    if reach == 0:
        return math.inf if worse > 0 else 0.0
    return worse / reach


def _unlikely(part: Mapping[str, Any], test: Mapping[str, Any] | None) -> bool:
    """Return whether calibration is further from perfect than on test rows by more than chance."""
    chance, value = part.get("chance"), part.get("value")
    if chance is None or value is None or test is None:
        return False
    return bool(chance < _LIKELY and abs(value) > abs(test["value"]))
