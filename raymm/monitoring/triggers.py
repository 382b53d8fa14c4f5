"""Whether a monitor's report calls for training again; only the decision is made here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from raymm.sections import MonitoringConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When to train again.

    Attributes
    ----------
    on : str
        "drift", or "off" for never.
    windows : int
        How many windows in a row a feature must have drifted, at least 1.
    pause : float
        The least time between two trainings, in seconds.
    """

    on: Literal["off", "drift"] = "off"
    windows: int = 3
    pause: float = 86400.0

    def __post_init__(self) -> None:
        if self.windows < 1 or self.pause < 0:
            raise ValueError(
                "windows must be at least 1 and pause at least 0, but got "
                f"windows={self.windows}, pause={self.pause}"
            )

    @classmethod
    def of(cls, config: MonitoringConfig) -> Policy:
        """Return the policy that a configuration asks for."""
        return cls(on=config.retrain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do, and why, as a sentence."""

    action: Literal["none", "retrain"]
    reason: str


def decide(
    report: Mapping[str, Any], policy: Policy, *, now: float, last: float | None = None
) -> Decision:
    """Decide on one report of the monitors.

    Parameters
    ----------
    report : mapping
        As `raymm.monitoring.drift` makes it.
    now : float
        Seconds since 1970 UTC.
    last : float or None
        When training last began, in the same unit; None where it never did.
    """
    if policy.on == "off":
        return Decision(action="none", reason="Training again is off.")
    streaks = {
        name: int(feature.get("streak", 0)) for name, feature in report.get("features", {}).items()
    }
    if "prediction" in report:
        streaks["the prediction"] = int(report["prediction"].get("streak", 0))
    lasting = sorted(name for name, streak in streaks.items() if streak >= policy.windows)
    if not lasting:
        return Decision(
            action="none", reason=f"Nothing drifted for {policy.windows} windows in a row."
        )
    what = f"{', '.join(lasting[:5])} drifted for {policy.windows} windows in a row"
    if last is not None and now - last < policy.pause:
        wait = policy.pause - (now - last)
        return Decision(
            action="none", reason=f"{what}, but training began lately; wait {wait:.0f} s."
        )
    return Decision(action="retrain", reason=f"{what}.")
