"""Keeps a model good beside its service: watches, trains again, tries the challenger, decides.

What is to be done comes from `raymm.monitoring.loop`, and `raymm.hands` carries it out. Where the
loop stands is kept beside it and in the storage, so that a loop that ends goes on where it was.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from raymm import endpoint, lifecycle
from raymm.artifacts import Notify, Wish
from raymm.errors import ConfigError, Interrupted, NotBlessed, NotFound, RaymmError
from raymm.hands import Hands, RegistryHands
from raymm.monitoring.loop import Situation, Step, advance, asked_of, marked, trained, untrained
from raymm.monitoring.news import News
from raymm.monitoring.triggers import Policy
from raymm.monitoring.verdict import Trial
from raymm.sections import MonitoringConfig
from raymm.sole import sole
from raymm.standing import Standing
from raymm.telling import Telling
from raymm.wishing import ask, lock_of

EVERY = 10.0
"""Seconds from the end of a round to the next."""
OLDEST = 30.0
"""Seconds: what an older report says is not acted on, as its monitor is away."""


def tend(
    situation: Situation,
    report: Mapping[str, Any],
    hands: Hands,
    *,
    policy: Policy,
    trial: Trial,
    clock: Callable[[], float],
    begun: Callable[[Situation], object] = lambda _: None,
    begins: Callable[[Step], object] = lambda _: None,
) -> tuple[Step, ...]:
    """Take the next step, and carry it out; a training's step is followed by its outcome's.

    Parameters are those of `raymm.monitoring.loop.advance`; ``clock``, for seconds since 1970 UTC,
    as a training takes long; ``begun``, which is given the situation of a training before it
    begins, to be remembered should the loop end in it; and ``begins``, which is given a training's
    step then, to be told before its outcome. Each step is written down with its reason,
    a training's before it begins. One that may never be carried out is a rejection, with the error
    as its reason. One that fails in another way, say for storage that is away, is a "fail" and is
    tried again in the next round, a training that a person asked for later and not for ever.
    What persons ask for in a trial is told in a wait's detail.
    """
    now = clock()
    try:
        if situation.stage == "watching":
            hands.settle()
        release = hands.release()
        ours = hands.reason(situation.number) if situation.number is not None else None
    except Exception as error:
        return (_unread(error, situation),)
    wish, unread = _wished(hands)
    step = advance(
        situation, report, policy=policy, trial=trial, now=now, wish=wish, release=release,
        ours=ours,
    )  # fmt: skip
    if step.action == "wait":
        return (_put_off(step, wish, unread),)
    if step.action == "train":
        return _trained(
            situation, step, report, hands, champion=release.champion, clock=clock, begun=begun,
            begins=begins,
        )  # fmt: skip
    number = step.situation.number if step.action == "guard" else situation.number
    after = step.situation.over(now, champion=release.champion, wish=step.situation.wish)
    return (_carried(hands, step, number, again=situation, after=after),)


def _trained(
    situation: Situation,
    step: Step,
    report: Mapping[str, Any],
    hands: Hands,
    *,
    champion: int | None,
    clock: Callable[[], float],
    begun: Callable[[Situation], object],
    begins: Callable[[Step], object],
) -> tuple[Step, ...]:
    """Train, and carry out what follows; parameters as of `tend`.

    That it begins is remembered before what persons asked for is taken up: a loop that is killed
    between takes it up again, with the claim that it remembers.
    """
    begun(step.situation)
    try:
        step = _taken(hands, step, situation)
    except Exception as error:
        told = f"what was asked for cannot be taken up, which is tried again: {error}"
        return (Step(action="fail", reason=told, situation=situation),)
    if step.action == "wait":
        return (step,)
    step = _recorded(hands, step, None)
    begins(step)
    source = step.situation.wish.source if step.situation.wish else ""
    try:
        number, why = hands.train(step.reason, source)
    except Interrupted:  # by who ends the loop; its next start takes the training up again
        raise
    except Exception as error:  # a training that fails, however it does, ends no loop
        end = _untrained(step.situation, error, clock())
        begun(end.situation)
        return step, _recorded(hands, end, None)
    now = clock()
    situation = replace(
        step.situation, number=number, blessed=False, wish=None,
        completed=step.situation.trained_at,
    )  # fmt: skip
    if number:
        begun(situation)
        try:  # a champion may have come while it was trained
            champion = hands.release().champion
            situation = replace(situation, blessed=hands.blessed(number))
        except Exception as error:
            return step, _unread(error, situation)
    end = trained(
        situation, number=number, reason=why, now=now, report=report, champion=champion
    )  # fmt: skip
    if not number:
        begun(end.situation)
    after = situation.over(now, champion=champion)
    return step, _carried(hands, end, number, again=situation, after=after)


def _taken(hands: Hands, step: Step, situation: Situation) -> Step:
    """Take up what a training's step was asked for by; where others did, return a wait instead."""
    wish = step.situation.wish
    if wish is None:
        return step
    own = hands.take(wish)
    if own is None:
        told = f"another loop took up what was asked for by {wish.told}"
        return Step(action="wait", reason=told, situation=replace(situation, wish=None))
    return replace(step, reason=asked_of(own), situation=replace(step.situation, wish=own))


def _wished(hands: Hands) -> tuple[Wish | None, str]:
    """Return what persons ask for, or why it cannot be read, which keeps no trial from going on."""
    try:
        return hands.wish(), ""
    except Exception as error:
        return None, f"what persons ask for cannot be read, which is tried again: {error}"


def _put_off(step: Step, wish: Wish | None, unread: str) -> Step:
    """Tell in a wait's detail what persons ask for that the loop does not take up yet."""
    stage, number = step.situation.stage, step.situation.number
    told = unread
    if wish is not None and stage != "watching":
        told = f"asked to train by {wish.told}: begins when the {stage} of version {number} is over"
    return replace(step, detail=f"{step.detail} {told}".strip())


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


def _untrained(situation: Situation, error: Exception, now: float) -> Step:
    """Return what follows a training that failed; its detail may hold values of rows."""
    told = f"training failed with {type(error).__name__}; the output of raymm keep says why"
    return replace(untrained(situation, reason=told, now=now), detail=str(error))


def keep(
    name: str,
    fetch: Callable[[], Mapping[str, Any]],
    hands: Hands,
    *,
    config: MonitoringConfig,
    standing: Standing,
    say: Callable[[str], None],
    pauses: Iterable[float],
    clock: Callable[[], float] = time.time,
) -> None:
    """Tend a model, a round for each of the pauses that follow it.

    Parameters
    ----------
    fetch : function to mapping
        Returns the monitor's report; one that raises a RaymmError is tried again next round, as is
        one whose ``age`` is over `OLDEST`.
    standing : Standing
        Keeps the loop's situation. Where that cannot be read or another loop acts, nothing is done
        but to look again next round.
    pauses : iterable of float
        Seconds after each round; without end to go on until interrupted.
    clock : function to float
        Seconds since 1970 UTC.

    What is new is told before a training begins, and the training as it does. A loop that begins
    anew, say after it was killed, tells again of what still stands.
    """
    policy, trial = Policy.of(config), Trial.of(config)
    situation: Situation | None = None
    news = News(quality_at_least=config.quality_at_least)
    telling = Telling(name, config.events, say)
    for pause in pauses:
        report, away = _fetched(fetch)
        situation, idle = standing.resume(situation)
        telling.away(away)
        telling.line("idle", idle)
        if report and situation is not None:
            now = clock()
            # A loop that only watches leaves it to the one that acts to tell what is new. That may
            # not wait for the training that it calls for, which takes as long as a search.
            telling.events(news.of(report, at=now))
            situation = marked(situation, report, now)
            begins = partial(telling.begins, number=situation.number, now=now)
            with standing.acting():
                steps = tend(
                    situation, report, hands, policy=policy, trial=trial, clock=clock,
                    begun=standing.remember, begins=begins,
                )  # fmt: skip
            telling.steps(steps, number=situation.number, now=now)
            situation = replace(steps[-1].situation, marks=situation.marks)
            telling.line("copy", standing.remember(situation))
        time.sleep(pause)


def _fetched(fetch: Callable[[], Mapping[str, Any]]) -> tuple[Mapping[str, Any], str]:
    """Return a report to act on, or an empty one and why there is none."""
    try:
        report = fetch()
    except RaymmError as error:
        return {}, f"the monitor cannot be reached: {error}"
    age = report.get("age", 0)
    if age > OLDEST:
        return {}, (
            f"the monitor is away: its last report is {age:g} s old, and nothing is done by one "
            f"over {OLDEST:g} s"
        )
    return report, ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A model that is kept: where it is and what it is trained with, as of `RegistryHands`."""

    name: str
    source: str
    storage: str
    changes: Mapping[str, Any] = field(default_factory=dict)


def beside(
    kept: Kept,
    *,
    say: Callable[[str], None],
    notify: Notify,
    pauses: Iterable[float] = itertools.repeat(EVERY),
    there: endpoint.Service | None = None,
    asks: str = "",
) -> None:
    """Keep the model of a service, as its run's ``monitoring`` section says.

    Parameters
    ----------
    there : Service or None
        One that runs elsewhere; without it, the one that is recorded here is looked up each round,
        as it has another token once it is deployed anew.
    asks : str
        The reason of a request to train at once, recorded once nothing keeps this from beginning;
        empty for none.

    Raises
    ------
    NotFound
        When no service of the name is recorded here, or the model has no champion.
    ServingError
        When another process keeps it already.
    """
    name = kept.name
    url = (there or here(name)).url  # raises before anything is begun
    changes = {**kept.changes, "storage": kept.storage}
    config = lifecycle.again(name, kept.source, changes).monitoring
    hands = RegistryHands(
        name=name, storage=kept.storage, source=kept.source, changes=kept.changes,
        share=config.trial.share, notify=notify, proof=config.trial.proof,
    )  # fmt: skip
    lock = lock_of(name)
    with sole(lock, f"raymm keep of {name}"):
        if asks:
            ask(name, kept.storage, reason=asks)
        say(_begun(kept, url, config))
        standing = Standing.of(name, path=lock.with_suffix(".json"), storage=kept.storage)
        try:
            keep(
                name,
                lambda: endpoint.monitored(there or here(name), name),
                hands,
                config=config,
                standing=standing,
                say=say,
                pauses=pauses,
            )
        finally:
            standing.leave()


def _begun(kept: Kept, url: str, config: MonitoringConfig) -> str:
    """Return what is said as it begins: what is watched where, and what calls for a training."""
    triggers = () if config.retrain == "off" else config.retrain
    asked = f"when asked (raymm retrain {kept.name} --trial)"
    when = f"on {', '.join(triggers)}, and {asked}" if triggers else f"only {asked}"
    return (
        f"watching {kept.name} at {url} every {EVERY:g} s; trains again {when}, from {kept.source}"
    )


def here(name: str) -> endpoint.Service:
    """Return where a model is served from here; raises NotFound where that is not known."""
    found = endpoint.find(name)
    if found is None:
        raise NotFound(
            f"no service of {name} is recorded here. Start one: raymm deploy {name}, or name one "
            "that runs elsewhere with --url and --token."
        )
    return found
