"""Runs a search's trials on Ray: in a pool of actors, or by Ray Tune.

What was tried, what came of it and what comes next is the business of
`raymm.search.session.Session`; both ways share it, and with it the ledger, the algorithms and the
results. The pool is the one that is chosen: a trial of no cost takes it a few milliseconds, Tune
some 40 and seconds to start. Tune's state is never read.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import ray
from ray.exceptions import (
    GetTimeoutError,
    ObjectLostError,
    OwnerDiedError,
    RayActorError,
    RayError,
    ReferenceCountingAssertionError,
)

from raymm.artifacts import Direction, MetricLike, Notify, Space, Trials
from raymm.counts import counted
from raymm.errors import ConfigError, Interrupted, SearchError
from raymm.search import tuner
from raymm.search.desk import Desk
from raymm.search.goals import Goals
from raymm.search.ledger import Ledger
from raymm.search.limits import Limits
from raymm.search.objective import Function, MakeCall
from raymm.search.plateau import patience
from raymm.search.searcher import Searcher
from raymm.search.session import Scheduler, Session
from raymm.search.share import Share, share
from raymm.search.trial import MakeTrial, Prepared
from raymm.search.workers import POLL, Died, Make, Pool, StateLost, Worker
from raymm.sections import SearchConfig

GRACE = 0.5
"""Seconds kept back from the time budget for ending the workers; at most 4 % of it."""

PATIENCE = 10.0
"""Seconds that workers have to end after Ctrl-C; a second Ctrl-C waits no longer."""

THREAD = "raymm-tune"
_LOST = (ObjectLostError, OwnerDiedError, ReferenceCountingAssertionError, GetTimeoutError)
_NOTES = {
    "actors": "trials run in {} of {} each, without Ray Tune",
    "tune": "trials run by Ray Tune, {} of {} each",
}


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
    settings: SearchConfig | None = None,
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
    settings : SearchConfig, optional
        Says the rest: runner, resources of a trial, failures allowed, compute and plateau.

    Raises
    ------
    SearchError
        When the first five trials fail, or no trial could be finished.
    ClusterError
        When no node of the cluster has what a trial needs.
    RegistryError
        When the ledger cannot be written.
    Interrupted
        After Ctrl-C, when all that is known is on disk.
    """
    how = _settings(settings, trials, seconds, parallel, trial_timeout)
    shared = _share(how)
    make = MakeTrial(prepared=prepared, metric=metric, seed=seed, threads=shared.threads)
    goal = (metric.name, metric.direction, None)
    return _search(make, space, searcher, halving, ledger, goal, (how, shared, notify))


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
    settings: SearchConfig | None = None,
    goals: Goals | None = None,
) -> Trials:
    """Search for the best configuration of a user's own function; Ray must be running.

    ``function`` is described in `raymm.search.objective`; it makes ``settings.max_budget`` reports
    at most, and gives what several ``goals`` name besides the metric. Everything else is as in
    `search`.
    """
    how = _settings(settings, trials, seconds, parallel, trial_timeout)
    shared = _share(how)
    needed = goals.names if goals is not None else ()
    most = how.max_budget
    make = MakeCall(function=function, metric=metric, seed=seed, needed=needed, most=most)
    goal = (metric, mode, goals)
    return _search(make, space, searcher, halving, ledger, goal, (how, shared, notify))


def _settings(
    settings: SearchConfig | None,
    trials: int | None,
    seconds: float | None,
    parallel: int | Literal["auto"],
    trial_timeout: float | None,
) -> SearchConfig:
    given = {
        "trials": trials,
        "time": seconds,
        "parallel": parallel,
        "trial_timeout": trial_timeout,
    }
    return (settings or SearchConfig(trials=1)).model_copy(update=given)


def _share(how: SearchConfig) -> Share:
    settle()
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    there = [node["Resources"] for node in nodes if node["Alive"]]
    return share(there, parallel=how.parallel, cpus=how.cpus, gpus=how.gpus)


def _search(
    make: Make,
    space: Space,
    searcher: Searcher,
    halving: Scheduler | None,
    ledger: Ledger,
    goal: tuple[str, Direction, Goals | None],
    how: tuple[SearchConfig, Share, Notify | None],
) -> Trials:
    settings, shared, notify = how
    limits = Limits(
        metric=goal[0],
        direction=goal[1],
        goals=goal[2],
        trials=settings.trials,
        seconds=settings.time,
        compute=settings.compute,
        plateau=patience(settings.plateau, len(space)),
        cpus=shared.cpus,
    )
    with ledger.searching():
        _introduce(ledger, limits, searcher, space)
        searcher.plan(trials=settings.trials, parallel=shared.workers)
        session = Session(searcher, halving, ledger, limits=limits, notify=notify)
        return _run(session, make, settings, shared)


def _introduce(ledger: Ledger, limits: Limits, searcher: Searcher, space: Space) -> None:
    if not ledger.records("search"):
        ledger.append(
            "search",
            metric=limits.metric,
            direction=limits.direction,
            algorithm=getattr(searcher, "name", type(searcher).__name__),
            space={name: {"kind": type(p).__name__, "of": p} for name, p in space.items()},
        )


def _run(session: Session, make: Make, settings: SearchConfig, shared: Share) -> Trials:
    seconds = session.limits.seconds
    grace = 0.0 if seconds is None else min(GRACE, 0.04 * seconds)
    tuned = settings.runner == "tune"
    kill = _kill_trial if tuned else _kill
    desk = Desk(session, timeout=settings.trial_timeout, grace=grace, kill=kill)
    if not desk.exhausted:
        session.say(_NOTES["tune" if tuned else "actors"].format(shared.workers_said, shared.said))
        _wait_for(desk, _fit if tuned else _pool, (desk, make, settings, shared))
    # Whether a limit was reached is decided before the last trials are written down.
    reason = desk.reason if not session.finished else ""
    desk.close(keep=desk.fault is None and not desk.interrupted)
    if desk.fault is not None:
        raise desk.fault
    if desk.interrupted:
        raise Interrupted(
            f"Interrupted after {counted(session.done, 'trial')}, all on disk. "
            "Run the same command again to go on from there."
        )
    return session.result(reason or ("space exhausted" if session.exhausted else "trials"))


def _wait_for(desk: Desk, target: Any, arguments: tuple[Any, ...]) -> None:
    """Run the trials in a thread, and wait until the last has ended or the time is up.

    Workers that end, and those that are still starting, are waited for by the thread, behind the
    caller's back; `settle` waits for it.
    """

    over = threading.Event()

    def work() -> None:
        try:
            target(*arguments)
        except Exception as error:
            if desk.fault is None:
                known = isinstance(error, SearchError)
                desk.fault = error if known else SearchError(f"Ray failed: {error}")
        finally:
            over.set()

    # Before Python 3.13 a thread whose `join` is interrupted counts as ended while it goes on, and
    # Ray was taken away under it.
    threading.Thread(target=work, name=THREAD, daemon=True).start()
    try:
        while not over.is_set():
            left = desk.session.spending.seconds_left
            if desk.session.finished or (left is not None and left <= 0):
                return
            over.wait(POLL if left is None else min(left, POLL))
    except KeyboardInterrupt:
        desk.interrupted = True
        over.wait(PATIENCE)


def settle() -> None:
    """Wait until earlier searches of this process have let go of their workers."""
    for thread in threading.enumerate():
        if thread.name == THREAD:
            thread.join(30)


# ----------------------------------------------------------------------------------- by actors


class _Actors:
    """Ray's actors as `raymm.search.workers.Backend`."""

    def __init__(self, make: Make, shared: Share) -> None:
        try:
            self._make = ray.put(make)
        except TypeError as error:
            raise SearchError(
                f"What is to be tried cannot be sent to other processes: {error}. Make what it "
                "needs inside the function."
            ) from error
        options = {"num_cpus": shared.cpus, "num_gpus": shared.gpus, "max_restarts": 0}
        self._kind: Any = ray.remote(Worker).options(**options)

    def start(self) -> tuple[Any, Any]:
        worker = self._kind.remote(self._make)
        return worker, worker.ready.remote()

    def work(self, worker: Any, task: Any, state: Any, seconds: float | None) -> tuple[Any, Any]:
        told, saved = worker.work.options(num_returns=2).remote(task, state, seconds)
        return told, saved

    def wait(self, calls: Sequence[Any], seconds: float) -> Sequence[Any]:
        return ray.wait(list(calls), timeout=seconds)[0]

    def answer(self, call: Any) -> Any:
        try:
            return ray.get(call)
        except RayActorError as error:
            raise Died(str(error)) from error
        except _LOST as error:
            raise StateLost(str(error)) from error
        except RayError as error:
            return {"error": str(error).strip().splitlines()[-1]}

    def kill(self, worker: Any) -> None:
        _kill(worker)


def _kill(actor: Any) -> None:
    with contextlib.suppress(Exception):
        ray.kill(actor)


def _pool(desk: Desk, make: Make, settings: SearchConfig, shared: Share) -> None:
    backend = _Actors(make, shared)
    Pool(desk, backend, size=shared.workers, max_failures=settings.max_failures).run()


# ------------------------------------------------------------------------------------- by Tune


def _kill_trial(trial: Any) -> None:
    trial.max_failures = 0
    actor = trial.temporary_state.ray_actor
    if actor is not None:
        _kill(actor)


def _fit(desk: Desk, make: Make, settings: SearchConfig, shared: Share) -> None:
    folder = tempfile.mkdtemp(prefix="raymm-")
    try:
        with tuner.environment(), tuner.quiet():
            _tuner(desk, make, settings, shared, folder).fit()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fetch(state: Any) -> Any:
    """Return a saved state; a trial whose state is no more begins anew."""
    with contextlib.suppress(RayError):
        return None if state is None else ray.get(state)
    return None


def _tuner(desk: Desk, make: Make, settings: SearchConfig, shared: Share, folder: str) -> Any:
    from ray import tune
    from ray.tune.schedulers import FIFOScheduler
    from ray.tune.search import Searcher as TuneSearcher

    made = tune.with_parameters(
        _joined(tuner.Trainable, tune.Trainable), make=make, fetch=_fetch, put=ray.put
    )
    return tune.Tuner(
        tune.with_resources(made, {"cpu": shared.cpus, "gpu": shared.gpus}),
        tune_config=tune.TuneConfig(
            search_alg=_joined(tuner.Asking, TuneSearcher)(desk),
            scheduler=_joined(tuner.Deciding, FIFOScheduler)(desk),
            num_samples=-1,
            max_concurrent_trials=shared.workers,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=folder,
            verbose=0,
            stop=_joined(tuner.Deadline, tune.Stopper)(desk),
            callbacks=[_joined(tuner.Watching, tune.Callback)(desk)],
            failure_config=tune.FailureConfig(max_failures=settings.max_failures),
        ),
    )


def _joined(part: type, base: type) -> Any:
    return type(part.__name__, (part, base), {})


def search_alg(
    algorithm: str, space: Mapping[str, Any], *, metric: str, mode: str, seed: int = 0
) -> Any:
    """Return one of raymm's algorithms as a ``search_alg`` for a Ray Tune Tuner.

    Parameters
    ----------
    algorithm : str
        Of those that plan no budgets themselves: tpe, gp, random and so on.
    space : mapping
        Of names to `Float`, `Int` or `Categorical`. It takes the place of ``param_space``, which
        is left out; Tune's trials are told of the values of active parameters.
    mode : "min" or "max"

    Raises
    ------
    ConfigError
        When an argument breaks its rule.
    """
    from ray.tune.search import Searcher as TuneSearcher

    directions: dict[str, Direction] = {"min": "minimize", "max": "maximize"}
    if mode not in directions:
        raise ConfigError(f'mode must be "min" or "max", but got {mode!r}.')
    kind = _joined(tuner.Algorithm, TuneSearcher)
    return kind(algorithm, space, metric=metric, mode=directions[mode], seed=seed)
