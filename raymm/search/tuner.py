"""What Ray Tune is given to run trials, and to search with an algorithm of raymm's.

Each class is one half: `raymm.search.tune` joins it with Tune's own base class, so that Tune,
which takes seconds to import, is imported only where it is used.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from raymm import plugins
from raymm.artifacts import Direction, Space, as_record
from raymm.errors import ConfigError
from raymm.search import faults
from raymm.search import space as spaces
from raymm.search.desk import Desk
from raymm.search.searcher import Result, Searcher, Suggestion
from raymm.search.trial import Rung
from raymm.search.workers import Make, Worker

FINISHED = "FINISHED"
CONTINUE, STOP = "CONTINUE", "STOP"
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


class Trainable:
    """One worker process; takes one trial after the other. Joined with ``tune.Trainable``."""

    config: dict[str, Any]

    def setup(
        self, config: dict[str, Any], make: Make | None = None, fetch: Any = None, put: Any = None
    ) -> None:
        """Keep what makes runs; data reaches it once, through the object store."""
        assert make is not None
        self._worker, self._fetch, self._put = Worker(make), fetch, put
        self._begun = False

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial."""
        self._worker.leave()
        self._begun = False
        return True

    def step(self) -> dict[str, Any]:
        """Work until there is word to give."""
        task = None if self._begun else self.config
        state = None if task is None else self._fetch(task["state"])
        seconds = self.config["seconds"] if task is not None else None
        self._begun = True
        told, saved = self._worker.work(task, state, seconds)
        if saved is not None:
            told["state"] = self._put(saved)
        ended = "rung" not in told or told["done"]
        rung = told.pop("rung", None)
        if rung is not None:
            # Tune flattens what it is told and wants plain values.
            told["rung"] = json.dumps(as_record(rung))
        return {**told, "done": ended}

    def cleanup(self) -> None:
        """End what is still running."""
        self._worker.leave()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Keep nothing: a trial that lost its worker begins again."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Read nothing."""


def told_by(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a `Trainable` told, as `raymm.search.workers.Worker` says it."""
    told = {name: result[name] for name in ("done", "error", "late", "state") if name in result}
    if "error" not in told and "late" not in told:
        known = json.loads(result["rung"]) if result.get("rung") is not None else None
        told["rung"] = None if known is None else _rung(known)
    return told


def _rung(known: Mapping[str, Any]) -> Rung:
    return Rung(**{**known, "fold_values": tuple(known["fold_values"])})


class Asking:
    """Asks a desk. Joined with ``tune.search.Searcher``."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk

    def suggest(self, trial_id: str) -> Any:
        """Return a trial's task, None for not now, or that there will be none."""
        task = self._desk.suggest(trial_id)
        if task is None:
            return FINISHED if self._desk.exhausted else None
        return {**task, "seconds": self._desk.timeout}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the desk."""
        if error or not result:
            self._desk.complete(trial_id, None, error=faults.died(2))
        else:
            self._desk.complete(trial_id, told_by(result))

    def save(self, checkpoint_path: str) -> None:
        """Tune wants a file; the ledger is what counts."""
        with open(checkpoint_path, "wb"):
            pass

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing."""


class Deciding:
    """Lets a desk decide. Joined with ``tune.schedulers.FIFOScheduler``."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return whether a trial goes on."""
        return CONTINUE if self._desk.result(trial.trial_id, told_by(result)) else STOP


class Deadline:
    """Keeps a desk's deadline. Joined with ``tune.Stopper``."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Stop no trial by itself."""
        return False

    def stop_all(self) -> bool:
        """Return whether the search is over; then all workers are killed."""
        if self._desk.over:
            self._desk.end_all()
            return True
        return False


class Watching:
    """Watches the workers. Joined with ``tune.Callback``."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Kill what is late."""
        self._desk.end_late()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Start a trial's clock."""
        self._desk.started(trial.trial_id, trial)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Stop it."""
        self._desk.lost(trial.trial_id)


class Algorithm:
    """A search algorithm of raymm's for a Tuner. Joined with ``tune.search.Searcher``.

    What Tune saves of it is what it was asked and told; restoring replays that.
    """

    def __init__(
        self,
        algorithm: str,
        space: Mapping[str, Any],
        *,
        metric: str,
        mode: Direction,
        seed: int,
    ) -> None:
        super().__init__(metric=metric, mode="max" if mode == "maximize" else "min")  # type: ignore[call-arg]
        kind = plugins.searchers.get(algorithm)
        if kind.multi_fidelity:
            raise ConfigError(
                f'"{algorithm}" plans budgets itself, which a Tuner cannot give. Use raymm.tune, '
                "or another algorithm with one of Tune's schedulers."
            )
        plain = any(isinstance(parameter, Mapping) for parameter in space.values())
        known: Space = spaces.parse(space) if plain else space
        spaces.check(known)
        self._fresh: Callable[[], Searcher] = lambda: kind(
            known, mode=mode, generator=np.random.default_rng(seed)
        )
        self._searcher = self._fresh()
        self._name = metric
        self._tried: dict[str, Suggestion] = {}
        self._events: list[tuple[str, str, float | None, bool]] = []

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: Any, **spec: Any
    ) -> bool:
        """Refuse another metric, direction or space than those it was made with."""
        return metric in (None, self._name) and not config

    def suggest(self, trial_id: str) -> Any:
        """Return a configuration, or that the space is exhausted."""
        return self._ask(trial_id)

    def _ask(self, trial_id: str) -> Any:
        made = self._searcher.suggest(1)
        self._events.append(("ask", trial_id, None, True))
        if not made:
            return None if self._tried else FINISHED
        self._tried[trial_id] = made[0]
        return dict(made[0].config)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Let the algorithm look at a value that is not the last."""
        self._tell(trial_id, self._value(result), final=False)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell a trial's value, or that it failed."""
        self._tell(trial_id, None if error else self._value(result or {}), final=True)

    def _value(self, result: Mapping[str, Any]) -> float | None:
        value = result.get(self._name)
        return None if value is None or not np.isfinite(value) else float(value)

    def _tell(self, trial_id: str, value: float | None, *, final: bool) -> None:
        tried = self._tried.get(trial_id)
        if tried is None:
            return
        self._events.append(("tell", trial_id, value, final))
        self._searcher.observe([Result(tried.id, tried.config, value, None, final)])
        if final:
            del self._tried[trial_id]

    def save(self, checkpoint_path: str) -> None:
        """Write down what was asked and told, as JSON."""
        with open(checkpoint_path, "w", encoding="utf-8") as file:
            json.dump(self._events, file)

    def restore(self, checkpoint_path: str) -> None:
        """Ask and tell a fresh searcher what is written down."""
        with open(checkpoint_path, encoding="utf-8") as file:
            events = json.load(file)
        self._searcher, self._tried, self._events = self._fresh(), {}, []
        for kind, trial_id, value, final in events:
            if kind == "ask":
                self._ask(trial_id)
            else:
                self._tell(trial_id, value, final=final)


@contextlib.contextmanager
def environment() -> Iterator[None]:
    """Set what Tune reads from the environment."""
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
def quiet() -> Iterator[None]:
    """Let Tune's loggers be silent."""
    loggers = [logging.getLogger(name) for name in ("ray.tune", "ray.train", "ray.air")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
