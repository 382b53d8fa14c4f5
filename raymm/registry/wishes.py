"""What persons asked of the loop that keeps a model good: one linear history a model.

A request is one record, and that a loop took it up is another, so both can be written from any
machine, and of several loops one takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from raymm.artifacts import Wish, as_record, from_record
from raymm.errors import ConfigError, RegistryError
from raymm.registry.history import History, Records
from raymm.registry.releases import user

MOST_SIGNS = 500
"""Of a reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, or that some were taken up.

    Attributes
    ----------
    sequence : int
        Its place in the history, from 1.
    action : "ask" or "take"
    reason : str
        Of the one who asks; may be empty.
    who : str
        Who asks, or whose loop takes it up, as USER@MACHINE.
    created : str
        UTC, ISO 8601.
    source : str
        The data to train on; empty for the loop's own.
    takes : tuple of int
        The sequences of what is taken up.
    claim : str
        Of the loop that takes them up.
    """

    name: str
    sequence: int
    action: Literal["ask", "take"]
    who: str
    created: str
    reason: str = ""
    source: str = ""
    takes: tuple[int, ...] = ()
    claim: str = ""
    version: int = 1


def told(asked: Sequence[Asked]) -> str:
    """Return who asks and why, of several one after the other.

    >>> ann = Asked(name="m", sequence=1, action="ask", who="ann@desk", created="", reason="prices")
    >>> told([ann, replace(ann, who="bob@desk", reason="")])
    'ann@desk: prices; bob@desk'
    """
    return "; ".join(f"{one.who}: {one.reason}" if one.reason else one.who for one in asked)


def waiting(records: Sequence[Asked]) -> tuple[Asked, ...]:
    """Return the requests that no loop has taken up, oldest first."""
    taken = {number for one in records for number in one.takes}
    return tuple(one for one in records if one.action == "ask" and one.sequence not in taken)


class Wishes:
    """The requests about one model.

    Parameters
    ----------
    name : str
        The model's.
    history : History
    now : function to str
        The time, as it is recorded.
    """

    def __init__(self, name: str, history: History, *, now: Callable[[], str]) -> None:
        self.name = name
        self._history = history
        self._now = now

    def add(self, *, reason: str = "", source: str = "", who: str = "") -> Asked:
        """Record a request; it is durable when this returns.

        Parameters
        ----------
        who : str
            Empty is this user on this machine.

        Raises
        ------
        ConfigError
            When the reason is too long.
        """
        said = " ".join(reason.split())
        if len(said) > MOST_SIGNS:
            raise ConfigError(
                f"a reason may have {MOST_SIGNS} signs at most, but this has {len(said)}. "
                "Give a shorter --reason."
            )
        return self._append(lambda _: {"action": "ask", "reason": said, "source": source}, who)[-1]

    def all(self) -> tuple[Asked, ...]:
        """Return every record, oldest first; raises RegistryError where one cannot be read."""
        return _read(self._history.records(), self._history.folder)

    def next(self) -> Wish | None:
        """Return the oldest request that waits, with later ones for the same data; None for none.

        One training answers them all.
        """
        return _wish(waiting(self.all()))

    def take(self, wish: Wish) -> Wish | None:
        """Take up a wish, and return what of it is the claim's; None where others took all of it.

        Taken up again with the same claim, as after a kill, it is the claim's as before.
        """

        def decide(records: Sequence[Asked]) -> Mapping[str, Any] | None:
            free = [one.sequence for one in waiting(records) if one.sequence in wish.numbers]
            return {"action": "take", "takes": free, "claim": wish.claim} if free else None

        records = self._append(decide, "")
        own = {number for one in records if one.claim == wish.claim for number in one.takes}
        kept = [one for one in records if one.sequence in wish.numbers and one.sequence in own]
        if not kept:
            return None
        return replace(wish, numbers=tuple(one.sequence for one in kept), told=told(kept))

    def _append(
        self, decide: Callable[[Sequence[Asked]], Mapping[str, Any] | None], who: str
    ) -> tuple[Asked, ...]:
        """Add what is decided on in view of all records; returns them, with it where there is."""
        seen: list[Asked] = []

        def make(sequence: int, records: Records) -> Mapping[str, Any] | None:
            seen[:] = _read(records, self._history.folder)
            decided = decide(seen)
            if decided is None:
                return None
            by, at = who or user(), self._now()
            made = Asked(name=self.name, sequence=sequence, who=by, created=at, **decided)
            seen.append(made)
            return as_record(made)  # type: ignore[no-any-return]

        self._history.append(make)
        return tuple(seen)


def _read(records: Sequence[Mapping[str, Any]], folder: str) -> tuple[Asked, ...]:
    try:
        return tuple(from_record(Asked, record) for record in records)
    except ValueError as error:
        raise RegistryError(
            f"A record in {folder} cannot be read: {error}. Run raymm fsck."
        ) from error


def _wish(open_: Sequence[Asked]) -> Wish | None:
    same = [one for one in open_ if one.source == open_[0].source]
    if not same:
        return None
    numbers = tuple(one.sequence for one in same)
    return Wish(numbers=numbers, told=told(same), source=same[0].source)
