"""What is served and its changes: promotions, canaries, shadows, their ends, rollbacks.

They are one linear history a model. What is served now follows from it alone: `released` folds
the records. A version has one role at most: the champion answers, a canary answers a share of
the requests, a shadow computes answers that nobody sees. A rollback takes the last promotion back,
as one takes back the top of a pile: a second rollback goes further back, and never to and fro.
Canary and shadow go on when the champion changes, unless they became it.
"""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from raymm.artifacts import Release, Version, as_record, from_record
from raymm.errors import ConfigError, NotBlessed, NotFound, RegistryError
from raymm.registry.history import History, Records

Action = Literal["promote", "rollback", "canary", "shadow", "end"]

FORMAT = 2
"""Of the records' envelopes: an older raymm takes the version of the last record for the
champion, which it need not be any more, and refuses these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of what is served.

    Attributes
    ----------
    sequence : int
        Its place in the history, from 1.
    number : int
        The version that became champion, canary or shadow, or whose role ended.
    previous : int or None
        The champion before it.
    action : str
        "promote" or "rollback", which make a champion; "canary"; "shadow"; or "end".
    forced : bool
        Whether the version was not blessed and was released all the same.
    insisted : bool
        Whether its promotion was asked for with force, be it blessed or not; False in records of
        before.
    share : float
        Of the requests that a canary answers; else 0.
    who : str
        Who asked for it; "policy" where raymm did; empty in records of format version 1.
    created : str
        UTC, ISO 8601.
    """

    name: str
    sequence: int
    number: int
    previous: int | None
    action: Action
    reason: str
    forced: bool
    created: str
    share: float = 0.0
    who: str = ""
    insisted: bool = False
    version: int = 2


Decision = tuple[Action, int, float] | None
"""What is to be done, with which version, and a canary's share; None for nothing."""


def changes(records: Sequence[Mapping[str, Any]]) -> tuple[Change, ...]:
    """Return the records of a history as changes; raises RegistryError where one is no change."""
    try:
        return tuple(from_record(Change, record) for record in records)
    except ValueError as error:
        raise RegistryError(f"A record of releases cannot be read: {error}") from error


def released(name: str, history: Sequence[Change]) -> Release:
    """Return what is served after all of a model's changes.

    Raises
    ------
    RegistryError
        When the changes do not follow from each other, say a rollback of nothing.
    """
    pile: list[int] = []
    roles: dict[str, int | None] = {"canary": None, "shadow": None}
    share, sequence, insisted = 0.0, 0, False
    for change in history:
        sequence = change.sequence
        if change.action == "promote":
            if pile[-1:] != [change.number]:  # else it is insisted on the one that reigns
                pile.append(change.number)
            insisted = change.insisted or change.forced
        elif change.action == "rollback":
            pile[-1:] = []
            insisted = True
            if pile[-1:] != [change.number]:
                raise RegistryError(
                    f"{name}: change {sequence} goes back to version {change.number}, which was "
                    "not the champion before. Run raymm fsck."
                )
        # Whatever a version was before, from here on it is what this change says.
        roles = {role: None if of == change.number else of for role, of in roles.items()}
        if change.action in roles:
            roles[change.action] = change.number
            share = change.share if change.action == "canary" else share
    return Release(
        name=name,
        sequence=sequence,
        champion=pile[-1] if pile else None,
        canary=roles["canary"],
        share=share if roles["canary"] is not None else 0.0,
        shadow=roles["shadow"],
        earlier=tuple(reversed(pile[:-1])),
        insisted=insisted,
    )


def refusal(release: Release, history: Sequence[Change], number: int, since: int) -> Action | None:
    """Return the change that takes a refused version out of service; None where none is needed.

    Parameters
    ----------
    since : int
        The sequence of the release in which it was refused. A version that was given a role again
        later is left alone: that was not what was refused.
    """
    later = any(one.number == number and one.sequence > since for one in history)
    role = release.role(number)
    if later or not role:
        return None
    if role != "champion":
        return "end"
    return "rollback" if release.earlier else None


class Releases:
    """The release of one model and the ways to change it.

    Parameters
    ----------
    name : str
        The model's.
    history : History
        Of its changes.
    version : function of number to Version
        Raises NotFound where there is none.
    check : function of Version
        Raises RegistryError where its bundle is missing or damaged.
    now : function to str
        The time, as it is recorded.
    """

    def __init__(
        self,
        name: str,
        history: History,
        *,
        version: Callable[[int], Version],
        check: Callable[[Version], object],
        now: Callable[[], str],
    ) -> None:
        self.name = name
        self._history = history
        self._version = version
        self._check = check
        self._now = now

    def changes(self) -> tuple[Change, ...]:
        """Return all changes, oldest first."""
        return changes(self._history.records())

    def current(self) -> Release:
        """Return what is served now."""
        return released(self.name, self.changes())

    def promote(
        self, number: int, *, reason: str = "", force: bool = False, who: str = ""
    ) -> Change:
        """Make a version the champion; it is canary or shadow no more.

        A version that reigns already stays so, and the change that made it so is returned; with
        ``force`` where it was promoted without, that it is insisted on is recorded.

        Parameters
        ----------
        reason : str
            Kept in the record; required with ``force``.
        force : bool
            Promote although the version is not blessed, however much slower than the champion it
            is, and whatever the loop that keeps the model thinks of it.
        who : str
            Kept in the record; empty is this user on this machine.

        Raises
        ------
        NotBlessed
            When the version did not pass its checks and ``force`` is not set.
        ConfigError
            When ``force`` is set without a reason.
        NotFound
            When the version does not exist.
        RegistryError
            When the bundle's blob is missing or damaged.
        """
        forced = self._fit(number, reason, force)

        def decide(now: Release, _: Sequence[Change]) -> Decision:
            if now.champion == number and (now.insisted or not force):
                return None
            return "promote", number, 0.0

        made = self._change(decide, reason, forced=forced, insisted=force, who=who)
        return made or self._last(number, ("promote", "rollback"))

    def rollback(self, *, reason: str = "", who: str = "") -> Change:
        """Make the champion before the reigning one the champion again.

        Raises
        ------
        NotFound
            When there is no champion to go back to.
        RegistryError
            When the bundle's blob to go back to is missing or damaged.
        """

        def decide(now: Release, _: Sequence[Change]) -> Decision:
            if not now.earlier:
                state = f"{self.name}@{now.champion} is the first"
                state = state if now.champion else "none was ever promoted"
                raise NotFound(
                    f'Model "{self.name}" has no earlier champion to go back to: {state}. '
                    "Promote a version instead."
                )
            self._check(self._version(now.earlier[0]))
            return "rollback", now.earlier[0], 0.0

        made = self._change(decide, reason, who=who)
        assert made is not None
        return made

    def canary(
        self, number: int, share: float, *, reason: str = "", force: bool = False, who: str = ""
    ) -> Change:
        """Let a version answer a share of the requests, in the place of any canary before it.

        Raises what `promote` raises, and ConfigError where the share is not in (0, 1) or no other
        version is champion.
        """
        if not 0 < share < 1:
            raise ConfigError(
                f"A canary's share must be above 0 and below 1, but got {share:g}. "
                f"For all requests: raymm promote {self.name} {number}"
            )
        forced = self._fit(number, reason, force)

        def decide(now: Release, _: Sequence[Change]) -> Decision:
            self._require_other(number, now)
            same = (now.canary, now.share) == (number, share)
            return None if same else ("canary", number, share)

        made = self._change(decide, reason, forced=forced, who=who)
        return made or self._last(number, ("canary",))

    def shadow(
        self, number: int, *, reason: str = "", force: bool = False, who: str = ""
    ) -> Change:
        """Let a version compute answers that only the monitor sees; raises as `canary` does."""
        forced = self._fit(number, reason, force)

        def decide(now: Release, _: Sequence[Change]) -> Decision:
            self._require_other(number, now)
            return None if now.shadow == number else ("shadow", number, 0.0)

        made = self._change(decide, reason, forced=forced, who=who)
        return made or self._last(number, ("shadow",))

    def end(self, role: Literal["canary", "shadow"], *, reason: str = "", who: str = "") -> Change:
        """End the canary or the shadow; raises NotFound where there is none."""

        def decide(now: Release, _: Sequence[Change]) -> Decision:
            number = now.canary if role == "canary" else now.shadow
            if number is None:
                raise NotFound(
                    f'Model "{self.name}" has no {role} to end. '
                    f"See what is served: raymm release {self.name}"
                )
            return "end", number, 0.0

        made = self._change(decide, reason, who=who)
        assert made is not None
        return made

    def refuse(self, number: int, *, since: int, reason: str, who: str = "policy") -> Change | None:
        """Take a version that failed out of service: end its role, or roll back to the one before.

        Many may say so at once, and one change is made. None is returned where the version has no
        role, was given one after the change ``since``, or is a champion with none before it.
        """

        def decide(now: Release, history: Sequence[Change]) -> Decision:
            action = refusal(now, history, number, since)
            if action is None:
                return None
            return action, now.earlier[0] if action == "rollback" else number, 0.0

        return self._change(decide, reason, who=who)

    def _fit(self, number: int, reason: str, force: bool) -> bool:
        """Check that a version may be released; returns whether that is forced."""
        version = self._version(number)
        if not version.blessed and not force:
            raise NotBlessed(
                f"{self.name}@{number} did not pass its checks, so it is not released. Read its "
                "blessing, or release it with --force and a reason."
            )
        forced = force and not version.blessed
        if forced and not reason.strip():
            raise ConfigError("A forced release needs a reason. Give one with --reason.")
        self._check(version)
        return forced

    def _require_other(self, number: int, now: Release) -> None:
        name = self.name
        if now.champion is None:
            raise ConfigError(f"{name} has no champion yet. First: raymm promote {name} {number}")
        if now.champion == number:
            raise ConfigError(f"{name}@{number} is the champion: it answers every request already.")

    def _last(self, number: int, actions: tuple[Action, ...]) -> Change:
        return next(
            one
            for one in reversed(self.changes())
            if one.number == number and one.action in actions
        )

    def _change(
        self,
        decide: Callable[[Release, Sequence[Change]], Decision],
        reason: str,
        *,
        forced: bool = False,
        insisted: bool = False,
        who: str = "",
    ) -> Change | None:
        """Add the change decided on in view of all before it; returns it, or None for none."""

        def make(sequence: int, records: Records) -> Mapping[str, Any] | None:
            history = changes(records)
            now = released(self.name, history)
            decision = decide(now, history)
            if decision is None:
                return None
            change = Change(
                name=self.name,
                sequence=sequence,
                number=decision[1],
                previous=now.champion,
                action=decision[0],
                reason=reason,
                forced=forced,
                insisted=insisted,
                created=self._now(),
                share=decision[2],
                who=who or user(),
            )
            return as_record(change)  # type: ignore[no-any-return]

        made = self._history.append(make)
        return None if made is None else from_record(Change, made)


def user() -> str:
    """Return who asks, as USER@MACHINE; "unknown" where the system does not tell."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a container's user need not have a name
        return "unknown"
