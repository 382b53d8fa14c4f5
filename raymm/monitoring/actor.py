"""The monitors of a model in one Ray actor, and the watcher through which a replica reaches it.

The actor has a name, belongs to no driver, and is restarted whenever it dies; it goes on from the
state that it flushed last, or on another node from its copy in storage. A replica never waits for
it: batches go into a bounded buffer that a thread sends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import ray
from ray.util import metrics

from raymm.artifacts import Batch, Feedback, Statistics, Target, Tensors, as_record
from raymm.artifacts.figures import increase
from raymm.config import NAME_PATTERN
from raymm.errors import ConfigError, NotFound, RegistryError, ServingError
from raymm.monitoring.announcing import Announced, Announcing
from raymm.monitoring.buffer import Buffer
from raymm.monitoring.copied import Away, Copied
from raymm.monitoring.merging import Told, merge, packed, unpacked
from raymm.monitoring.observer import Observer, give_way
from raymm.sections import MonitoringConfig

NAMESPACE = "raymm"
_log = logging.getLogger(__name__)
_GAUGES = ("statistic", "threshold", "drifted", "missing", "unseen")


def actor_name(name: str) -> str:
    """Return the name of a model's actor; raises ConfigError when the model's is not allowed."""
    if not re.fullmatch(NAME_PATTERN.strip("^$"), name):
        raise ConfigError(f"A model's name must match {NAME_PATTERN}, but got {name[:80]!r}.")
    return f"raymm-monitor-{name}"


class MonitorActor:
    """What runs in the actor: an `Observer`, flushed and shown to Ray's metrics by a thread."""

    def __init__(
        self, name: str, config: Mapping[str, Any], state_dir: str, away: Away | None = None
    ) -> None:
        give_way()
        settings = MonitoringConfig.model_validate(config)
        self._period = settings.flush or 5.0
        self._life = uuid.uuid4().hex
        path = Path(state_dir) / f"{actor_name(name)}.json"
        self._copied = None if away is None else Copied(path, away)
        if self._copied is not None:
            self._copied.fetch()
        self._observer = Observer(name, config=settings, path=path, clock=time.time)
        self._shown = _Shown(name)
        try:
            self._shown.start_from(self._observer.report())
        except Exception:  # rows are watched all the same, and the next round shows what it can
            _log.exception("The monitor's first report failed.")
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(self._period)
            try:
                self._observer.flush()
            except Exception:  # the thread must live on; the next round tries again
                _log.exception("The monitor's state could not be written.")
            try:
                self._shown.show(self._observer.report())
            except Exception:  # as above
                _log.exception("The monitor's report could not be shown as metrics of Ray.")
            self._push()

    def _push(self) -> None:
        try:
            if self._copied is not None:
                self._copied.push()
        except Exception as error:  # as above
            _log.warning("The monitor's state could not be copied to storage: %s", error)

    def flush(self) -> None:
        """Write the state now, and its copy."""
        self._observer.flush()
        if self._copied is not None:
            self._copied.soon()
            self._push()

    def configure(self, config: Mapping[str, Any]) -> None:
        """Take over a configuration."""
        settings = MonitoringConfig.model_validate(config)
        self._period = settings.flush or 5.0
        self._observer.configure(settings)

    def watch(
        self,
        version: int,
        statistics: Mapping[str, Any],
        take_over: bool = True,
        target: Mapping[str, Any] | None = None,
        champion: bool = True,
    ) -> None:
        """See `Observer.watch`; the version is durable when this returns."""
        self._observer.watch(
            version, statistics, take_over=take_over, target=target, champion=champion
        )
        self._observer.flush()
        if self._copied is not None:
            self._copied.soon()

    def tell(
        self,
        batches: Sequence[Told],
        client: str = "",
        sequence: int = 0,
        feedback: Sequence[Feedback] = (),
    ) -> int | None:
        """See `Observer.tell`."""
        opened = [unpacked(one) for one in batches]
        return self._observer.tell(opened, client=client, sequence=sequence, feedback=feedback)

    def report(self) -> dict[str, Any]:
        """See `Observer.report`; "life" is another in each process of the actor."""
        made = self._observer.report()
        return made | {"life": self._life} if made else made

    def pid(self) -> int:
        """Return the actor's process id."""
        return os.getpid()


class _Shown:
    """The champion's report as Ray's own metrics; labels are the model and the feature only."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._counted: dict[str, dict[str, int]] = {}
        self._counters = {
            key: metrics.Counter(f"raymm_{key}_total", f"Monitored {key}.", tag_keys=("model",))
            for key in ("requests", "rows", "errors", "failed")
        }
        self._gauges = {
            key: metrics.Gauge(f"raymm_feature_{key}", tag_keys=("model", "feature"))
            for key in _GAUGES
        }
        self._latency = metrics.Gauge(
            "raymm_latency_p99_seconds", "99 % quantile of a request's time.", tag_keys=("model",)
        )

    def start_from(self, report: Mapping[str, Any]) -> None:
        """Count from here: what a life before this one counted was shown then."""
        self._counted = increase({}, report)[1]

    def show(self, report: Mapping[str, Any]) -> None:
        """Bring Ray's metrics up to the report."""
        if not report:
            return
        more, self._counted = increase(self._counted, report)
        for key, counter in self._counters.items():
            if more.get(key):
                counter.inc(more[key], tags={"model": self._name})
        if report["latency"]["p99"] is not None:
            self._latency.set(report["latency"]["p99"], tags={"model": self._name})
        for feature, figures in report["features"].items():
            tags = {"model": self._name, "feature": ascii_of(feature)}
            for key, gauge in self._gauges.items():
                if figures.get(key) is not None:
                    gauge.set(float(figures[key]), tags=tags)


def ascii_of(text: str) -> str:
    r"""Return a text as the value of a label in Ray's metrics, which take ASCII alone.

    >>> print(ascii_of("naïve"))
    na\xefve
    """
    return text.encode("ascii", "backslashreplace").decode()


def start(
    name: str,
    *,
    config: MonitoringConfig,
    state_dir: str,
    away: Away | None = None,
    timeout: float = 60.0,
) -> Any:
    """Return the handle of a model's monitor, started where it does not run yet.

    Parameters
    ----------
    state_dir : str
        The folder of its state on the node that it runs on.
    away : Away or None
        Where a copy is kept that every node reaches.
    timeout : float
        How long to wait for it to answer, in seconds.

    Raises
    ------
    ServingError
        When it does not answer in time.
    """
    record = config.model_dump(mode="json")
    handle: Any = (
        ray.remote(MonitorActor)
        .options(
            name=actor_name(name),
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            num_cpus=0,
        )
        .remote(name, record, str(Path(state_dir).absolute()), away)
    )
    try:
        ray.get(handle.configure.remote(record), timeout=timeout)
    except (ray.exceptions.RayError, TimeoutError) as error:
        raise ServingError(f'The monitor of "{name}" did not start: {error}') from error
    return handle


def find(name: str) -> Any:
    """Return the handle of a model's running monitor; raises NotFound when there is none."""
    try:
        return ray.get_actor(actor_name(name), namespace=NAMESPACE)
    except ValueError as error:
        raise NotFound(f'No monitor of "{name}" runs. Deploy the model first.') from error


def reported(name: str, *, timeout: float) -> Mapping[str, Any]:
    """Return the report of a model's monitor; empty where none comes within ``timeout`` seconds."""
    try:
        made: Mapping[str, Any] = ray.get(find(name).report.remote(), timeout=timeout)
    except Exception as error:  # whatever failed, who asks goes on without it
        _log.debug("The monitor of %s does not report: %s", name, error)
        return {}
    return made


def stop(name: str) -> None:
    """Flush and end a model's monitor; one that does not run is no error."""
    try:
        handle = find(name)
    except NotFound:
        return
    with contextlib.suppress(ray.exceptions.RayError, RegistryError, TimeoutError):
        ray.get(handle.flush.remote(), timeout=10)
    ray.kill(handle, no_restart=True)


class ActorWatcher:
    """A replica's way to its model's monitor (see `raymm.artifacts.Watcher`).

    `tell` and `learn` put what they are given into a bounded buffer and return in microseconds. A
    thread sends the buffer once a second, each time under a number that makes a repetition
    harmless, and fetches the report every few seconds. When the actor is away, batches and labels
    wait; when the buffer is full they are dropped and counted in the report.

    Parameters
    ----------
    name : str
        The model's name.
    period, refresh : float
        Seconds between sending, and between fetching the report.
    """

    def __init__(self, name: str, *, period: float = 1.0, refresh: float = 3.0) -> None:
        self._name = name
        self._period = period
        self._refresh = refresh
        self._client = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._buffer = Buffer()
        self._sending: tuple[list[Told], list[Feedback]] = ([], [])
        self._sequence = 0
        self._told: set[int] = set()
        self._announcing = Announcing()
        self._report: Mapping[str, Any] = {}
        self._fetched = 0.0
        self._handle: Any = None
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def watch(
        self,
        version: int,
        statistics: Statistics,
        *,
        target: Target | None = None,
        champion: bool = True,
    ) -> None:
        """Say that a version is served from now on; it is sent before the next batches."""
        self._announcing.add(version, Announced(statistics, target, champion))
        self._begin()

    def tell(self, batch: Batch) -> None:
        """Put a batch into the buffer, or drop it where that is full."""
        self._buffer.tell(batch)
        self._begin()

    def tell_row(
        self,
        version: int,
        seconds: float,
        tensors: Tensors,
        prediction: npt.NDArray[Any],
        key: str,
    ) -> None:
        """Put one row's answer into the buffer, or drop it where that is full."""
        self._buffer.tell_row(version, seconds, tensors, prediction, key)
        if self._thread is None:
            self._begin()

    def learn(self, feedback: Feedback) -> None:
        """Put true labels into the buffer, or drop them where that is full."""
        self._buffer.learn(feedback)
        self._begin()

    def report(self) -> Mapping[str, Any]:
        """Return the latest report fetched, its ``age`` in seconds, ``dropped`` batches and labels.

        Empty before the first.
        """
        own = {"dropped": self._buffer.dropped, "dropped_labels": self._buffer.dropped_labels}
        own["age"] = round(time.monotonic() - self._fetched)
        return {**self._report, **own} if self._report else {}

    def close(self) -> None:
        """Send what is there once more and end the thread."""
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _begin(self) -> None:
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        while True:
            self._wake.wait(self._period)
            closing = self._closed
            try:
                self._exchange()
            except Exception as error:  # whatever failed, serving goes on and this tries again
                self._handle = None
                _log.debug("The monitor of %s is away: %s", self._name, error)
            if closing:
                return

    def _exchange(self) -> None:
        """Send what waits, in order, and fetch the report when it is old."""
        if self._handle is None:
            self._handle = find(self._name)
        self._say_what_is_served()
        if not any(self._sending):
            taken, learned = self._buffer.take()
            if taken or learned:
                # Without the lock: requests tell meanwhile.
                self._sending = ([packed(one) for one in merge(taken)], learned)
                self._sequence += 1
        batches, feedback = self._sending
        if batches or feedback:
            told = self._handle.tell.remote(batches, self._client, self._sequence, feedback)
            if ray.get(told, timeout=10) is None:
                self._announcing.again()
                return
            self._sending = ([], [])
            self._told |= {batch.version for batch in batches}
        if time.monotonic() - self._fetched > self._refresh:
            self._report = ray.get(self._handle.report.remote(), timeout=10)
            self._fetched = time.monotonic()
            self._announcing.heard(self._report, self._fetched)
            self._announcing.again(self._told - set(map(int, self._report.get("versions", ()))))
            self._told = set()

    def _say_what_is_served(self) -> None:
        for version, one, take_over in self._announcing.due():
            target = None if one.target is None else as_record(one.target)
            said = self._handle.watch.remote(
                version, as_record(one.statistics), take_over, target, one.champion
            )
            ray.get(said, timeout=10)
            self._announcing.said(version, one)
