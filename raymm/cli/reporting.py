"""The report of a run, from its ledger alone: of functions, and of tables that have no version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raymm.artifacts import Space, Trials
from raymm.errors import ConfigError, NotFound
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
    alike = [run for run in known if run.rpartition("-")[0] == named]
    if not alike:
        raise NotFound(f'There is no run "{named}" in {storage}. List them with: raymm runs')
    if "://" in storage and not storage.startswith("file://"):
        # Buckets are not asked for times: the newest version tells, where there is one.
        return _versioned(named, storage) or alike[-1]
    place = folder_of(storage) / "runs"
    return max(alike, key=lambda run: ((place / run / FILE).stat().st_mtime_ns, run))


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
    facts: dict[str, Any] = {"run": run, "last stage": stage}
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
            front=_front(trials, head),
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


def _front(trials: Trials, head: Mapping[str, Any]) -> frozenset[int]:
    from raymm.search import pareto
    from raymm.search.goals import Goals

    if len(trials.objectives) < 2:
        return frozenset()
    bounds = {name: tuple(pair) for name, pair in (head.get("constraints") or {}).items()}
    goals = Goals(objectives=trials.objectives, constraints=bounds)
    told = [t for t in trials.trials if goals.complete(t.metrics)]
    allowed = [t for t in told if not goals.violations(t.metrics).any()]
    best = pareto.front([goals.losses(t.metrics) for t in allowed])
    return frozenset(t.number for t, kept in zip(allowed, best, strict=True) if kept)


def write(text: bytes, path: Path) -> Path:
    """Write a page and return its whole path; raises ConfigError where that is refused."""
    try:
        path.write_bytes(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error
    return path.resolve()
