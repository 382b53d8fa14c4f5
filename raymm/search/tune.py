"""Runs a search's trials on Ray Tune.

Tune starts the workers, hands out configurations and brings back results; its own state is
thrown away. What was tried, what came of it and what comes next is the business of
`raymm.search.session.Session`, reached through Tune's public interfaces: a `Searcher` that asks
it, a `TrialScheduler` that lets it decide, a `Stopper` that keeps its deadline and a `Callback`
that watches the workers.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher as TuneSearcher

from raymm.artifacts import Config, Direction, MetricLike, Notify, Space, Trials
from raymm.errors import ClusterError, Interrupted, SearchError
from raymm.search.desk import Desk
from raymm.search.ledger import Ledger
from raymm.search.objective import Function, MakeCall, describe
from raymm.search.searcher import Searcher
from raymm.search.session import Limits, Scheduler, Session
from raymm.search.trial import MakeTrial, Prepared, Run

STEP = 1.0
"""Seconds after which a worker reports even where no rung is complete."""

GRACE = 0.5
"""Seconds kept back from the time budget for ending the workers; at most 4 % of it."""

POLL = 0.05
"""Seconds between two looks at whether the search has ended."""

PATIENCE = 10.0
"""Seconds that workers have to end after Ctrl-C; a second Ctrl-C waits no longer."""

THREAD = "raymm-tune"
Make = Callable[[int, Config, float | None], Run]
_ENVIRONMENT = {
    # Tune's state is never read again: only its end is written.
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000000",
    # The newer output prints a header even where it is told to be quiet.
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


class Worker(tune.Trainable):
    """One worker process; takes one trial after the other."""

    def setup(self, config: dict[str, Any], make: Make | None = None) -> None:
        """Keep what makes runs; data reaches it once, through the object store."""
        self._make = make
        self._run: Run | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial."""
        self._leave()
        return True

    def step(self) -> dict[str, Any]:
        """Work until the next rung, or for `STEP` seconds."""
        began, rung = time.monotonic(), None
        try:
            if self._run is None:
                assert self._make is not None
                task = self.config
                self._run = self._make(task["number"], task["config"], task["budget"])
            while rung is None and time.monotonic() - began < STEP:
                rung = self._run.advance()
        except (Exception, SystemExit) as error:
            return {"error": describe(error), "done": True}
        if rung is None:
            return {"rung": None}
        told = (rung.rounds, rung.value, rung.fold_values)
        return {"rung": told, "ended": rung.done, "done": rung.done}

    def cleanup(self) -> None:
        """End what is still running."""
        self._leave()

    def _leave(self) -> None:
        close = getattr(self._run, "close", None)
        if close is not None:
            close()
        self._run = None

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Keep nothing: a trial that lost its worker begins again."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Read nothing."""


def _kill(trial: Any) -> None:
    actor = trial.temporary_state.ray_actor
    if actor is not None:
        with contextlib.suppress(Exception):
            ray.kill(actor)


class _Asking(TuneSearcher):
    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk

    def suggest(self, trial_id: str) -> Any:
        config = self._desk.suggest(trial_id)
        return TuneSearcher.FINISHED if config is None and self._desk.exhausted else config

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self._desk.complete(trial_id, result, error=error)

    def save(self, checkpoint_path: str) -> None:
        """Tune wants a file; the ledger is what counts."""
        with open(checkpoint_path, "wb"):
            pass

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing."""


class _Deciding(FIFOScheduler):
    def __init__(self, desk: Desk) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._desk = desk

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        go_on = self._desk.result(trial.trial_id, result)
        decision: str = TrialScheduler.CONTINUE if go_on else TrialScheduler.STOP
        return decision


class _Deadline(tune.Stopper):
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        if self._desk.over:
            self._desk.end_all()
            return True
        return False


class _Watching(tune.Callback):
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._desk.end_late()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._desk.started(trial.trial_id, trial)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._desk.lost(trial.trial_id)


def search(  # noqa: PLR0913 - one call carries the whole search
    prepared: Prepared,
    space: Space,
    searcher: Searcher,
    halving: Scheduler | None,
    ledger: Ledger,
    *,
    metric: MetricLike,
    trials: int | None,
    seconds: float | None,
    parallel: int | Literal["auto"] = "auto",
    trial_timeout: float | None = None,
    seed: int = 0,
    notify: Notify | None = None,
) -> Trials:
    """Search for the best model of a prepared table; Ray must be running.

    Parameters
    ----------
    trials, seconds : int, float or None
        Limits over all sessions of the run together. Time is a hard limit: running trials are
        ended there, and count with the best of what they had.
    parallel : int or "auto"
        Trials at once; "auto" is one a CPU. CPUs left over become threads of the trials.
    trial_timeout : float or None
        Seconds after which a trial is killed and counts as failed.

    Raises
    ------
    SearchError
        When the first five trials fail, or no trial could be finished.
    ClusterError
        When the cluster has no CPU for a trial.
    RegistryError
        When the ledger cannot be written.
    Interrupted
        After Ctrl-C, when all that is known is on disk.
    """
    workers, threads = _share(parallel)
    make = MakeTrial(prepared=prepared, metric=metric, seed=seed, threads=threads)
    limits = Limits(metric=metric.name, direction=metric.direction, trials=trials, seconds=seconds)
    with ledger.searching():
        _introduce(ledger, limits, searcher, space)
        session = Session(searcher, halving, ledger, limits=limits, notify=notify)
        return _run(session, make, workers, threads, trial_timeout)


def tune_function(  # noqa: PLR0913 - one call carries the whole search
    function: Function,
    space: Space,
    searcher: Searcher,
    ledger: Ledger,
    *,
    metric: str,
    mode: Direction,
    trials: int | None,
    seconds: float | None,
    parallel: int | Literal["auto"] = "auto",
    seed: int = 0,
    notify: Notify | None = None,
    halving: Scheduler | None = None,
    trial_timeout: float | None = None,
) -> Trials:
    """Search for the best configuration of a user's own function; Ray must be running.

    ``function`` is described in `raymm.search.objective`; everything else is as in `search`.
    """
    workers, threads = _share(parallel)
    make = MakeCall(function=function, metric=metric, seed=seed)
    limits = Limits(metric=metric, direction=mode, trials=trials, seconds=seconds)
    with ledger.searching():
        _introduce(ledger, limits, searcher, space)
        session = Session(searcher, halving, ledger, limits=limits, notify=notify)
        return _run(session, make, workers, threads, trial_timeout)


def _share(parallel: int | Literal["auto"]) -> tuple[int, int]:
    settle()
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cpus = resources.get("CPU", 0.0)
    if cpus < 1:
        # Tune would wait for ever.
        raise ClusterError(
            f"A trial needs 1 CPU, but the cluster has {cpus:g}. Add a node with CPUs, or give "
            "the local cluster more: ray.cpus."
        )
    workers = max(1, int(cpus)) if parallel == "auto" else parallel
    return workers, max(1, int(cpus // workers))


def _introduce(ledger: Ledger, limits: Limits, searcher: Searcher, space: Space) -> None:
    if not ledger.records("search"):
        ledger.append(
            "search",
            metric=limits.metric,
            direction=limits.direction,
            algorithm=getattr(searcher, "name", type(searcher).__name__),
            space={name: {"kind": type(p).__name__, "of": p} for name, p in space.items()},
        )


def _run(session: Session, make: Make, workers: int, threads: int, timeout: float | None) -> Trials:
    seconds = session.limits.seconds
    grace = 0.0 if seconds is None else min(GRACE, 0.04 * seconds)
    desk = Desk(session, timeout=timeout, grace=grace, kill=_kill)
    if not desk.exhausted:
        _fit(desk, make, workers, threads)
    # Whether the time was up is decided before the last trials are written down.
    late = desk.over
    desk.close(keep=desk.fault is None and not desk.interrupted)
    if desk.fault is not None:
        raise desk.fault
    if desk.interrupted:
        raise Interrupted(
            f"Interrupted after {session.done} trials, all of them on disk. "
            "Run the same command again to go on from there."
        )
    if late:
        return session.result("time")
    return session.result("space exhausted" if session.exhausted else "trials")


def _fit(desk: Desk, make: Make, workers: int, threads: int) -> None:
    """Run Tune in a thread, and wait until the last trial has ended or the time is up.

    Tune then waits for workers to end, and for those that are still starting, for up to fifteen
    seconds. The thread does that behind the caller's back; `settle` waits for it.
    """
    thread = threading.Thread(
        target=_fit_here, args=(desk, make, workers, threads), name=THREAD, daemon=True
    )
    thread.start()
    try:
        while thread.is_alive():
            left = desk.session.seconds_left
            if left is not None and left <= 0:
                return
            if desk.session.finished:
                return
            thread.join(POLL if left is None else min(left, POLL))
    except KeyboardInterrupt:
        desk.interrupted = True
        thread.join(PATIENCE)


def _fit_here(desk: Desk, make: Make, workers: int, threads: int) -> None:
    folder = tempfile.mkdtemp(prefix="raymm-")
    try:
        with _environment(), _quiet():
            _tuner(desk, make, workers, threads, folder).fit()
    except Exception as error:
        if desk.fault is None:
            desk.fault = SearchError(f"Ray Tune failed: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def settle() -> None:
    """Wait until earlier searches of this process have let go of their workers."""
    for thread in threading.enumerate():
        if thread.name == THREAD:
            thread.join(30)


def _tuner(desk: Desk, make: Make, workers: int, threads: int, folder: str) -> tune.Tuner:
    trainable = tune.with_resources(tune.with_parameters(Worker, make=make), {"cpu": threads})
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=_Asking(desk),
            scheduler=_Deciding(desk),
            num_samples=-1,
            max_concurrent_trials=workers,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=folder,
            verbose=0,
            stop=_Deadline(desk),
            callbacks=[_Watching(desk)],
            failure_config=tune.FailureConfig(max_failures=1),
        ),
    )


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("ray.tune", "ray.train", "ray.air")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
