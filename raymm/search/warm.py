"""A warm start: what earlier runs of the same name found, for a new run to begin with.

It is gathered once, when a run is new, and kept in the run's own ledger, so that going on with the
run later begins with the same. Configurations that were good are worth a try whatever changed
since. Values hold for what they were measured on: those of another function, or of other rows, are
not told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from raymm.artifacts import Config, Space, Trial, Trials
from raymm.errors import RegistryError
from raymm.search import space as spaces
from raymm.search.journal import folder_of, is_remote
from raymm.search.ledger import FILE, Ledger, list_runs
from raymm.search.searcher import Result

KIND = "warm"
RUNS = 3
"""Runs that are read: the latest, on local storage."""

BEST = 5
"""Configurations that are tried first: the best of each run, then the second best, and so on."""

RESULTS = 200
"""Results of a run that are told: those of its best trials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warm:
    """What to try first and what to tell the searcher before it is asked; both may be empty."""

    runs: tuple[str, ...] = ()
    configs: tuple[Config, ...] = ()
    results: tuple[Result, ...] = ()

    @property
    def said(self) -> str:
        """What it is, in words; empty where there is nothing."""
        if not self.runs:
            return ""
        runs = ", ".join(self.runs)
        if not self.results:
            return (
                f"begins with {len(self.configs)} configurations of {runs}, whose values are not "
                "told: they were measured on something else"
            )
        known = f"{len(self.configs)} configurations and {len(self.results)} results"
        return f"begins with {known} of {runs}"


def warm(ledger: Ledger, storage: str, space: Space, *, gather: bool, of: str) -> Warm:
    """Return the warm start of a run.

    Parameters
    ----------
    ledger : Ledger
        Of the run, with its "run" record. Where it knows its warm start, that is returned; where
        it holds suggestions without one, the run began cold.
    gather : bool
        Whether a new run looks for earlier ones; it keeps what it finds.
    of : str
        Names what is measured: a function's code, a table's rows. Only results of runs that say
        the same are told.
    """
    known = next(ledger.each(KIND), None)
    if known is None and gather and not ledger.records("suggestion"):
        found = _gather(ledger, storage, space, of)
        results = [[r.id, r.config, r.value, r.budget] for r in found.results]
        ledger.append(KIND, of=of, runs=found.runs, configs=found.configs, results=results)
        known = next(ledger.each(KIND))
    if known is None:
        return Warm()
    return Warm(
        runs=tuple(known["runs"]),
        configs=tuple(known["configs"]),
        results=tuple(Result(*entry) for entry in known["results"]),
    )


def _gather(ledger: Ledger, storage: str, space: Space, of: str) -> Warm:
    head = next(ledger.each("run"), {})
    goal = tuple(head.get(key) for key in ("name", "metric", "direction"))
    runs: list[str] = []
    boards: list[Sequence[Trial]] = []
    told: list[tuple[str, Sequence[Trial]]] = []
    for run in _earlier(storage, ledger.run, str(head.get("name"))):
        if len(runs) == RUNS:
            break
        try:
            other = Ledger.read(storage, run)
        except RegistryError:
            # What cannot be read is no reason not to search.
            continue
        theirs = next(other.each("run"), {})
        if tuple(theirs.get(key) for key in ("name", "metric", "direction")) != goal:
            continue
        board = Trials(trials=other.trials(), direction=head["direction"], metric=head["metric"])
        fitting = [near for t in board.leaderboard if (near := _near(space, t)) is not None]
        if fitting:
            runs.append(run)
            boards.append(fitting[:RESULTS])
            if next(other.each(KIND), {}).get("of") == of:
                told.append((run, boards[-1]))
    return Warm(runs=tuple(runs), configs=_best(boards), results=_results(told))


def _near(space: Space, trial: Trial) -> Trial | None:
    """Return a trial as one of the space; None where it is none.

    A switch that its space did not have, or this one has not, must have been off.
    """
    given = trial.config
    near = spaces.nearest(space, given)
    if near is None or not spaces.contains(space, near):
        return None
    same = all(near[name] == value for name, value in given.items() if name in near)
    added = all(near[name] is False for name in near if name not in given)
    gone = all(given[name] is False for name in given if name not in near)
    return replace(trial, config=near) if same and added and gone else None


def _earlier(storage: str, run: str, name: str) -> list[str]:
    """Return the other runs whose names begin so, the latest first where that is known."""
    found = [other for other in list_runs(storage) if other != run and other.startswith(f"{name}-")]
    if is_remote(storage):
        return found
    home = folder_of(storage) / "runs"
    return sorted(found, key=lambda other: -(home / other / FILE).stat().st_mtime)


def _best(boards: Sequence[Sequence[Trial]]) -> tuple[Config, ...]:
    chosen: dict[object, Config] = {}
    for place in range(BEST):
        for board in boards:
            if place < len(board) and len(chosen) < BEST:
                chosen.setdefault(spaces.key(board[place].config), board[place].config)
    return tuple(chosen.values())


def _results(told: Sequence[tuple[str, Sequence[Trial]]]) -> tuple[Result, ...]:
    return tuple(
        Result(
            f"{run}:{trial.id}",
            trial.config,
            trial.value,
            # What was stopped early is worth less than what was trained in full.
            float(trial.rungs[-1][0]) if trial.status == "stopped" and trial.rungs else None,
        )
        for run, board in told
        for trial in sorted(board, key=lambda trial: trial.number)
    )
