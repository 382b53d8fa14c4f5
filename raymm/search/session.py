"""A session of a search: who is asked, told and written, in which order. Knows nothing of Ray.

Every event goes to the ledger first, then to the searcher, then to the person. A session is
opened by replaying the ledger (`raymm.search.replay`). What had been suggested and had not ended
is tried again first, under its number, with its configuration and with the decisions made so far.

A searcher of many fidelities may suggest an id again with a larger budget: that trial goes on
under its number, and is one of the run's configurations still.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from raymm.artifacts import Notify, Progress, Trial, Trials
from raymm.errors import SearchError
from raymm.search.ledger import Ledger
from raymm.search.limits import Limits, Spending
from raymm.search.replay import replay
from raymm.search.searcher import Result, Searcher, Suggestion
from raymm.search.trial import Rung

GIVE_UP = 5

LEADERS = 3

WITHDRAWN = 100
"""New configurations that a searcher of many fidelities may ask for in a row, once no more are to
be started, before it is taken to have nothing that goes on; larger than HyperBand's brackets."""

End = Literal["finished", "stopped", "failed"]


class Scheduler(Protocol):
    """What a session needs of `raymm.search.halving.Halving`.

    One for several objectives has ``several = True``, and is given values by name.
    """

    def decide(self, trial_id: str, budget: int, value: Any, *, group: str) -> bool:
        """Return whether the trial may go on."""
        ...


@dataclass(slots=True, kw_only=True)
class Open:
    """A trial that was suggested and has not ended.

    ``seconds`` are those of its earlier parts, ``ended`` what the last of them came to.
    """

    number: int
    suggestion: Suggestion
    rungs: list[Rung] = field(default_factory=list)
    decisions: dict[int, bool] = field(default_factory=dict)
    seconds: float = 0.0
    ended: Trial | None = None


class Session:
    """One session over a ledger."""

    def __init__(
        self,
        searcher: Searcher,
        scheduler: Scheduler | None,
        ledger: Ledger,
        *,
        limits: Limits,
        notify: Notify | None = None,
    ) -> None:
        self._searcher, self._scheduler, self._ledger = searcher, scheduler, ledger
        self.limits = limits
        self.goes_on = bool(getattr(searcher, "multi_fidelity", False))
        self._notify: Callable[[Progress], None] = notify or (lambda progress: None)
        self._open: dict[int, Open] = {}
        self._paused: dict[int, Open] = {}
        self._numbers: dict[str, int] = {}
        self._done = 0
        self._leaders: tuple[Trial, ...] = ()
        self._suggested = 0
        self._withdrawn = 0
        self._dry = False
        self._failed = 0
        self.spending = Spending(limits, ledger)
        replay(self, ledger)
        self.resumed = self._done
        waiting = sorted(self._open)
        self._waiting = [n for n in waiting if limits.trials is None or n < limits.trials]
        self._held = len(waiting) - len(self._waiting)
        self._failures = 0
        self.exhausted = False
        # A searcher that had nothing left to go on with has nothing now.
        asked = self._withdrawn >= WITHDRAWN and not self._open
        self._dry = asked and self.goes_on and self._enough()

    # ------------------------------------------------------------------------------- limits

    @property
    def done(self) -> int:
        """How many trials have ended, in all sessions."""
        return self._done

    @property
    def running(self) -> int:
        """How many trials have been handed out and have not ended."""
        return len(self._open) - len(self._waiting) - self._held

    @property
    def complete(self) -> bool:
        """Whether `next` will never again return a trial."""
        if self._waiting:
            return False
        return self.exhausted or (self._enough() and self._settled())

    def _settled(self) -> bool:
        return not self.goes_on or (self._dry and not self.running)

    @property
    def finished(self) -> bool:
        """Whether every trial there will be has ended."""
        return self.complete and not self.running

    def _enough(self) -> bool:
        return self.limits.trials is not None and self._suggested >= self.limits.trials

    # ------------------------------------------------------------------------------- events

    def next(self) -> Open | None:
        """Return the next trial to run, or None where there is none now.

        The suggestion is in the ledger when this returns.
        """
        if self._waiting:
            return self._open[self._waiting.pop(0)]
        if self._dry or (self._enough() and not self.goes_on) or self.spending.over():
            return None
        while suggested := self._searcher.suggest(1):
            suggestion = suggested[0]
            number = self._number(suggestion)
            if number is not None:
                self._record(suggestion, number=number)
                return self.begin(number, suggestion)
            self._record(suggestion, withdrawn=True)
            self.withdraw(suggestion)
            if self.running or self._withdrawn >= WITHDRAWN:
                break
        else:
            self.exhausted = not self.running
            if self.goes_on:
                self._ledger.append("suggestion", durable=False, nothing=True)
                self.nothing()
        # What it says now is what it will say until another result is known.
        self._dry = True
        return None

    def _number(self, suggestion: Suggestion) -> int | None:
        """Return the number of the trial to run; None where no more are to be started."""
        if self.goes_on and suggestion.id in self._numbers:
            number = self._numbers[suggestion.id]
            if number in self._open:
                raise SearchError(
                    f"{type(self._searcher).__name__} suggested {suggestion.id} again before it "
                    "was told the result. Suggest an id again only once it has ended."
                )
            return number
        return None if self._enough() else self._suggested

    def _record(self, suggestion: Suggestion, **more: Any) -> None:
        # Nobody is told of a suggestion, so it need not survive a loss of power by itself.
        self._ledger.append(
            "suggestion",
            durable=False,
            **more,
            id=suggestion.id,
            config=suggestion.config,
            budget=suggestion.budget,
            **({"parent": suggestion.parent} if suggestion.parent is not None else {}),
        )

    def begin(self, number: int, suggestion: Suggestion) -> Open:
        """Take note of a suggestion, new or that of a trial that goes on."""
        opened = Open(number=number, suggestion=suggestion)
        before = self._paused.pop(number, None)
        if before is not None:
            opened.seconds, opened.ended = before.seconds, before.ended
            same = before.suggestion.config == suggestion.config
            if same and suggestion.parent in (None, suggestion.id):
                opened.rungs, opened.decisions = before.rungs, before.decisions
        if self.goes_on:
            self._numbers[suggestion.id] = number
        self._suggested = max(self._suggested, number + 1)
        self._open[number] = opened
        return opened

    def withdraw(self, suggestion: Suggestion) -> None:
        """Tell the searcher that a configuration will not be tried, as if it had failed."""
        self._withdrawn += 1
        known = suggestion
        self._searcher.observe([Result(known.id, known.config, None, known.budget)])

    def nothing(self) -> None:
        """Take note that the searcher had nothing to suggest."""
        self._withdrawn = WITHDRAWN

    def ask(self) -> None:
        """Ask the searcher as it was asked before, and forget what it says: replaying."""
        self._searcher.suggest(1)

    def rung(self, number: int, rung: Rung) -> bool:
        """Take in a rung and return whether the trial may go on."""
        trial = self._open[number]
        if rung.rounds in trial.decisions:
            return trial.decisions[rung.rounds]
        go_on = self.decide(number, rung)
        more: dict[str, Any] = {"metrics": dict(rung.metrics)} if rung.metrics else {}
        self._ledger.append(
            "rung",
            # The last rung is made durable together with the trial's end, which follows at once.
            durable=go_on and not rung.done,
            number=number,
            rounds=rung.rounds,
            value=rung.value,
            fold_values=rung.fold_values,
            **(more | ({"pace": rung.pace} if rung.pace != 1.0 else {})),
            go_on=go_on,
        )
        self.keep_rung(number, rung, go_on=go_on)
        return go_on

    def keep_rung(self, number: int, rung: Rung, *, go_on: bool) -> None:
        """Keep a rung that is in the ledger, and let the searcher look at it."""
        self.spending.hear()
        trial = self._open[number]
        trial.decisions[rung.rounds] = go_on
        trial.rungs.append(rung)
        known = trial.suggestion
        values = getattr(rung, "metrics", None) or None
        budget = float(rung.rounds)
        look = Result(known.id, known.config, rung.value, budget, final=False, values=values)
        self._searcher.observe([look])

    def decide(self, number: int, rung: Rung) -> bool:
        """Return whether the scheduler lets a trial go on after a rung."""
        if self._scheduler is None:
            return True
        suggestion = self._open[number].suggestion
        group = str(suggestion.config.get("family", ""))
        several = getattr(self._scheduler, "several", False)
        given = rung.metrics if several else rung.value
        return self._scheduler.decide(suggestion.id, rung.progress, given, group=group)

    def end(self, number: int, status: End, *, seconds: float = 0.0, error: str = "") -> None:
        """Take in a trial's end: written, then observed, then told.

        A trial without a rung can only fail.

        Raises
        ------
        SearchError
            When the first trials of a run have all failed.
        """
        ended = self._trial(self._open[number], status, seconds, error)
        failed = status == "failed"
        cpu_seconds = round(seconds * self.limits.cpus, 3)
        self._ledger.append("trial", trial=ended, failed=failed, cpu_seconds=cpu_seconds)
        self.keep(ended, failed=failed, cpu_seconds=cpu_seconds)
        self._tell()
        self._failures += failed
        if not self._leaders and self._failures >= GIVE_UP:
            raise SearchError(
                f"The first {GIVE_UP} trials all failed, so the search was given up. "
                f"The last failure: {error}"
            )

    def _trial(self, opened: Open, status: End, seconds: float, error: str) -> Trial:
        sign = -1.0 if self.limits.direction == "maximize" else 1.0
        trial = Trial(
            id=opened.suggestion.id,
            number=opened.number,
            config=opened.suggestion.config,
            status=status,
            rungs=tuple((rung.rounds, rung.value) for rung in opened.rungs),
            seconds=round(opened.seconds + seconds, 3),
            error=error,
        )
        if status == "failed":
            before = opened.ended
            if before is None or before.value is None:
                return trial
            # What it had come to before it was to go on is not lost.
            return replace(before, status="stopped", seconds=trial.seconds, error=error)
        # Of equal rungs the later one: a metric that counts stands still while probabilities
        # still improve.
        best = min(opened.rungs, key=lambda rung: (sign * rung.value, -rung.rounds))
        return replace(
            trial,
            value=best.value,
            rounds=best.rounds,
            fold_values=best.fold_values,
            metrics=dict(getattr(best, "metrics", {}) or {}),
        )

    def keep(self, ended: Trial, *, failed: bool, cpu_seconds: float) -> None:
        """Keep an end that is in the ledger, and let the searcher learn from it."""
        opened = self._open.pop(ended.number)
        known = opened.suggestion
        # What was stopped early was given less than full training, and says so.
        early = ended.status == "stopped" and not failed
        budget = float(opened.rungs[-1].progress) if early else known.budget
        result = Result(known.id, known.config, None, budget)
        if not failed:
            values = ended.metrics or None
            result = replace(result, value=ended.value, values=values)
        before = opened.ended
        self._failed += (ended.value is None) - (before is not None and before.value is None)
        self._done += before is None
        if self.goes_on:
            # Of other trials the ledger alone keeps what they came to.
            opened.seconds, opened.ended = ended.seconds, ended
            self._paused[ended.number] = opened
        self._dry, self._withdrawn = False, 0
        self.spending.add(ended, cpu_seconds)
        self._lead(ended)
        self._searcher.observe([result])

    def _lead(self, ended: Trial) -> None:
        entries = [trial for trial in self._leaders if trial.number != ended.number]
        if ended.value is not None:
            entries.append(ended)
        self._leaders = tuple(sorted(entries, key=self.limits.order)[:LEADERS])

    def say(self, message: str) -> None:
        """Tell the person who waits something that is no trial."""
        self._notify(Progress(stage="search", message=message))

    def _tell(self) -> None:
        done, total = self._done, self.limits.trials
        left = self.spending.seconds_left
        # How long those go on that are all suggested is the searcher's to know.
        if total is not None and not (self.goes_on and self._suggested >= total):
            by_trials = self._ledger.elapsed / done * max(0, total - done)
            left = by_trials if left is None else min(left, by_trials)
        ending = self.complete or (self.goes_on and self._enough())
        self._notify(
            Progress(
                stage="search",
                message=f"trial {done}",
                done=done,
                total=total,
                best=next((one.value for one in self._leaders if self.limits.allows(one)), None),
                seconds_left=None if left is None else max(0.0, left),
                metric=self.limits.metric,
                failed=self._failed,
                # The worker that has just become free begins the next trial at once.
                running=self.running + (not ending and not self.spending.over()),
                leaders=self._leaders,
            )
        )

    def close(self, running: Mapping[int, float]) -> None:
        """End the running trials at the deadline with what they had.

        ``running`` gives each one's seconds. One without a rung is left open: it does not count,
        and is run again where the run goes on with more time.
        """
        for number, seconds in running.items():
            if number in self._open and self._open[number].rungs:
                self.end(number, "stopped", seconds=seconds)

    def result(self, stopped_by: str) -> Trials:
        """Return every trial that ended.

        Raises
        ------
        SearchError
            When none has a value.
        """
        trials = Trials(
            trials=self._ledger.trials(),
            direction=self.limits.direction,
            metric=self.limits.metric,
            resumed=self.resumed,
            stopped_by=stopped_by,
            seconds=self._ledger.elapsed,
        )
        if trials.best is None:
            failed = [trial.error for trial in trials.trials if trial.error]
            if failed:
                raise SearchError(
                    f"No trial succeeded; {len(failed)} failed. The last failure: {failed[-1]}"
                )
            raise SearchError(
                f"No trial came to a first result within {self._ledger.elapsed:.0f} s. "
                "Give the search more time (--time), or fewer rows."
            )
        return trials
