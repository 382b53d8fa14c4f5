"""A session of a search: who is asked, told and written, in which order. Knows nothing of Ray.

Every event goes to the ledger first, then to the searcher, then to the person. A session is
opened by replaying the ledger: the searcher is asked and told, and the scheduler decides, in the
order of the records, so both stand where they stood. What had been suggested and had not ended is
tried again first, under its number, with its configuration and with the decisions made so far.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from raymm.artifacts import Direction, Notify, Progress, Trial, Trials
from raymm.errors import SearchError
from raymm.search.ledger import Ledger, Record
from raymm.search.searcher import Result, Searcher, Suggestion
from raymm.search.trial import Rung

GIVE_UP = 5

End = Literal["finished", "stopped", "failed"]


class Scheduler(Protocol):
    """What a session needs of `raymm.search.halving.Halving`."""

    def decide(self, trial_id: str, budget: int, value: float, *, group: str) -> bool:
        """Return whether the trial may go on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When to end, and how results are compared.

    ``trials`` and ``seconds`` count what earlier sessions of the run did too; None is no limit.
    """

    metric: str
    direction: Direction
    trials: int | None = None
    seconds: float | None = None


@dataclass(slots=True, kw_only=True)
class Open:
    """A trial that was suggested and has not ended."""

    number: int
    suggestion: Suggestion
    rungs: list[Rung] = field(default_factory=list)
    decisions: dict[int, bool] = field(default_factory=dict)


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
        self._notify: Callable[[Progress], None] = notify or (lambda progress: None)
        self._open: dict[int, Open] = {}
        self._trials: dict[int, Trial] = {}
        self._best: float | None = None
        self._suggested = 0
        self._recorded = {trial.number: trial for trial in ledger.trials()}
        self._replay()
        self.resumed = len(self._trials)
        self._waiting = sorted(self._open)
        self._failures = 0
        self.exhausted = False

    # ------------------------------------------------------------------------------- replay

    def _replay(self) -> None:
        steps: dict[str, Callable[[Record], None]] = {
            "suggestion": self._replay_suggestion,
            "rung": self._replay_rung,
            "trial": self._replay_trial,
        }
        for record in self._ledger.records():
            step = steps.get(record["kind"])
            if step is not None:
                step(record)

    def _replay_suggestion(self, record: Record) -> None:
        # Asking keeps the searcher's random stream in step; where another version of it now
        # suggests otherwise, what was tried is what the record says.
        self._searcher.suggest(1)
        suggestion = Suggestion(record["id"], record["config"], record["budget"])
        number = record["number"]
        self._open[number] = Open(number=number, suggestion=suggestion)
        self._suggested = max(self._suggested, number + 1)

    def _replay_rung(self, record: Record) -> None:
        trial = self._open[record["number"]]
        rung = Rung(
            rounds=record["rounds"],
            value=record["value"],
            fold_values=tuple(record["fold_values"]),
        )
        self._decide(trial, rung)
        self._keep_rung(trial, rung, go_on=record["go_on"])

    def _replay_trial(self, record: Record) -> None:
        number = record["trial"]["number"]
        opened = self._open.pop(number)
        self._observe(opened, self._recorded[number])
        self._keep(self._recorded[number])

    # ------------------------------------------------------------------------------- events

    @property
    def expired(self) -> bool:
        """Whether the time is used up."""
        return self.seconds_left is not None and self.seconds_left <= 0

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the time is used up; None where there is no limit."""
        limit = self.limits.seconds
        return None if limit is None else limit - self._ledger.elapsed

    @property
    def done(self) -> int:
        """How many trials have ended, in all sessions."""
        return len(self._trials)

    @property
    def complete(self) -> bool:
        """Whether `next` will never again return a trial."""
        return not self._waiting and (self.exhausted or self._enough())

    @property
    def finished(self) -> bool:
        """Whether every trial there will be has ended."""
        return self.complete and not self._open

    def _enough(self) -> bool:
        return self.limits.trials is not None and self._suggested >= self.limits.trials

    def next(self) -> Open | None:
        """Return the next trial to run, or None where there is none now.

        The suggestion is in the ledger when this returns.
        """
        if self._waiting:
            return self._open[self._waiting.pop(0)]
        if self._enough() or self.expired:
            return None
        suggested = self._searcher.suggest(1)
        if not suggested:
            self.exhausted = not self._open
            return None
        suggestion, number = suggested[0], self._suggested
        self._ledger.append(
            "suggestion",
            number=number,
            id=suggestion.id,
            config=suggestion.config,
            budget=suggestion.budget,
        )
        self._suggested += 1
        self._open[number] = Open(number=number, suggestion=suggestion)
        return self._open[number]

    def rung(self, number: int, rung: Rung) -> bool:
        """Take in a rung and return whether the trial may go on."""
        trial = self._open[number]
        if rung.rounds in trial.decisions:
            return trial.decisions[rung.rounds]
        go_on = self._decide(trial, rung)
        self._ledger.append(
            "rung",
            number=number,
            rounds=rung.rounds,
            value=rung.value,
            fold_values=rung.fold_values,
            go_on=go_on,
        )
        self._keep_rung(trial, rung, go_on=go_on)
        return go_on

    def _keep_rung(self, trial: Open, rung: Rung, *, go_on: bool) -> None:
        trial.decisions[rung.rounds] = go_on
        trial.rungs.append(rung)
        known = trial.suggestion
        look = Result(known.id, known.config, rung.value, float(rung.rounds), final=False)
        self._searcher.observe([look])

    def _decide(self, trial: Open, rung: Rung) -> bool:
        if self._scheduler is None:
            return True
        group = str(trial.suggestion.config.get("family", ""))
        return self._scheduler.decide(trial.suggestion.id, rung.rounds, rung.value, group=group)

    def end(self, number: int, status: End, *, seconds: float = 0.0, error: str = "") -> None:
        """Take in a trial's end: written, then observed, then told.

        A trial without a rung can only fail.

        Raises
        ------
        SearchError
            When the first trials of a run have all failed.
        """
        opened = self._open.pop(number)
        ended = self._trial(opened, status, seconds, error)
        self._ledger.append("trial", trial=ended)
        self._keep(ended)
        self._observe(opened, ended)
        self._tell()
        self._failures += ended.value is None
        if self._best is None and self._failures >= GIVE_UP:
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
            seconds=round(seconds, 3),
            error=error,
        )
        if status == "failed":
            return trial
        # Of equal rungs the later one: a metric that counts stands still while probabilities
        # still improve.
        best = min(opened.rungs, key=lambda rung: (sign * rung.value, -rung.rounds))
        return replace(trial, value=best.value, rounds=best.rounds, fold_values=best.fold_values)

    def _keep(self, ended: Trial) -> None:
        self._trials[ended.number] = ended
        if ended.value is not None:
            better = max if self.limits.direction == "maximize" else min
            self._best = ended.value if self._best is None else better(self._best, ended.value)

    def _observe(self, opened: Open, ended: Trial) -> None:
        # What was stopped early was given less than full training, and says so.
        budget = opened.suggestion.budget
        if ended.status == "stopped":
            budget = float(opened.rungs[-1].rounds)
        result = Result(opened.suggestion.id, opened.suggestion.config, ended.value, budget)
        self._searcher.observe([result])

    def _tell(self) -> None:
        done, total = len(self._trials), self.limits.trials
        left = self.seconds_left
        if total is not None:
            by_trials = self._ledger.elapsed / done * max(0, total - done)
            left = by_trials if left is None else min(left, by_trials)
        self._notify(
            Progress(
                stage="search",
                message=f"trial {done}",
                done=done,
                total=total,
                best=self._best,
                seconds_left=None if left is None else max(0.0, left),
            )
        )

    def close(self, running: dict[int, float]) -> None:
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
        trials = self._result(stopped_by)
        if trials.best is None:
            failed = [trial.error for trial in trials.trials if trial.error]
            if failed:
                raise SearchError(
                    f"No trial succeeded; {len(failed)} failed. The last failure: {failed[-1]}"
                )
            raise SearchError(
                f"No trial could be finished within {self.limits.seconds} s. "
                "Give the search more time (--time), or fewer rows."
            )
        return trials

    def _result(self, stopped_by: str) -> Trials:
        return Trials(
            trials=tuple(self._trials[number] for number in sorted(self._trials)),
            direction=self.limits.direction,
            metric=self.limits.metric,
            resumed=self.resumed,
            stopped_by=stopped_by,
            seconds=self._ledger.elapsed,
        )
