"""The loop that keeps a model good, as a state machine without a clock, a disk or a cluster.

::

    watching --trigger--> training --blessed--> shadow --as good--> canary --as good--> watching
       ^                     |                     |                   |     (promoted)
       +------ not blessed --+------- worse -------+------ worse ------+

Each step says what is to be done and why; who carries it out records both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from raymm.artifacts import Release
from raymm.monitoring.triggers import Policy, decide

Stage = Literal["watching", "training", "shadow", "canary"]
Action = Literal["wait", "train", "shadow", "canary", "promote", "reject", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a challenger must show before it takes over.

    Attributes
    ----------
    labels : int
        Labelled rows of the challenger in a stage: quality decides once there are four times as
        many, or as many as the monitor's window, and after the patience at this many.
    margin : float
        What the challenger may be worse by, in the metric's own unit; where less is better, in
        shares of the champion's value. It goes on where its gain is surely (one-sided, 5 %) above
        minus this.
    requests : int
        Requests of the challenger, in each stage, without which nothing is decided.
    patience : float
        Seconds of a stage after which errors and time decide where labels are too few,
        and a challenger that nothing was heard of is given up.
    share : float
        Of the requests that a canary answers.
    slower : float
        Times as slow as the champion, at the 99th percentile, that it may be.
    """

    labels: int = 200
    margin: float = 0.01
    requests: int = 100
    patience: float = 86400.0
    share: float = 0.1
    slower: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Where the loop stands: its stage, since when, the challenger, when training last began.

    A training that has a challenger is over: it could not be put into shadow yet. ``requests`` and
    ``labels`` are what the challenger had answered and had labels of when the stage began.
    """

    stage: Stage = "watching"
    since: float = 0.0
    number: int | None = None
    trained_at: float | None = None
    requests: int = 0
    labels: int = 0
    champion: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is to be done, why, and where the loop then stands.

    ``detail`` is for whoever reads the loop's own output: it may hold values of rows.
    """

    action: Action
    reason: str
    situation: Situation
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is thought of a challenger, and why."""

    verdict: Literal["good", "worse", "unknown"]
    reason: str


_SURE = 1.645
"""Deviations beyond which a challenger is surely worse: one-sided, 5 %."""
_HARM = 4.0
"""Deviations beyond which it is given up at any look: 3 in 100,000 by chance."""


def judge(
    champion: Mapping[str, Any],
    challenger: Mapping[str, Any],
    trial: Trial,
    *,
    waited: float,
    before: tuple[int, int] = (0, 0),
) -> Judgement:
    """Compare the monitors' reports of two versions.

    Errors first; then quality by labels where both have enough; where they have not after the
    patience, errors and time alone. What a challenger answers is not judged without labels.

    Parameters
    ----------
    champion, challenger : mapping
        Of the monitor's report, the parts under "versions".
    waited : float
        Seconds since the challenger's stage began.
    before : tuple of int, int
        The challenger's requests and labels, as `heard` counts them, when its stage began.
    """
    requests, labels = (
        now - then if now >= then else now
        for now, then in zip(heard(challenger), before, strict=True)
    )
    failing = _failing(champion, challenger)
    if failing:
        return Judgement(verdict="worse", reason=failing)
    if requests < trial.requests:
        told = f"it has answered {requests} of {trial.requests} requests"
        late = waited > trial.patience
        return Judgement(verdict="worse" if late else "unknown", reason=told)
    slow = _slow(champion, challenger, trial.slower)
    if slow:
        return Judgement(verdict="worse", reason=slow)
    known = _by_labels(champion, challenger, trial, labels, late=waited > trial.patience)
    if known is not None:
        return known
    if waited <= trial.patience:
        return Judgement(verdict="unknown", reason="labels of its answers are still too few")
    return Judgement(
        verdict="good",
        reason="it fails no oftener and is no slower; without labels its answers were not judged",
    )


def heard(version: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many requests and labels of a version its monitor has counted in all."""
    return int(version.get("requests", 0)), int(version.get("quality", {}).get("joined", 0))


def _failing(champion: Mapping[str, Any], challenger: Mapping[str, Any]) -> str:
    """Return that the challenger surely fails oftener; empty where it does not."""
    rates, counts = [], []
    for report in (champion, challenger):
        requests = int(report.get("requests", 0))
        failed = sum(
            count
            for error, count in report.get("errors", {}).items()
            if error in ("ServingError", "BundleError", "Exception")
        )
        counts.append((failed, requests))
        rates.append(failed / requests if requests else 0.0)
    (old, all_old), (new, all_new) = counts
    if not new:
        return ""
    pooled = (old + new) / (all_old + all_new)
    spread = math.sqrt(max(pooled * (1 - pooled), 1e-12) * (1 / max(all_old, 1) + 1 / all_new))
    if rates[1] - rates[0] > max(_SURE * spread, 1 / all_new) and new >= 3:
        return f"it failed {new} of {all_new} requests, the champion {old} of {all_old}"
    return ""


def _slow(champion: Mapping[str, Any], challenger: Mapping[str, Any], slower: float) -> str:
    usual = champion.get("latency", {}).get("p99")
    seen = challenger.get("latency", {}).get("p99")
    if not usual or not seen or seen <= slower * usual:
        return ""
    return (
        f"99 % of its answers take up to {1e3 * seen:.3g} ms, the champion's {1e3 * usual:.3g} ms"
    )


def _by_labels(
    champion: Mapping[str, Any],
    challenger: Mapping[str, Any],
    trial: Trial,
    labels: int,
    *,
    late: bool,
) -> Judgement | None:
    """Return what labels say; None where they are too few.

    They are looked at often and decide once, at a number of ``labels`` of the stage that is fixed
    beforehand: who may stop at any look finds a good one in nearly every challenger. The two
    intervals count as independent, which errs on the champion's side where rows are the same.
    """
    one = challenger.get("champion") or champion.get("quality", {}).get("recent", {})
    other = challenger.get("quality", {}).get("recent", {})
    figures = [one.get(key) for key in ("value", "low", "high")]
    figures += [other.get(key) for key in ("value", "low", "high")]
    window = int(challenger.get("window", {}).get("rows", 4 * trial.labels))
    first, full = min(trial.labels, window), min(4 * trial.labels, window)
    seen = min(one.get("n", 0), other.get("n", 0), labels)
    if seen < first or any(value is None for value in figures):
        return None
    sign = 1.0 if other["direction"] == "maximize" else -1.0
    gain = sign * (other["value"] - one["value"])
    widths = [(side["high"] - side["low"]) / (2 * 1.96) for side in (one, other)]
    told = (
        f"{other['metric']} is {other['value']:.4g} on {other['n']} labelled rows, the champion's "
        f"{one['value']:.4g} on {one['n']}"
    )
    spread = math.hypot(*widths)
    margin = trial.margin * (1.0 if sign > 0 else abs(one["value"]))
    if gain < -_HARM * spread - margin:
        return Judgement(verdict="worse", reason=told)
    if seen < full and not late:
        return None
    good = gain - _SURE * spread > -margin
    told += f": a gain of {gain:.4g}, at least {gain - _SURE * spread:.4g}"
    return Judgement(verdict="good" if good else "worse", reason=told)


def advance(
    situation: Situation,
    report: Mapping[str, Any],
    *,
    policy: Policy,
    trial: Trial,
    now: float,
    asked: str = "",
    release: Release | None = None,
) -> Step:
    """Return the next step.

    Parameters
    ----------
    report : mapping
        Of the model's monitor.
    now : float
        Seconds since 1970 UTC.
    asked : str
        Who asks for training, where a person does.
    release : Release or None
        What the registry says is served; a trial ends where that is not what it is a trial of.

    While a training runs there is nothing to do but wait; `trained` says how it ended.
    """
    if situation.stage == "training" and situation.number is not None:
        told = f"version {situation.number} was trained and waits to be tried"
        return trained(
            situation, number=situation.number, reason=told, now=now, report=report,
            champion=None if release is None else release.champion,
        )  # fmt: skip
    if situation.stage == "training":
        return Step(action="wait", reason="training goes on", situation=situation)
    if situation.stage == "watching":
        decision = decide(report, policy, now=now, last=situation.trained_at, asked=asked)
        if decision.action == "none":
            return Step(action="wait", reason=decision.reason, situation=situation)
        begun = Situation(stage="training", since=now, trained_at=now)
        return Step(action="train", reason=decision.reason, situation=begun)
    return _tried(situation, report, trial, now, release)


def _tried(
    situation: Situation,
    report: Mapping[str, Any],
    trial: Trial,
    now: float,
    release: Release | None,
) -> Step:
    """Return the next step of a trial, with parameters as of `advance`."""
    watching = Situation(since=now, trained_at=situation.trained_at)
    versions = report.get("versions", {})
    if report.get("version") == situation.number:
        told = f"version {situation.number} is the champion already"
        return Step(action="wait", reason=told, situation=watching)
    if release is not None and (gone := _gone(situation, release)):
        return Step(action="reject", reason=gone, situation=watching)
    if release is not None and report.get("version") != release.champion:
        told = f"the monitor does not yet take version {release.champion} for the champion"
        return Step(action="wait", reason=told, situation=situation)
    challenger = versions.get(str(situation.number), {})
    found = judge(
        versions.get(str(report.get("version")), {}),
        challenger,
        trial,
        waited=now - situation.since,
        before=(situation.requests, situation.labels),
    )
    if found.verdict == "unknown":
        return Step(action="wait", reason=found.reason, situation=situation)
    if found.verdict == "worse":
        return Step(action="reject", reason=found.reason, situation=watching)
    if situation.stage == "shadow":
        requests, labels = heard(challenger)
        onward = replace(situation, stage="canary", since=now, requests=requests, labels=labels)
        return Step(action="canary", reason=found.reason, situation=onward)
    return Step(action="promote", reason=found.reason, situation=watching)


def _gone(situation: Situation, release: Release) -> str:
    """Return why a trial's versions are not served as it needs; empty where they are."""
    role = release.role(situation.number or 0)
    if role != situation.stage:
        now = role or "without a role"
        return (
            f"somebody changed the release: version {situation.number}, in {situation.stage} "
            f"before, is {now}"
        )
    if situation.champion is not None and release.champion != situation.champion:
        return f"it was tried against version {situation.champion}, no longer the champion"
    return ""


def trained(
    situation: Situation,
    *,
    number: int | None,
    reason: str,
    now: float,
    report: Mapping[str, Any] | None = None,
    champion: int | None = None,
) -> Step:
    """Return the step after a training: its version goes into shadow, or nothing came of it.

    ``number`` is None where no version was blessed, and ``reason`` says why. What the monitor's
    ``report`` knows of the version from an earlier trial counts for nothing in this one;
    ``champion`` is the version that reigns.
    """
    if number is None:
        after = Situation(since=now, trained_at=situation.trained_at)
        return Step(action="reject", reason=reason, situation=after)
    requests, labels = heard((report or {}).get("versions", {}).get(str(number), {}))
    after = Situation(
        stage="shadow", since=now, number=number, trained_at=situation.trained_at,
        requests=requests, labels=labels, champion=champion,
    )  # fmt: skip
    return Step(action="shadow", reason=reason, situation=after)
