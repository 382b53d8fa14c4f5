"""What a run's ledger tells of the run: its kind, whether it goes on, and how its trials stand.

Read from the records alone, so that a run of another process, or of another day, is told of too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from raymm.artifacts import Trial, Trials
from raymm.errors import Interrupted, RaymmError
from raymm.search.journal import folder_of, is_remote
from raymm.search.ledger import FILE, Ledger, Record

ENDED = "ended"
"""Kind of the record that closes a run; what follows it is a continuation."""

LAST = "audit"
"""The last stage that a run of a table keeps: its end in ledgers written before `ENDED` was."""

State = Literal["running", "finished", "failed", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """How far the trials of a search that plans budgets were meant to be trained.

    Attributes
    ----------
    given : mapping of trial number to float
        The budget that each was last given; those trained whole are missing.
    whole : float
        The largest that was ever given; 0 where none was.
    """

    given: Mapping[int, float] = field(default_factory=dict)
    whole: float = 0.0

    def standing(self, trial: Trial) -> str:
        """Return how a trial ended, in a word or three, such as ``stopped at 3 of 27``.

        A trial whose budget is used up, and that was not given the largest, has stopped there:
        it may go on. One that ended before its budget has finished by itself.
        """
        if trial.status == "failed" or not trial.rungs:
            return trial.status
        reached, budget = trial.rungs[-1][0], self.given.get(trial.number)
        of = f" of {self.whole:g}" if self.whole > reached else ""
        if trial.status == "stopped":
            return f"stopped at {reached}{of}"
        short = budget is not None and budget < self.whole and reached >= budget
        return f"stopped at {reached}{of}" if short else "finished"


def budgets_of(ledger: Ledger) -> Budgets:
    """Return the budgets of a run's trials; O(records)."""
    given: dict[int, float] = {}
    numbers: dict[str, int] = {}
    for record in ledger.each("suggestion"):
        number = record.get("number")
        if number is None:
            number = numbers.get(record.get("id", ""))
        if number is None or record.get("withdrawn"):
            continue
        numbers[record["id"]] = number
        budget = record.get("budget")
        if budget is None:
            given.pop(number, None)
        else:
            given[number] = float(budget)
    head = next(ledger.each("run"), {})
    whole = max([*given.values(), float(head.get("max_budget") or 0.0)])
    return Budgets(given=given, whole=whole)


def found(ledger: Ledger, limit: int | None) -> Trials | None:
    """Return what a search that was closed has found, where no more trials are asked for.

    There is nothing to do then, and no need of Ray. That does not hold where budgets are planned:
    trials may go on there without there being more of them.
    """
    end, tried = end_of(ledger), ledger.trials()
    if end is None or end.get("error") or limit is None or len(tried) < limit:
        return None
    head = next(ledger.each("run"))
    return Trials(
        trials=tried,
        direction=head["direction"],
        metric=head["metric"],
        resumed=len(tried),
        stopped_by=end.get("stopped_by", ""),
        seconds=ledger.elapsed,
    )


def resumed(ledger: Ledger, trials: int | None) -> str:
    """Return what an earlier session has left, in words; empty where there was none.

    ``trials`` is the limit that the run has now.
    """
    done = len({record["trial"]["number"] for record in ledger.each("trial")})
    if done == 0:
        return ""
    read = f"{done} {'trial' if done == 1 else 'trials'} of an earlier run read"
    if trials is not None and done >= trials:
        return f"{read}, as many as are asked for: ask for more to go on"
    return f"{read}; going on with the {_ordinal(done + 1)}"


def _ordinal(number: int) -> str:
    """Return a number's place.

    >>> [_ordinal(n) for n in (1, 2, 13, 21, 112)]
    ['1st', '2nd', '13th', '21st', '112th']
    """
    ends = {1: "st", 2: "nd", 3: "rd"}
    end = "th" if number % 100 in (11, 12, 13) else ends.get(number % 10, "th")
    return f"{number}{end}"


def kind_of(ledger: Ledger) -> Literal["table", "function"]:
    """Return what was searched for: a model of a table, or a function's best configuration."""
    head = next(ledger.each("run"), {})
    return "table" if head.get("source") else "function"


def state_of(ledger: Ledger, storage: str) -> State:
    """Return whether a run goes on now, has come to its end, or was cut off.

    A run in a bucket has no lock to look at: one that goes on is told as interrupted there.
    """
    if _held(storage, ledger.run):
        return "running"
    last = max((record["n"] for record in ledger.each("trial")), default=-1)
    ends = [record for record in ledger.each(ENDED) if record["n"] > last]
    if ends:
        return "failed" if ends[-1].get("error") else "finished"
    stages = [record for record in ledger.each("stage") if record["n"] > last]
    return "finished" if any(record["name"] == LAST for record in stages) else "interrupted"


def close(ledger: Ledger, *, stopped_by: str = "", error: str = "") -> None:
    """Write that a run has ended, once, and by what; ``error`` where it came to nothing."""
    if end_of(ledger) is None:
        ledger.append(ENDED, stopped_by=stopped_by, error=error)


@contextlib.contextmanager
def closed_on_error(ledger: Ledger) -> Iterator[None]:
    """Close a run within which an error is raised; one that a person stopped may go on."""
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        with contextlib.suppress(RaymmError, OSError):  # the first error is what is told
            close(ledger, error=str(error) or type(error).__name__)
        raise


def end_of(ledger: Ledger) -> Record | None:
    """Return the record that closes a run; None where it was not closed, or went on since."""
    last = next(reversed(ledger.records(ENDED)), None)
    return last if last is not None and last["n"] == len(ledger) - 1 else None


def _held(storage: str, run: str) -> bool:
    """Whether a process works on a run of this machine's storage."""
    if is_remote(storage):
        return False
    import fcntl

    try:
        lock = (folder_of(storage) / "runs" / run / "lock").open("rb")
    except OSError:
        return False
    with lock:
        try:
            with contextlib.suppress(PermissionError):  # another person's process is alive too
                os.kill(int(lock.read(32)), 0)
            # The number may be another process's by now; who has the lock is what counts. A lock
            # that nobody alive wrote is not tried, so a run that starts now is never refused.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except (ValueError, OSError):
            return False
    return False


def changed(storage: str, run: str) -> float | None:
    """Return when a run was last written to, in seconds since 1970; None where it is not known."""
    if is_remote(storage):
        return None
    path: Path = folder_of(storage) / "runs" / run / FILE
    return path.stat().st_mtime if path.exists() else None
