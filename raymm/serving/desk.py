"""Where the replicas of a service say how they stand, and where a canary is judged.

A change of the release is over when every replica that lives has followed it. Each tells the desk
at every look, and for the first time before it looks at all, so that one which is just loading an
older release is waited for. Who lives is asked of Ray, not guessed from silence: a replica that
stands still for a minute may still answer afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from raymm.errors import Overloaded
from raymm.serving.tally import FIRST_LOOK, Counts, total, verdict

ANSWERED = 5.0
"""Seconds within which the desk must say how the replicas stand."""
OPINIONS = 60.0
"""Seconds after which an opinion of a canary is asked again: labels come when requests may not."""
_MOST_NOTED = 50

_log = logging.getLogger("raymm.serving")

Refuse = Callable[..., None]
"""`raymm.serving.released.Shelf.refuse`."""
Opinion = Callable[[str, int, int], str]
"""Called with a model's name, its champion and its canary; returns why the canary is worse, or
nothing."""


def desk_name(app: str, made: object) -> str:
    """Return the name of an application's desk that was made of this.

    Another storage is another release: what a desk of before knows is of no use.
    """
    return f"raymm-desk-{app}-{zlib.crc32(repr(made).encode()):08x}"


class Desk:
    """Knows how each replica stands.

    Parameters
    ----------
    alive : callable
        Returns the names of the replicas that live.
    refuse : Refuse or None
        Takes a canary out of the release that is worse; None leaves it to people.
    opinion : Opinion or None
        Asked about a canary's answers; its errors and times are judged here.
    slowdown : float
        See `raymm.serving.tally.verdict`.
    settles : callable
        Returns the seconds for which replicas are waited for that were not heard of, which a desk
        that was started again needs.
    clock : callable
        Returns seconds that only grow.
    """

    def __init__(
        self,
        *,
        alive: Callable[[], set[str]],
        refuse: Refuse | None = None,
        opinion: Opinion | None = None,
        slowdown: float = 2.0,
        settles: Callable[[], float] = lambda: 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._alive = alive
        self._refuse = refuse
        self._opinion = opinion
        self._slowdown = slowdown
        self._clock = clock
        self._settled = clock() + settles()
        self._replicas: dict[str, dict[str, Mapping[str, Any]]] = {}
        self._looks: dict[tuple[str, int], int] = {}
        self._asked: dict[tuple[str, int], float] = {}
        self._refused: dict[str, dict[str, Mapping[str, Any]]] = {}
        self._noted: deque[Mapping[str, Any]] = deque(maxlen=_MOST_NOTED)

    def report(self, replica: str, model: str, standing: Mapping[str, Any]) -> None:
        """Take in how a replica stands with a model.

        Parameters
        ----------
        replica : str
            Its name, as ``alive`` returns it.
        standing : mapping
            From `raymm.serving.released.ReleasedModel.report`.
        """
        self._replicas.setdefault(replica, {})[model] = standing
        for number, refusal in standing.get("refused", {}).items():
            self._note(model, number, refusal)
        canary = standing.get("canary")
        if canary is not None:
            self._judge(model, int(canary))

    def standing(self, model: str) -> dict[str, Any]:
        """Return how a model stands on all living replicas.

        ``switched`` is the last change that all of them have followed, with nobody left from
        before; -1 where that is not known.
        """
        replicas = self._living(model)
        followed = [int(one["sequence"]) for one in replicas.values()]
        known = followed and self._clock() >= self._settled
        return {
            "model": model,
            "switched": min(followed) if known else -1,
            "replicas": {
                name: {key: value for key, value in one.items() if key != "counts"}
                for name, one in sorted(replicas.items())
            },
            "refused": dict(self._refused.get(model, {})),
            "events": [one for one in self._noted if one["model"] == model],
            "counts": {
                str(number): _told(self._counts(model, number))
                for number in sorted(
                    {int(key) for one in replicas.values() for key in one.get("counts", {})}
                )
            },
        }

    def _living(self, model: str) -> dict[str, Mapping[str, Any]]:
        alive = self._alive()
        self._replicas = {name: one for name, one in self._replicas.items() if name in alive}
        return {name: one[model] for name, one in self._replicas.items() if model in one}

    def _counts(self, model: str, number: int) -> Counts:
        found = [
            Counts.of(one[model]["counts"][str(number)])
            for one in self._replicas.values()
            if model in one and str(number) in one[model].get("counts", {})
        ]
        return total(found)

    def _judge(self, model: str, canary: int) -> None:
        """End a canary that is worse: by its requests when they have doubled, or by an opinion.

        What replicas counted that live no more counts for nothing: others took their place.
        """
        if self._refuse is None or not self._looked_at(model, canary):
            return
        try:
            standings = list(self._living(model).values())
        except Exception as error:  # the next report asks again
            _log.error("%s: nobody says which replicas live: %s", model, error)
            return
        newest = max(standings, key=lambda one: int(one["sequence"]), default=None)
        if newest is None or newest["canary"] != canary or newest["champion"] is None:
            return
        why = self._thought(model, int(newest["champion"]), canary)
        if not why:
            return
        since = max(int(one["sequence"]) for one in standings)
        self._note(model, str(canary), {"sequence": since, "reason": why})
        try:
            self._refuse(model, canary, since=since, reason=f"the canary is worse: {why}")
        except Exception as error:
            _log.error("%s: the end of canary %d cannot be recorded: %s", model, canary, error)

    def _thought(self, model: str, champion: int, canary: int) -> str:
        """Return why a canary is worse; empty where nothing says so, or it is not looked at yet."""
        why = ""
        due = self._due(model, canary)
        if due:
            theirs = self._counts(model, canary)
            self._looks[model, canary] = 2 * theirs.requests
            why = verdict(self._counts(model, champion), theirs, slowdown=self._slowdown)
        if why or self._opinion is None or not (due or self._overdue(model, canary)):
            return why
        try:
            why = self._opinion(model, champion, canary)
        except Exception as error:  # nothing is known of its answers, so nothing is said
            _log.error("%s: version %d cannot be judged: %s", model, canary, error)
        self._asked[model, canary] = self._clock()  # after it: a slow one leaves room for reports
        return why

    def _looked_at(self, model: str, canary: int) -> bool:
        """Whether a canary's requests have doubled, or an opinion of it is to be asked again."""
        return self._due(model, canary) or self._overdue(model, canary)

    def _overdue(self, model: str, canary: int) -> bool:
        """Whether an opinion of a canary was asked, and that some time ago."""
        asked = self._asked.get((model, canary))
        return asked is not None and self._clock() >= asked + OPINIONS

    def _due(self, model: str, canary: int) -> bool:
        """Whether a canary has answered enough since it was looked at last."""
        requests = self._counts(model, canary).requests
        due = self._looks.get((model, canary), FIRST_LOOK)
        if requests < due // 4:  # it has begun again
            due = FIRST_LOOK
        self._looks[model, canary] = due
        return requests >= due

    def _note(self, model: str, number: str, refusal: Mapping[str, Any]) -> None:
        known = self._refused.setdefault(model, {})
        if known.get(number) == refusal:
            return
        known[number] = dict(refusal)
        while len(known) > _MOST_NOTED:
            known.pop(next(iter(known)))
        event = {"model": model, "number": int(number), **refusal, "time": time.time()}
        self._noted.append(event)
        _log.error("%s: version %s is refused: %s", model, number, refusal["reason"])


def _told(counts: Counts) -> dict[str, Any]:
    return {
        "requests": counts.requests,
        "errors": counts.errors,
        "p50": counts.quantile(0.5),
        "p99": counts.quantile(0.99),
        "within": list(counts.within),
    }


class Line:
    """A replica's line to its service's desk.

    Parameters
    ----------
    replica : str
        The replica's name, as the desk's ``alive`` returns it.
    find : callable
        Returns the handle of the desk's actor, started where there is none.
    wait : callable
        Returns what a call of the actor returned; raises where it failed or takes long.
    patience : float
        Seconds to try for the first time, before the replica looks at its release.
    """

    def __init__(
        self,
        replica: str,
        *,
        find: Callable[[], Any],
        wait: Callable[[Any], Any],
        patience: float = 15.0,
    ) -> None:
        self._replica = replica
        self._find = find
        self._wait = wait
        self._patience = patience
        self._desk: Any = None

    def tell(self, model: str, standing: Mapping[str, Any]) -> None:
        """Say how this replica stands. Never raises."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                if self._desk is None:
                    self._desk = self._find()
                self._wait(self._desk.report.remote(self._replica, model, standing))
            except Exception as error:  # serving goes on without it, and the next look tells again
                self._desk = None
                if time.monotonic() > deadline:
                    _log.warning("the service's desk does not answer: %s", error)
                    break
                time.sleep(0.2)
            else:
                break
        self._patience = 0.0

    async def standing(self, model: str) -> Mapping[str, Any]:
        """Return how all replicas stand; raises Overloaded where the desk does not answer soon."""
        try:
            async with asyncio.timeout(ANSWERED):
                if self._desk is None:
                    self._desk = await asyncio.to_thread(self._find)
                told: Mapping[str, Any] = await self._desk.standing.remote(model)
        except Exception as error:
            self._desk = None
            why = f"nothing within {ANSWERED:g} s" if isinstance(error, TimeoutError) else error
            raise Overloaded(
                f"the desk that knows how the replicas stand does not answer: {why}. "
                "Ask again in a few seconds."
            ) from error
        return told
