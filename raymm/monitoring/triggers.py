"""Whether a monitor's report calls for training again; only the decision is made here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from raymm.sections import MonitoringConfig, Reason

OFF = "Training again is off."
"""The reason where nothing is to call for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When to train again.

    Attributes
    ----------
    on : tuple of str
        Of "drift", "quality", "age" and "schedule"; empty for never.
    windows : int
        How many windows in a row a feature must have drifted, at least 1.
    pause : float
        The least time between two trainings, in seconds.
    quality_at_least : float or None
        Of the metric: a floor, or a ceiling for errors.
    max_age, every : float or None
        Since the champion is served, and between trainings, in seconds.
    """

    on: tuple[Reason, ...] = ()
    windows: int = 3
    pause: float = 86400.0
    quality_at_least: float | None = None
    max_age: float | None = None
    every: float | None = None

    def __post_init__(self) -> None:
        if self.windows < 1 or self.pause < 0:
            raise ValueError(
                "windows must be at least 1 and pause at least 0, but got "
                f"windows={self.windows}, pause={self.pause}"
            )

    @classmethod
    def of(cls, config: MonitoringConfig) -> Policy:
        """Return the policy that a configuration asks for."""
        return cls(
            on=() if config.retrain == "off" else config.retrain,
            windows=config.windows,
            pause=config.pause or 0.0,
            quality_at_least=config.quality_at_least,
            max_age=config.max_age,
            every=config.every,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do, why, as a sentence, and which trigger it was ("person" where one asked)."""

    action: Literal["none", "retrain"]
    reason: str
    trigger: str = ""


def decide(
    report: Mapping[str, Any],
    policy: Policy,
    *,
    now: float,
    last: float | None = None,
    completed: float | None = None,
    asked: str = "",
) -> Decision:
    """Decide on one report of the monitors.

    Parameters
    ----------
    report : mapping
        As `raymm.monitoring.observer` makes it.
    now : float
        Seconds since 1970 UTC.
    last : float or None
        When training last began, in the same unit; None where it never did. The pause counts from
        it.
    completed : float or None
        When the last training began that came to an end. The schedule counts from it, so that one
        that failed is begun again after the pause and not after a whole period.
    asked : str
        Who asks for it, and why; a person's wish is no trigger's, and waits for no pause.
    """
    if asked:
        return Decision(action="retrain", reason=asked_for(asked), trigger="person")
    if not policy.on:
        return Decision(action="none", reason=OFF)
    found = [(trigger, _why(trigger, report, policy, now, completed)) for trigger in policy.on]
    fired = [(trigger, why) for trigger, why in found if why]
    if not fired:
        calm = {
            "drift": f"Nothing drifted for {policy.windows} windows in a row.",
            "quality": "Quality is not surely below its bound.",
            "age": "The champion is young enough.",
            "schedule": "It is not time yet.",
        }
        return Decision(action="none", reason=" ".join(calm[trigger] for trigger in policy.on))
    what = "; ".join(why for _, why in fired)
    if last is not None and now - last < policy.pause:
        wait = policy.pause - (now - last)
        return Decision(
            action="none", reason=f"{what}, but training began lately; wait {wait:.0f} s."
        )
    return Decision(action="retrain", reason=f"{what}.", trigger=fired[0][0])


def asked_for(told: str) -> str:
    """Return the reason of a training that persons asked for, of who asks and why.

    >>> asked_for("ann@desk: new prices.")
    'asked for by ann@desk: new prices.'
    """
    return f"asked for by {told.rstrip('.')}."


def _why(
    trigger: Reason, report: Mapping[str, Any], policy: Policy, now: float, completed: float | None
) -> str:
    """Return why a trigger fires; empty where it does not."""
    if trigger == "drift":
        return _drifted(report, policy.windows)
    if trigger == "quality":
        return poor(report.get("quality", {}).get("recent", {}), policy.quality_at_least)
    since = report.get("since")
    if trigger == "age":
        age = now - since if since is not None else 0.0
        old = policy.max_age is not None and age >= policy.max_age
        return f"the champion has been served for {_days(age)}" if old else ""
    before = since if completed is None else completed
    waited = now - before if before is not None else 0.0
    due = policy.every is not None and waited >= policy.every
    return f"it is {_days(waited)} since the last training" if due else ""


def _days(seconds: float) -> str:
    return f"{seconds / 86400:.3g} days"


def _drifted(report: Mapping[str, Any], windows: int) -> str:
    streaks = {
        name: int(feature.get("streak", 0)) for name, feature in report.get("features", {}).items()
    }
    if "prediction" in report:
        streaks["the prediction"] = int(report["prediction"].get("streak", 0))
    lasting = sorted(name for name, streak in streaks.items() if streak >= windows)
    if not lasting:
        return ""
    return f"{', '.join(lasting[:5])} drifted for {windows} windows in a row"


def poor(recent: Mapping[str, Any], bound: float | None) -> str:
    """Return how poor quality is where even the better end of its interval is beyond the bound.

    ``recent`` is that of the last window of labelled rows, as a report has it; empty where quality
    is not surely poor, or nothing is known of it.
    """
    if bound is None or recent.get("low") is None or recent.get("high") is None:
        return ""
    falls = recent["direction"] == "minimize"
    poor = recent["low"] > bound if falls else recent["high"] < bound
    if not poor:
        return ""
    side = "over" if falls else "below"
    return (
        f"{recent['metric']} of the last {recent['n']} labelled rows is {recent['value']:.4g}, "
        f"surely {side} {bound:.4g}"
    )
