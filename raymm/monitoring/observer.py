"""Every monitor of one model together, with a state that outlives the process.

The state is one JSON file, replaced as a whole, with the SHA-256 of its content: a kill loses at
most what came since the last flush.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from raymm.artifacts import Batch, Statistics, from_record
from raymm.errors import RegistryError
from raymm.monitoring.exposition import metrics_text
from raymm.monitoring.monitor import Monitor
from raymm.monitoring.triggers import Policy, decide
from raymm.plugins import monitors
from raymm.sections import MonitoringConfig

FORMAT = 1
_MOST_CLIENTS = 1000


class Observer:
    """Takes in batches and reports; every method may be called from any thread.

    Parameters
    ----------
    name : str
        The model's name.
    config : MonitoringConfig
    path : Path
        Where the state is kept. One that is there is gone on from; one that is damaged is put
        aside as ``….damaged``, and the report says so.
    clock : function to float
        Seconds since 1970 UTC.
    """

    def __init__(
        self, name: str, *, config: MonitoringConfig, path: Path, clock: Callable[[], float]
    ) -> None:
        self.name = name
        self._config = config
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._version: int | None = None
        self._statistics: Mapping[str, Any] = {}
        self._monitors: dict[str, Monitor] = {}
        self._sequences: dict[str, int] = {}
        self._note = ""
        if path.exists():
            try:
                self._restore(json.loads(path.read_bytes()))
            except (ValueError, KeyError, TypeError) as error:
                path.replace(path.with_suffix(".damaged"))
                self._monitors, self._version = {}, None
                self._note = f"The state was damaged and is begun anew: {error}"

    @property
    def version(self) -> int | None:
        """The version that is watched, or None before the first."""
        return self._version

    def watch(self, version: int, statistics: Mapping[str, Any], *, take_over: bool = True) -> None:
        """Watch a version from now on, from nothing; one that is watched already goes on.

        Parameters
        ----------
        statistics : mapping
            The record of its `Statistics`.
        take_over : bool
            Whether it replaces another version that is watched.
        """
        with self._lock:
            if version == self._version or (self._version is not None and not take_over):
                return
            self._monitors = self._made(statistics)
            self._version, self._statistics = version, statistics

    def configure(self, config: MonitoringConfig) -> None:
        """Go on with another configuration; what was counted is kept."""
        with self._lock:
            if config == self._config:
                return
            self._config = config
            states = {name: made.state() for name, made in self._monitors.items()}
            if self._version is not None:
                self._monitors = self._made(self._statistics)
            for name, state in states.items():
                self._monitors[name].merge(state)

    def _made(self, statistics: Mapping[str, Any]) -> dict[str, Monitor]:
        read = from_record(Statistics, statistics)
        return {
            name: monitors.get(name)(read, config=self._config, clock=self._clock)
            for name in monitors.names()
        }

    def tell(self, batches: Sequence[Batch], *, client: str = "", sequence: int = 0) -> int | None:
        """Take in batches and return the version watched; None where they were not taken in.

        Of a version that is not the one watched, requests, errors and times count, and values do
        not.

        Parameters
        ----------
        client : str
            Who tells. Where it is given, a ``sequence`` that is not above the last one from that
            client is a repetition and is passed over.
        """
        with self._lock:
            if self._version is None:
                return None
            if client:
                if sequence <= self._sequences.get(client, -1):
                    return self._version
                self._sequences.pop(client, None)
                self._sequences[client] = sequence
                while len(self._sequences) > _MOST_CLIENTS:
                    self._sequences.pop(next(iter(self._sequences)))
            for batch in batches:
                known = batch.version == self._version
                told = batch if known else replace(batch, tensors={}, predictions=np.empty(0))
                for made in self._monitors.values():
                    made.update(told)
            return self._version

    def report(self) -> dict[str, Any]:
        """Return the reports of all monitors, laid over each other; empty before `watch`."""
        with self._lock:
            if self._version is None:
                return {}
            report: dict[str, Any] = {"model": self.name, "version": self._version}
            for made in self._monitors.values():
                _lay_over(report, made.report())
            if self._note:
                report["note"] = self._note
            decision = decide(report, Policy.of(self._config), now=self._clock())
            report["advice"] = {"action": decision.action, "reason": decision.reason}
            return report

    def metrics_text(self) -> str:
        """Return the report in Prometheus' text format; empty before `watch`."""
        report = self.report()
        return metrics_text(self.name, report) if report else ""

    def flush(self) -> None:
        """Write the state; raises RegistryError when that is not possible."""
        with self._lock:
            content = {
                "version": self._version,
                "statistics": self._statistics,
                "sequences": dict(self._sequences),
                "monitors": {name: made.state() for name, made in self._monitors.items()},
            }
            text = json.dumps(content)
        digest = hashlib.sha256(text.encode()).hexdigest()
        data = json.dumps({"format": FORMAT, "sha256": digest, "content": text}).encode()
        try:
            _replace(self._path, data)
        except OSError as error:
            raise RegistryError(
                f"The monitor's state could not be written to {self._path}: {error}."
            ) from error

    def _restore(self, envelope: Mapping[str, Any]) -> None:
        if envelope["format"] != FORMAT:
            raise ValueError(f"it has format {envelope['format']}, but this raymm reads {FORMAT}")
        text = envelope["content"]
        if hashlib.sha256(text.encode()).hexdigest() != envelope["sha256"]:
            raise ValueError("its hash does not fit")
        content = json.loads(text)
        if content["version"] is None:
            return
        made = self._made(content["statistics"])
        for name, state in content["monitors"].items():
            if name in made:  # a plug-in that is gone leaves its state behind
                made[name].merge(state)
        self._monitors, self._statistics = made, content["statistics"]
        self._version, self._sequences = content["version"], content["sequences"]


def _lay_over(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(below.get(key), dict):
            _lay_over(below[key], value)
        else:
            below[key] = dict(value) if isinstance(value, Mapping) else value


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    stage = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        with os.fdopen(os.open(stage, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(stage, path)
    finally:
        with contextlib.suppress(OSError):
            stage.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
