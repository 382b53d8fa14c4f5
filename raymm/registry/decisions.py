"""What the loop that keeps a model good decided, and why: one linear history a model.

Beside the history of what is served, for most of it changes nothing there: that training was
called for, and by what, and that nothing came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from raymm.artifacts import as_record, from_record
from raymm.errors import RegistryError
from raymm.registry.history import History, Records


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One step of the loop.

    Attributes
    ----------
    sequence : int
        Its place in the history, from 1.
    action : str
        As in `raymm.monitoring.loop`, such as "train" or "reject".
    number : int or None
        The version that it is about.
    created : str
        UTC, ISO 8601.
    """

    name: str
    sequence: int
    action: str
    reason: str
    number: int | None
    created: str
    version: int = 1


class Decisions:
    """The decisions about one model.

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

    def add(self, action: str, *, reason: str, number: int | None = None) -> Decision:
        """Record a decision; it is durable when this returns."""
        made: list[Decision] = []

        def make(sequence: int, _: Records) -> Mapping[str, object]:
            decision = Decision(
                name=self.name,
                sequence=sequence,
                action=action,
                reason=reason,
                number=number,
                created=self._now(),
            )
            made[:] = [decision]
            return as_record(decision)  # type: ignore[no-any-return]

        self._history.append(make)
        return made[0]

    def all(self) -> tuple[Decision, ...]:
        """Return every decision, oldest first; raises RegistryError where one cannot be read."""
        try:
            return tuple(from_record(Decision, record) for record in self._history.records())
        except ValueError as error:
            raise RegistryError(
                f"A record in {self._history.folder} cannot be read: {error}. Run raymm fsck."
            ) from error
