"""The loop that keeps a model good, as a state machine without a clock, a disk or a cluster.

::

    watching --trigger--> training --blessed--> shadow --as good--> canary --as good--> watching
       ^                     |                     |                   |     (promoted)
       +------ not blessed --+------- worse -------+------ worse ------+

    watching --another champion--> probation --confirmed, or rolled back--> watching

A champion on probation is compared with the one before it, which goes on in shadow. Each step
says what is to be done and why; who carries it out records both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from raymm.artifacts import Release, Wish
from raymm.monitoring.answered import NOTHING, Answered
from raymm.monitoring.triggers import Policy, asked_for, decide
from raymm.monitoring.verdict import Trial, heard, judge, judge_again

Stage = Literal["watching", "training", "shadow", "canary", "probation"]
Action = Literal[
    "wait", "train", "shadow", "canary", "promote", "reject", "fail", "guard", "confirm", "rollback"
]


TRIES = 3
"""How often a training that a person asked for is begun, where it fails or the loop is killed."""
RETRY = 600.0
"""Seconds after a training that failed until it is begun again."""
MARK_EVERY = 43200.0
"""Seconds between marks of what a champion has answered: two of them are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a version had answered in all at a time, in seconds since 1970 UTC."""

    at: float
    number: int
    counted: Answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Where the loop stands: its stage, since when, of which version, when training last began.

    A training that has a challenger is over: it could not be put into shadow yet. ``requests`` is
    what the version had answered when the stage began, and ``labels`` what it had labels of when
    the trial or the probation began. ``champion`` is the champion of a trial; while watching, the
    last one known; ``earlier`` the one before a champion on probation. ``settled`` says whether
    labelled rows let a canary go on from shadow. ``usual`` is how the earlier one answered in the
    day before the probation began. ``counted`` is what the version had answered when the stage
    began, and ``other`` what the champion of its trial had. ``marks`` are of the champion known.
    ``blessed`` says whether the version is: else labels alone can let it take over. ``wish`` is
    what persons asked for, from when it is taken up until its training is over. ``completed`` is
    when the last training began that came to an end, whatever came of it: one that failed or was
    killed does not count. ``version`` is that of the format.
    """

    stage: Stage = "watching"
    since: float = 0.0
    number: int | None = None
    trained_at: float | None = None
    requests: int = 0
    labels: int = 0
    champion: int | None = None
    earlier: int | None = None
    settled: bool = False
    usual: Answered | None = None
    counted: Answered = NOTHING
    other: Answered = NOTHING
    marks: tuple[Mark, ...] = ()
    blessed: bool = True
    wish: Wish | None = None
    completed: float | None = None
    version: int = 1

    def over(self, now: float, *, champion: int | None, wish: Wish | None = None) -> Situation:
        """Return the situation of who watches from now on, and knows when it trained last."""
        return Situation(
            since=now, trained_at=self.trained_at, completed=self.completed, champion=champion,
            wish=wish,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is to be done, why, and where the loop then stands.

    ``detail`` is for whoever reads the loop's own output: it may hold values of rows.
    """

    action: Action
    reason: str
    situation: Situation
    detail: str = ""


def advance(
    situation: Situation,
    report: Mapping[str, Any],
    *,
    policy: Policy,
    trial: Trial,
    now: float,
    wish: Wish | None = None,
    release: Release | None = None,
    ours: str | None = None,
) -> Step:
    """Return the next step.

    Parameters
    ----------
    report : mapping
        Of the model's monitor.
    now : float
        Seconds since 1970 UTC.
    wish : Wish or None
        What persons ask for and no loop has taken up: it waits until the loop watches. One of the
        situation comes first: its training was cut off or failed, and goes on.
    release : Release or None
        What the registry says is served; a trial ends where that is not what it is a trial of.
    ours : str or None
        Why the loop itself changed the role of the situation's version last; None where it did not.
        A loop that ended between a step and its remembrance goes on from that step.

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
    if situation.stage == "probation":
        return _probation(situation, report, trial, now, release)
    if situation.stage == "watching":
        if release is not None and release.champion != situation.champion:
            if trial.rollback and situation.champion in release.earlier[:1]:
                return _guarded(situation, report, now, release)
            situation = replace(situation, champion=release.champion)
        return _watched(situation, report, policy, now, wish)
    return _tried(situation, report, trial, now, release, ours)


def _watched(
    situation: Situation,
    report: Mapping[str, Any],
    policy: Policy,
    now: float,
    wish: Wish | None,
) -> Step:
    """Return whether to train, with parameters as of `advance`."""
    cut, wish = situation.wish, situation.wish or wish
    if cut is not None and cut.tries >= TRIES:
        told = f"asked for by {cut.told}: the training was cut off {cut.tries} times and is left"
        return Step(action="reject", reason=told, situation=replace(situation, wish=None))
    if cut is not None and now < cut.after:
        told = f"the training failed, and is begun again in {cut.after - now:.0f} s"
        return Step(action="wait", reason=told, situation=situation)
    asked = "" if wish is None else wish.told
    decision = decide(
        report, policy, now=now, last=situation.trained_at, completed=situation.completed,
        asked=asked,
    )  # fmt: skip
    if decision.action == "none":
        return Step(action="wait", reason=decision.reason, situation=situation)
    reason = decision.reason
    if wish is not None:
        wish = replace(wish, tries=wish.tries + 1, after=0.0)
        reason = asked_of(wish)
    begun = replace(situation, stage="training", since=now, trained_at=now, wish=wish)
    return Step(action="train", reason=reason, situation=begun)


def asked_of(wish: Wish) -> str:
    """Return why there is a training of a wish, and which try of how many it is, but of the first.

    >>> asked_of(Wish(numbers=(1,), told="ann@desk", tries=2))
    'asked for by ann@desk. It did not end before, and goes on: try 2 of 3.'
    """
    again = f" It did not end before, and goes on: try {wish.tries} of {TRIES}."
    return asked_for(wish.told) + (again if wish.tries > 1 else "")


def untrained(situation: Situation, *, reason: str, now: float) -> Step:
    """Return the step after a training that could not be carried through.

    What a person asked for is begun again after `RETRY` seconds, up to `TRIES` times in all: Ray,
    storage or data may be away only now. A trigger fires again by itself, after its pause.
    """
    wish = situation.wish
    if wish is None:
        return trained(situation, number=None, reason=reason, now=now, champion=situation.champion)
    if wish.tries >= TRIES:
        told = f"asked for by {wish.told}: {reason}; that was try {wish.tries}, and it is left"
        return trained(situation, number=None, reason=told, now=now, champion=situation.champion)
    told = f"{reason}; it is begun again in {RETRY / 60:.0f} minutes, try {wish.tries} of {TRIES}"
    after = replace(situation, stage="watching", since=now, wish=replace(wish, after=now + RETRY))
    return Step(action="fail", reason=told, situation=after)


def _tried(
    situation: Situation,
    report: Mapping[str, Any],
    trial: Trial,
    now: float,
    release: Release | None,
    ours: str | None,
) -> Step:
    """Return the next step of a trial, with parameters as of `advance`."""
    watching = situation.over(now, champion=situation.champion)
    versions = report.get("versions", {})
    reigning = report.get("version") if release is None else release.champion
    if situation.number in (reigning, report.get("version")):
        told = f"version {situation.number} is the champion already"
        return Step(action="wait", reason=told, situation=watching)
    if release is not None and (gone := _gone(situation, release, ours)):
        return Step(action="reject", reason=gone, situation=watching)
    challenger = versions.get(str(situation.number), {})
    onward = replace(
        situation, stage="canary", since=now, requests=heard(challenger)[0],
        counted=Answered.of(challenger), other=_champion(report),
    )  # fmt: skip
    if release is not None and release.role(situation.number or 0) != situation.stage:
        told = f"version {situation.number} is in canary already: {ours}"
        return Step(action="wait", reason=told, situation=onward)
    if release is not None and report.get("version") != release.champion:
        told = f"the monitor does not yet take version {release.champion} for the champion"
        return Step(action="wait", reason=told, situation=situation)
    found = judge(
        versions.get(str(report.get("version")), {}),
        challenger,
        trial,
        waited=now - situation.since,
        before=(situation.requests, situation.labels),
        settled=situation.settled,
        then=(situation.other, situation.counted),
        blessed=situation.blessed,
    )
    if found.verdict == "unknown":
        told = found.reason if found.overdue else ""
        return Step(action="wait", reason=found.reason, situation=situation, detail=told)
    if found.verdict == "worse":
        return Step(action="reject", reason=found.reason, situation=watching)
    if situation.stage == "shadow":
        # Labels go on counting: those of answers in shadow may come now.
        onward = replace(onward, settled=found.labelled)
        return Step(action="canary", reason=found.reason, situation=onward)
    return Step(action="promote", reason=found.reason, situation=watching)


def _gone(situation: Situation, release: Release, ours: str | None) -> str:
    """Return why a trial's versions are not served as it needs; empty where they are.

    Parameters are as of `advance`.
    """
    role = release.role(situation.number or 0)
    onward = ours is not None and (situation.stage, role) == ("shadow", "canary")
    if not role and ours is not None:
        return ours
    if role != situation.stage and not onward:
        now = role or "without a role"
        return (
            f"somebody changed the release: version {situation.number}, in {situation.stage} "
            f"before, is {now}"
        )
    if situation.champion is not None and release.champion != situation.champion:
        return f"it was tried against version {situation.champion}, no longer the champion"
    return ""


def _guarded(situation: Situation, report: Mapping[str, Any], now: float, release: Release) -> Step:
    """Return the step that puts a new champion on probation."""
    number, earlier = release.champion, situation.champion
    known, champion = (report.get("versions", {}).get(str(one), {}) for one in (earlier, number))
    requests, labels = heard(champion)
    onward = Situation(
        stage="probation", since=now, number=number, trained_at=situation.trained_at,
        completed=situation.completed, requests=requests, labels=labels, champion=number,
        earlier=earlier, usual=_lately(situation, earlier, known),
        counted=Answered.of(champion), wish=situation.wish,
    )  # fmt: skip
    told = f"version {earlier} is compared with version {number}, which took its place"
    return Step(action="guard", reason=told, situation=onward)


def _probation(
    situation: Situation,
    report: Mapping[str, Any],
    trial: Trial,
    now: float,
    release: Release | None,
) -> Step:
    """Return the next step of a new champion, with parameters as of `advance`."""
    number, earlier = situation.number, situation.earlier
    watching = situation.over(now, champion=number, wish=situation.wish)
    if release is not None and (release.champion, release.earlier[:1]) != (number, (earlier,)):
        told = f"somebody changed the release: it is version {release.champion} that answers now"
        return Step(action="wait", reason=told, situation=watching)
    if not trial.rollback:
        told = f"version {number} stays: monitoring.trial.rollback is off"
        return Step(action="confirm", reason=told, situation=watching)
    if report.get("version") != number:
        told = f"the monitor does not yet take version {number} for the champion"
        return Step(action="wait", reason=told, situation=situation)
    versions = report.get("versions", {})
    found = judge_again(
        versions.get(str(earlier), {}),
        versions.get(str(number), {}),
        trial,
        waited=now - situation.since,
        before=(situation.requests, situation.labels),
        usual=situation.usual,
        then=situation.counted,
    )
    if found.verdict == "unknown":
        told = found.reason if found.overdue else ""
        return Step(action="wait", reason=found.reason, situation=situation, detail=told)
    if found.verdict == "worse":
        told = f"worse than version {earlier} before it: {found.reason}"
        return Step(action="rollback", reason=told, situation=replace(watching, champion=earlier))
    told = f"version {number} is not worse than version {earlier} before it: {found.reason}"
    return Step(action="confirm", reason=told, situation=watching)


def _champion(report: Mapping[str, Any]) -> Answered:
    return Answered.of(report.get("versions", {}).get(str(report.get("version")), {}))


def marked(situation: Situation, report: Mapping[str, Any], now: float) -> Situation:
    """Return a situation with a mark of its champion where one is due.

    It is from these that a champion that has gone answers for its last day alone: who asks, and
    for what, changes over the life of a version.
    """
    number = situation.champion
    known = report.get("versions", {}).get(str(number))
    kept = tuple(one for one in situation.marks if one.number == number)
    if known is None or number is None:
        return replace(situation, marks=kept)
    if not kept or now - kept[-1].at >= MARK_EVERY:
        kept = (*kept[-1:], Mark(at=now, number=number, counted=Answered.of(known)))
    return replace(situation, marks=kept)


def _lately(situation: Situation, number: int | None, known: Mapping[str, Any]) -> Answered:
    """Return what a version answered since its older mark; without one, all that is known."""
    marks = [one.counted for one in situation.marks if one.number == number]
    return Answered.of(known).since(marks[0]) if marks else Answered.of(known)


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
        after = situation.over(now, champion=champion)
        return Step(action="reject", reason=reason, situation=after)
    known = (report or {}).get("versions", {}).get(str(number), {})
    requests, labels = heard(known)
    after = Situation(
        stage="shadow", since=now, number=number, trained_at=situation.trained_at,
        completed=situation.completed, requests=requests, labels=labels, champion=champion,
        counted=Answered.of(known), other=_champion(report or {}), blessed=situation.blessed,
    )  # fmt: skip
    return Step(action="shadow", reason=reason, situation=after)
