"""Keeps a model good beside its service: watches, trains again, tries the challenger, decides.

What is to be done comes from `raymm.monitoring.loop`; here it is carried out. Where the loop
stands is kept in a file, so that a loop that ends goes on where it was.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from raymm import lifecycle
from raymm.artifacts import Notify, Release
from raymm.errors import ConfigError, NotBlessed, NotFound, RaymmError
from raymm.monitoring.events import Event, news, tell
from raymm.monitoring.loop import Situation, Step, advance, trained
from raymm.monitoring.triggers import Policy
from raymm.monitoring.verdict import Trial
from raymm.registry.releases import Change, Releases, released
from raymm.registry.versions import Registry
from raymm.sections import MonitoringConfig
from raymm.sole import sole
from raymm.standing import recall, remember

WHO = "policy"
"""Who changed the release, in the registry's history."""
_REACHED = ("promote", "rollback")
"""Changes that make a champion."""


class Hands(Protocol):
    """Carries steps out; each call may raise a RaymmError."""

    def train(self, reason: str) -> tuple[int | None, str]:
        """Train on the newest data; return the blessed version, or None and why there is none."""
        ...

    def act(self, step: Step, number: int) -> None:
        """Carry out a step with a version, for the step's reason.

        It becomes shadow, canary or champion, or is taken out; as a champion it is guarded (the
        one before goes on in shadow), confirmed (that shadow ends), or rolled back.
        """
        ...

    def record(self, step: Step, number: int | None) -> None:
        """Write down a step, and the version that it is about, with its reason."""
        ...

    def release(self) -> Release:
        """Return what is served now."""
        ...

    def settle(self) -> None:
        """End every canary and shadow that the loop brought in: it tends none."""
        ...


@dataclass(frozen=True, kw_only=True)
class RegistryHands:
    """Trains with the champion's configuration and changes the registry's release.

    Attributes
    ----------
    source : str
        Where the newest data is, read anew at each training.
    changes : mapping of dotted key to value
        As in `raymm.config.load`, for the trainings.
    share : float
        Of the requests that a canary answers.
    """

    name: str
    storage: str
    source: str
    changes: Mapping[str, Any]
    share: float
    notify: Notify

    def train(self, reason: str) -> tuple[int | None, str]:
        """See `Hands.train`; it begins with what the runs before found."""
        config = lifecycle.again(self.name, self.source, {**self.changes, "storage": self.storage})
        run = lifecycle.run(config, notify=self.notify, promote=False)
        name = f"version {run.version.number}"
        champion = Registry(self.storage).champion(self.name)
        if champion is not None and champion.number == run.version.number:
            return None, f"{name} is the champion: the data has not changed"
        if not run.blessing.blessed:
            failed = " ".join(one.statement for one in run.blessing.checks if not one.passed)
            return None, f"{name} is not blessed: {failed}"
        score = run.evaluation.score
        return run.version.number, f"{reason} {name} has {score.metric} {score.value:.4g}"

    def act(self, step: Step, number: int) -> None:
        """See `Hands.act`."""
        releases = Registry(self.storage).releases(self.name)
        if step.action in ("shadow", "canary"):
            self._require_free(releases, step.action, number)
        if step.action == "shadow":
            releases.shadow(number, reason=step.reason, who=WHO)
        elif step.action == "canary":
            releases.canary(number, self.share, reason=step.reason, who=WHO)
        elif step.action == "promote":
            releases.promote(number, reason=step.reason, who=WHO)
        elif step.action == "reject":
            self._end(releases, step.reason, number)
        elif step.action == "guard":
            self._guard(releases, step.reason, number)
        elif step.action == "confirm":
            self._end(releases, step.reason)
        elif step.action == "rollback":
            since = _promotion(releases.changes(), number).sequence
            if releases.refuse(number, since=since, reason=step.reason, who=WHO) is None:
                raise NotFound(f"version {number} is no champion with one before it any more")

    def record(self, step: Step, number: int | None) -> None:
        """See `Hands.record`: in the registry, beside the history of what is served."""
        Registry(self.storage).decisions(self.name).add(
            step.action, reason=step.reason, number=number
        )

    def release(self) -> Release:
        """See `Hands.release`."""
        return Registry(self.storage).releases(self.name).current()

    def settle(self) -> None:
        """See `Hands.settle`."""
        self._end(Registry(self.storage).releases(self.name), "the loop tends it no longer")

    def _require_free(self, releases: Releases, role: str, number: int) -> None:
        """Raise NotBlessed where a person put another version into the role, or this into one."""
        history = releases.changes()
        now = released(self.name, history)
        for held in {getattr(now, role) or number, number}:
            place = now.role(held)
            if place in ("shadow", "canary") and not _ours(history, held):
                raise NotBlessed(
                    f"version {held} is in {place} by a person's wish, and stays there. When it is "
                    f"needed no more: raymm {place} {self.name} --end"
                )

    def _guard(self, releases: Releases, reason: str, number: int) -> None:
        """Let the champion before a version go on in shadow, where none is there."""
        history = releases.changes()
        now = released(self.name, history)
        made = _promotion(history, number)
        if made.forced or made.insisted:
            raise NotBlessed(f"version {number} was promoted by force, and is left alone")
        free = now.earlier and now.shadow is None and not now.role(now.earlier[0])
        if now.champion == number and free:
            releases.shadow(now.earlier[0], reason=reason, force=True, who=WHO)

    def _end(self, releases: Releases, reason: str, only: int | None = None) -> None:
        """End the canary and the shadow, or ``only`` one; what a person brought in stays."""
        history = releases.changes()
        now = released(self.name, history)
        for number in (now.canary, now.shadow):
            if number is not None and _ours(history, number) and only in (None, number):
                since = history[-1].sequence
                releases.refuse(number, since=since, reason=reason, who=WHO)


def _ours(history: Sequence[Change], number: int) -> bool:
    """Whether the loop made the last change of a version."""
    return [one.who for one in history if one.number == number][-1:] == [WHO]


def _promotion(history: Sequence[Change], number: int) -> Change:
    """Return the promotion that made a version champion last.

    Raises NotFound where none did, and NotBlessed where somebody went back to it since.
    """
    made = [one for one in history if one.number == number and one.action in _REACHED]
    if not made:
        raise NotFound(f"version {number} was never promoted")
    if made[-1].action == "rollback":
        raise NotBlessed(f"version {number} was gone back to, and is left alone")
    return made[-1]


def tend(
    situation: Situation,
    report: Mapping[str, Any],
    hands: Hands,
    *,
    policy: Policy,
    trial: Trial,
    clock: Callable[[], float],
    asked: str = "",
    begun: Callable[[Situation], object] = lambda _: None,
) -> tuple[Step, ...]:
    """Take the next step, and carry it out; a training's step is followed by its outcome's.

    Parameters are those of `raymm.monitoring.loop.advance`; ``clock``, for seconds since 1970 UTC,
    as a training takes long; and ``begun``, which is given the situation of a training before it
    begins, to be remembered should the loop end in it. Each step is written down with its reason,
    a training's before it begins. One that may never be carried out is a rejection, with the error
    as its reason. One that fails in another way, say for storage that is away, is a "fail" and is
    tried again in the next round.
    """
    now = clock()
    try:
        if situation.stage == "watching":
            hands.settle()
        release = hands.release()
    except Exception as error:
        return (_unread(error, situation),)
    step = advance(
        situation, report, policy=policy, trial=trial, now=now, asked=asked, release=release
    )
    steps = [step]
    number = step.situation.number if step.action == "guard" else situation.number
    if step.action == "train":
        begun(step.situation)
        steps[0] = _recorded(hands, step, None)
        number, why, detail = _train(hands, step.reason)
        now = clock()
        situation = replace(step.situation, number=number)
        if number:
            begun(situation)
            try:  # a champion may have come while it was trained
                release = hands.release()
            except Exception as error:
                return *steps, _unread(error, situation)
        step = trained(
            situation, number=number, reason=why, now=now, report=report,
            champion=release.champion,
        )  # fmt: skip
        steps.append(replace(step, detail=detail))
        if not number:
            begun(step.situation)
    if step.action == "wait":
        return tuple(steps)
    after = Situation(since=now, trained_at=step.situation.trained_at, champion=release.champion)
    return *steps[:-1], _carried(hands, steps[-1], number, again=situation, after=after)


def _carried(
    hands: Hands, step: Step, number: int | None, *, again: Situation, after: Situation
) -> Step:
    """Carry a step out and write it down; return it, or what came of it instead.

    The loop then stands at ``after`` where the step may never be carried out, and at ``again``
    where it failed in another way; one that cannot be guarded is watched without.
    """
    try:
        if number is not None:
            hands.act(step, number)
    except (NotBlessed, NotFound, ConfigError) as error:
        step = Step(action="reject", reason=f"{step.action}: {error}", situation=after)
    except Exception as error:
        told = f"{step.action} of version {number} is tried again: {error}"
        if step.action == "guard":  # else nothing would ever be watched again
            told = f"version {number} is not compared with the one before it: {error}"
            again = replace(again, champion=number)
        return Step(action="fail", reason=told, situation=again)
    return _recorded(hands, step, number)


def _unread(error: Exception, situation: Situation) -> Step:
    told = f"the release cannot be read, which is tried again: {error}"
    return Step(action="fail", reason=told, situation=situation)


def _recorded(hands: Hands, step: Step, number: int | None) -> Step:
    """Write a step down, and return it; where that fails, its detail says so."""
    try:
        hands.record(step, number)
    except Exception as error:  # what was done is done, and the loop goes on
        told = f"{step.detail} {step.action} could not be recorded: {error}".strip()
        return replace(step, detail=told)
    return step


def _train(hands: Hands, reason: str) -> tuple[int | None, str, str]:
    """Return what `Hands.train` does, and what went wrong, which may hold values of rows."""
    try:
        return *hands.train(reason), ""
    except Exception as error:  # a training that fails, however it does, ends no loop
        told = f"training failed with {type(error).__name__}; the output of raymm keep says why"
        return None, told, str(error)


def keep(
    name: str,
    fetch: Callable[[], Mapping[str, Any]],
    hands: Hands,
    *,
    config: MonitoringConfig,
    path: Path,
    say: Callable[[str], None],
    pauses: Iterable[float],
    clock: Callable[[], float] = time.time,
) -> None:
    """Tend a model, a round for each of the pauses that follow it.

    Parameters
    ----------
    fetch : function to mapping
        Returns the monitor's report; one that raises a RaymmError is tried again next round.
    path : Path
        Where the loop's situation is kept.
    pauses : iterable of float
        Seconds after each round; without end to go on until interrupted.
    clock : function to float
        Seconds since 1970 UTC.
    """
    situation, policy, trial = recall(path), Policy.of(config), Trial.of(config)
    before: Mapping[str, Any] = {}
    failed = ""
    for pause in pauses:
        try:
            report = fetch()
        except RaymmError as error:
            say(f"{name}: the monitor cannot be reached: {error}")
            report = {}
        now = clock()
        steps: tuple[Step, ...] = ()
        if report:
            steps = tend(
                situation, report, hands, policy=policy, trial=trial, clock=clock,
                begun=lambda begun: remember(path, begun),
            )  # fmt: skip
        events = [*news(before, report, at=now)]
        number = situation.number
        for step in steps:
            situation = step.situation
            if step.detail:
                say(f"{name}: {step.detail}")
            if step.action != "wait":
                number = step.situation.number or number
                at = max(now, step.situation.since)
                events.append(
                    Event(kind=step.action, model=name, reason=step.reason, at=at, number=number)
                )
        remember(path, situation)
        before = report or before
        failure = next((one.reason for one in steps if one.action == "fail"), "")
        events = [one for one in events if one.kind != "fail" or failure != failed]
        failed = failure
        for event in events:
            say(f"{name}: {event.kind}: {event.reason}")
            for untold in tell(event, config.events):
                say(f"{name}: an event could not be told: {untold}")
        time.sleep(pause)


def beside(
    name: str,
    source: str,
    storage: str,
    *,
    changes: Mapping[str, Any],
    say: Callable[[str], None],
    notify: Notify,
    pauses: Iterable[float] = itertools.repeat(10.0),
) -> None:
    """Keep the model of a service that runs here, as its run's ``monitoring`` section says.

    Raises
    ------
    NotFound
        When no service of the name is recorded here, or the model has no champion.
    ServingError
        When another process keeps it already.
    """
    from raymm import endpoint
    from raymm.config import home_folder

    found = endpoint.find(name)
    if found is None:
        raise NotFound(f"no service of {name} is recorded here. Start one: raymm deploy {name}")
    config = lifecycle.again(name, source, {**changes, "storage": storage}).monitoring
    share = config.trial.share
    hands = RegistryHands(
        name=name, storage=storage, source=source, changes=changes, share=share, notify=notify
    )
    path = home_folder() / "loops" / f"{name}.json"
    with sole(path.with_suffix(".lock"), f"raymm keep of {name}"):
        keep(
            name,
            lambda: endpoint.ask(found, f"/v1/models/{name}/monitor")["report"],
            hands,
            config=config,
            path=path,
            say=say,
            pauses=pauses,
        )
