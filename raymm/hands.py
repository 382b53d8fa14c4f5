"""What carries the steps out of the loop that keeps a model good: it trains, and it releases."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal, Protocol

from raymm import lifecycle
from raymm.artifacts import Notify, Release, Wish
from raymm.errors import NotBlessed, NotFound
from raymm.evaluation.blessing import undecided
from raymm.monitoring.loop import Step
from raymm.registry.releases import Change, Releases, released
from raymm.registry.versions import Registry

WHO = "policy"
"""Who changed the release, in the registry's history."""
UNTENDED = "the loop tends it no longer"
"""Why a role ends of which nobody knows any more: that says nothing of the version."""
_REACHED = ("promote", "rollback")
"""Changes that make a champion."""


class Hands(Protocol):
    """Carries steps out; each call may raise a RaymmError."""

    def train(self, reason: str, source: str = "") -> tuple[int | None, str]:
        """Train on the newest data; return a version to be tried, or None and why there is none.

        ``source`` names other data than usual.
        """
        ...

    def wish(self) -> Wish | None:
        """Return what persons ask for and no loop has taken up, with a claim to take it up by."""
        ...

    def take(self, wish: Wish) -> Wish | None:
        """Take it up, once of all loops; return what of it is this one's, None where nothing is."""
        ...

    def blessed(self, number: int) -> bool:
        """Return whether a version is; of one that is not, labels must show what is missing."""
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

    def reason(self, number: int) -> str | None:
        """Return why the loop changed a version's role last; None where the loop did not."""
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
    proof : "labels" or "tests"
        With "labels" a version is tried too of which the test rows say neither that it is worse
        than the champion nor that it is not (see `raymm.evaluation.blessing.undecided`).
    claim : str
        By which this loop's requests are told from those of others.
    """

    name: str
    storage: str
    source: str
    changes: Mapping[str, Any]
    share: float
    notify: Notify
    proof: Literal["labels", "tests"] = "labels"
    claim: str = field(default_factory=lambda: uuid.uuid4().hex)

    def wish(self) -> Wish | None:
        """See `Hands.wish`: of what the registry holds."""
        found = _registry(self.storage).wishes(self.name).next()
        return None if found is None else replace(found, claim=self.claim)

    def take(self, wish: Wish) -> Wish | None:
        """See `Hands.take`; it is recorded in the registry."""
        return _registry(self.storage).wishes(self.name).take(wish)

    def train(self, reason: str, source: str = "") -> tuple[int | None, str]:
        """See `Hands.train`; it begins with what the runs before found.

        A version that was tried before and taken out is tried no second time, as a judgement by
        chance would then let any through at some time.
        """
        changes = {**self.changes, "storage": self.storage}
        config = lifecycle.again(self.name, source or self.source, changes)
        run = lifecycle.run(config, notify=self.notify, promote=False)
        name = f"version {run.version.number}"
        champion = _registry(self.storage).champion(self.name)
        if champion is not None and champion.number == run.version.number:
            return None, f"{name} is the champion: the data has not changed"
        if _tried(self._releases().changes(), run.version.number):
            return None, (
                f"{name} was tried before and taken out: the data has not changed. To try it all "
                f"the same: raymm shadow {self.name} {run.version.number}"
            )
        score = run.evaluation.score
        told = f"{reason} {name} has {score.metric} {score.value:.4g}"
        if run.blessing.blessed:
            return run.version.number, told
        if self.proof == "labels" and undecided(run.evaluation, run.blessing):
            return run.version.number, (
                f"{told}; it is not blessed, as too few test rows are new to the champion, so "
                "labels of rows that both answer must show that it is no worse"
            )
        failed = " ".join(one.statement for one in run.blessing.checks if not one.passed)
        return None, f"{name} is not blessed: {failed}"

    def blessed(self, number: int) -> bool:
        """See `Hands.blessed`."""
        return _registry(self.storage).version(self.name, number).blessed

    def act(self, step: Step, number: int) -> None:
        """See `Hands.act`; the history calls it forced where a version is not blessed."""
        releases = self._releases()
        force = step.action in ("shadow", "canary") and not self.blessed(number)
        if step.action in ("shadow", "canary"):
            self._require_free(releases, step.action, number)
        if step.action == "shadow":
            releases.shadow(number, reason=step.reason, force=force, who=WHO)
        elif step.action == "canary":
            releases.canary(number, self.share, reason=step.reason, force=force, who=WHO)
        elif step.action == "promote":
            # How long it takes was judged in its trial, by what requests took.
            releases.promote(number, reason=step.reason, force=True, who=WHO)
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
        _registry(self.storage).decisions(self.name).add(
            step.action, reason=step.reason, number=number
        )

    def release(self) -> Release:
        """See `Hands.release`."""
        return self._releases().current()

    def reason(self, number: int) -> str | None:
        """See `Hands.reason`: of what the registry's history says."""
        own = [one for one in self._releases().changes() if one.number == number]
        return own[-1].reason if own and own[-1].who == WHO else None

    def settle(self) -> None:
        """See `Hands.settle`."""
        self._end(self._releases(), UNTENDED)

    def _releases(self) -> Releases:
        return _registry(self.storage).releases(self.name)

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
        if made.who != WHO and (made.forced or made.insisted):
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


@lru_cache(8)
def _registry(storage: str) -> Registry:
    return Registry(storage)  # which remembers the records that it has read


def _ours(history: Sequence[Change], number: int) -> bool:
    """Whether the loop made the last change of a version."""
    return [one.who for one in history if one.number == number][-1:] == [WHO]


def _tried(history: Sequence[Change], number: int) -> bool:
    """Return whether a version, which does not reign, reigned before or was taken out of a role."""
    own = [one for one in history if one.number == number]
    return any(
        one.action in _REACHED or (one.action == "end" and one.reason != UNTENDED) for one in own
    )


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
