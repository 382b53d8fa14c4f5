"""The report of a run, from its ledger alone: of functions, and of tables that have no version."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from raymm.artifacts import Space, Trials
from raymm.errors import ConfigError, NotFound
from raymm.search import account
from raymm.search.front import best_of
from raymm.search.goals import Goals
from raymm.search.journal import folder_of
from raymm.search.ledger import FILE, Ledger, list_runs

_GIVEN = ("name", "source", "metric", "direction", "algorithm", "seed")


def run_of(named: str, storage: str) -> str:
    """Return the run of this name, or the newest run of a model or function of this name.

    Raises
    ------
    NotFound
        When there is neither.
    """
    known = list_runs(storage)
    if named in known:
        return named
    found = alike(named, storage)
    if not found:
        names = {run.rpartition("-")[0] for run in known} | set(known)
        near = difflib.get_close_matches(named, sorted(names), n=1)
        hint = f'Did you mean "{near[0]}"? ' if near else ""
        raise NotFound(f'There is no run "{named}" in {storage}. {hint}List them with: raymm runs')
    if "://" in storage and not storage.startswith("file://"):
        # Buckets are not asked for times: the newest version tells, where there is one.
        return _versioned(named, storage) or found[-1]
    place = folder_of(storage) / "runs"
    return max(found, key=lambda run: ((place / run / FILE).stat().st_mtime_ns, run))


def alike(named: str, storage: str) -> list[str]:
    """Return the runs of a model or function of this name."""
    return [run for run in list_runs(storage) if run.rpartition("-")[0] == named]


def entry(run: str, storage: str) -> dict[str, Any]:
    """Return what a list of runs says of one, in plain JSON values.

    ``changed`` is when it was last written to (ISO, UTC), ``seconds`` of searching in all sessions.

    Raises
    ------
    NotFound, RegistryError
        As `Ledger.read` does.
    """
    ledger = Ledger.read(storage, run)
    trials, _, stage = trials_of(ledger)
    at = account.changed(storage, run)
    moment = None if at is None else datetime.fromtimestamp(at, UTC)
    return {
        "run": run,
        "kind": account.kind_of(ledger),
        "state": account.state_of(ledger, storage),
        "trials": len(trials.trials),
        "failed": sum(trial.status == "failed" for trial in trials.trials),
        "metric": trials.metric,
        "best": trials.best.value if trials.best else None,
        "last stage": stage,
        "seconds": round(trials.seconds, 2),
        "changed": None if moment is None else moment.isoformat(timespec="seconds"),
    }


def _versioned(name: str, storage: str) -> str | None:
    from raymm.registry.versions import Registry

    registry = Registry(storage)
    return registry.versions(name)[-1].run if name in registry.models() else None


def trials_of(ledger: Ledger) -> tuple[Trials, Mapping[str, Any], str]:
    """Return a ledger's trials so far, what it says of the run, and the last stage finished."""
    head = next(iter(ledger.records("run")), {})
    stages = ledger.records("stage")
    ended = [stage["record"] for stage in stages if stage["name"] == "search"]
    trials = Trials(
        trials=ledger.trials(),
        direction=head.get("direction", "maximize"),
        metric=head.get("metric", "value"),
        seconds=ledger.elapsed,
        stopped_by=str(ended[-1].get("stopped_by", "")) if ended else "",
        objectives=head.get("objectives") or {},
    )
    return trials, head, str(stages[-1]["name"]) if stages else "started"


def page(run: str, storage: str) -> str:
    """Return the report of a run as HTML.

    Raises
    ------
    NotFound
        When there is no such run.
    RegistryError
        When its ledger is damaged.
    """
    from raymm.report.html import ReportInputs, render
    from raymm.search.importance import importance

    ledger = Ledger.read(storage, run)
    trials, head, stage = trials_of(ledger)
    space = _space(head, trials)
    facts: dict[str, Any] = {"run": run, "state": account.state_of(ledger, storage)}
    if account.kind_of(ledger) == "table":
        facts["last stage"] = stage
    facts |= {key: head[key] for key in _GIVEN if head.get(key) not in (None, "")}
    failed = sum(trial.status == "failed" for trial in trials.trials)
    facts |= {"trials": len(trials.trials), "failed trials": failed, "ledger": ledger.digest()}
    return render(
        ReportInputs(
            name=run,
            facts=facts,
            trials=trials,
            space=space,
            parameters=importance(space, trials),
            front=front(trials, head),
        )
    )


def _space(head: Mapping[str, Any], trials: Trials) -> Space:
    """Return the space that the run recorded, else the one that its trials seem to come from."""
    from raymm.search.importance import observed_space
    from raymm.search.space import parse

    given = head.get("space")
    if isinstance(given, Mapping) and given:
        try:
            return parse(dict(given))
        except ConfigError:  # written in another way by another version
            pass
    return observed_space([trial.config for trial in trials.trials])


def goals_of(trials: Trials, head: Mapping[str, Any]) -> Goals | None:
    """Return the several objectives that a run's ledger names; None where there is one."""
    if not trials.objectives:
        return None
    bounds = {name: tuple(pair) for name, pair in (head.get("constraints") or {}).items()}
    return Goals(objectives=trials.objectives, constraints=bounds)


def front(trials: Trials, head: Mapping[str, Any]) -> frozenset[int]:
    """Return the numbers of the trials that none beats in every objective; none for one."""
    goals = goals_of(trials, head)
    found = () if goals is None else best_of(trials, goals)
    return frozenset(trial.number for trial in found)


def write(text: bytes, path: Path) -> Path:
    """Write a page and return its whole path; raises ConfigError where that is refused."""
    try:
        path.write_bytes(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error
    return path.resolve()
