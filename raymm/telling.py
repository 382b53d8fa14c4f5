"""What the loop of `raymm.keeping` says and tells: each thing once, and when it happens."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from raymm.monitoring.events import Event, tell
from raymm.monitoring.loop import Step
from raymm.sections import EventsConfig


class Telling:
    """Says lines to whoever reads the loop's output, and tells events to what is configured.

    Parameters
    ----------
    name : str
        The model's.
    config : EventsConfig
        Who is told of events.
    say : function of str
        Takes a line.
    """

    def __init__(self, name: str, config: EventsConfig, say: Callable[[str], None]) -> None:
        self._name = name
        self._config = config
        self._say = say
        self._said: dict[str, str] = {}
        self._failed = ""
        self._began: Step | None = None

    def line(self, matter: str, text: str) -> None:
        """Say how a matter stands where that is not what was said of it last.

        An empty text is not said, and lets the same be said again.
        """
        if text and text != self._said.get(matter):
            self._say(f"{self._name}: {text}")
        self._said[matter] = text

    def away(self, text: str) -> None:
        """Say that the monitor is away, and why, as it begins; without a text, that it is over.

        What stands before the colon says what it is: times and ports after it may differ.
        """
        before = self._said.get("monitor", "")
        if text.partition(":")[0] != before.partition(":")[0]:
            self._say(f"{self._name}: {text or 'the monitor answers again'}")
        self._said["monitor"] = text

    def events(self, events: Iterable[Event]) -> None:
        """Tell events, and say them."""
        for event in events:
            self._say(f"{event.model}: {event.kind}: {event.reason}")
            for untold in tell(event, self._config):
                self._say(f"{event.model}: an event could not be told: {untold}")

    def begins(self, step: Step, *, number: int | None, now: float) -> None:
        """Tell a step as it begins; `steps` then does not tell it again."""
        self._step(step, step.situation.number or number, now)
        self._began = step

    def steps(self, steps: Iterable[Step], *, number: int | None, now: float) -> None:
        """Tell the steps of a round.

        Parameters
        ----------
        number : int or None
            The version that the first step is about.
        now : float
            Seconds since 1970 UTC.
        """
        failure = ""
        for step in steps:
            number = step.situation.number or number
            if step is not self._began:
                self._step(step, number, now)
            if step.action == "fail":
                failure = failure or step.reason
        self._failed, self._began = failure, None

    def _step(self, step: Step, number: int | None, now: float) -> None:
        if step.action == "wait":
            self.line("wait", step.detail)
            return
        if step.detail:
            self._say(f"{self._name}: {step.detail}")
        self.line("wait", "")
        if step.action == "fail" and step.reason == self._failed:
            return
        at = max(now, step.situation.since)
        self.events(
            [Event(kind=step.action, model=self._name, reason=step.reason, at=at, number=number)]
        )
