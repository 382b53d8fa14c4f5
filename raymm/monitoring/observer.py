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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from raymm.artifacts import Batch, Feedback, Statistics, from_record
from raymm.errors import RegistryError
from raymm.monitoring.exposition import metrics_text
from raymm.monitoring.monitor import Monitor
from raymm.monitoring.triggers import Policy, decide
from raymm.plugins import monitors
from raymm.sections import MonitoringConfig

FORMAT = 2
MOST_VERSIONS = 5
FORGOTTEN_AFTER = 7 * 86400.0
"""Seconds after which a version that nothing was heard of is watched no longer."""
_MOST_CLIENTS = 1000


@dataclass(slots=True, kw_only=True)
class _Watched:
    """A version: the records it was announced with, its monitors, when it was heard of last."""

    statistics: Mapping[str, Any]
    target: Mapping[str, Any] | None
    monitors: dict[str, Monitor]
    heard: float


class Observer:
    """Takes in batches and labels, and reports; every method may be called from any thread.

    One version is the champion; others (in shadow, with a share of the requests, or on their way
    out) are watched beside it, `MOST_VERSIONS` at most in all.

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
        self._champion: int | None = None
        self._versions: dict[int, _Watched] = {}
        self._sequences: dict[str, int] = {}
        self._labels = 0
        self._note = ""
        if path.exists():
            try:
                self._restore(json.loads(path.read_bytes()))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                path.replace(path.with_suffix(".damaged"))
                self._versions, self._champion = {}, None
                self._note = f"The state was damaged and is begun anew: {error}"

    @property
    def version(self) -> int | None:
        """The champion's version, or None before the first."""
        return self._champion

    def watch(
        self,
        version: int,
        statistics: Mapping[str, Any],
        *,
        take_over: bool = True,
        target: Mapping[str, Any] | None = None,
        champion: bool = True,
    ) -> None:
        """Watch a version from now on, from nothing; one that is watched already goes on.

        Parameters
        ----------
        statistics : mapping
            The record of its `Statistics`.
        take_over : bool
            Whether a champion replaces another that is there.
        target : mapping or None
            The record of its `Target`; without it, its answers are not judged by labels.
        champion : bool
            Whether it is the champion, or watched beside it.
        """
        with self._lock:
            if version not in self._versions:
                self._versions[version] = _Watched(
                    statistics=statistics,
                    target=target,
                    monitors=self._made(statistics),
                    heard=self._clock(),
                )
            watched = self._versions[version]
            watched.heard = self._clock()
            watched.target = watched.target or target
            if champion and (take_over or self._champion is None):
                self._champion = version
            self._forget()

    def _forget(self) -> None:
        """Drop versions not heard of for long, and the longest silent of too many."""
        beside = sorted(
            (one.heard, number)
            for number, one in self._versions.items()
            if number != self._champion
        )
        now, excess = self._clock(), len(self._versions) - MOST_VERSIONS
        for place, (heard, number) in enumerate(beside):
            if place < excess or now - heard > FORGOTTEN_AFTER:
                del self._versions[number]

    def configure(self, config: MonitoringConfig) -> None:
        """Go on with another configuration; what was counted is kept."""
        with self._lock:
            if config == self._config:
                return
            self._config = config
            for watched in self._versions.values():
                before = watched.monitors
                watched.monitors = self._made(watched.statistics)
                for name, made in before.items():
                    watched.monitors[name].merge(made.state())

    def _made(self, statistics: Mapping[str, Any]) -> dict[str, Monitor]:
        read = from_record(Statistics, statistics)
        return {
            name: monitors.get(name)(read, config=self._config, clock=self._clock)
            for name in monitors.names()
        }

    def tell(
        self,
        batches: Sequence[Batch],
        *,
        client: str = "",
        sequence: int = 0,
        feedback: Sequence[Feedback] = (),
    ) -> int | None:
        """Take in batches, then labels, and return the champion; None where they were not taken in.

        Of a version that is not watched, requests, errors and times count as the champion's, and
        values do not.

        Parameters
        ----------
        client : str
            Who tells. Where it is given, a ``sequence`` that is not above the last one from that
            client is a repetition and is passed over.
        """
        with self._lock:
            if self._champion is None:
                return None
            if client:
                if sequence <= self._sequences.get(client, -1):
                    return self._champion
                self._sequences.pop(client, None)
                self._sequences[client] = sequence
                while len(self._sequences) > _MOST_CLIENTS:
                    self._sequences.pop(next(iter(self._sequences)))
            for batch in batches:
                self._take(batch)
            for told in feedback:
                self._labels += len(told.ids)
            return self._champion

    def _take(self, batch: Batch) -> None:
        watched = self._versions.get(batch.version)
        if watched is None:
            assert self._champion is not None
            watched = self._versions[self._champion]
            batch = replace(batch, tensors={}, predictions=np.empty(0), ids=())
        watched.heard = self._clock()
        for made in watched.monitors.values():
            made.update(batch)

    def report(self) -> dict[str, Any]:
        """Return the champion's report, and under "versions" that of each version by its number.

        A version's report is those of all its monitors, laid over each other. Empty before `watch`.
        """
        with self._lock:
            if self._champion is None:
                return {}
            versions = {str(number): self._reported(number) for number in sorted(self._versions)}
            report: dict[str, Any] = dict(versions[str(self._champion)])
            report |= {"labels": self._labels, "versions": versions}
            if self._note:
                report["note"] = self._note
            decision = decide(report, Policy.of(self._config), now=self._clock())
            report["advice"] = {"action": decision.action, "reason": decision.reason}
            return report

    def _reported(self, number: int) -> dict[str, Any]:
        watched = self._versions[number]
        report: dict[str, Any] = {"model": self.name, "version": number, "heard": watched.heard}
        for made in watched.monitors.values():
            _lay_over(report, made.report())
        return report

    def metrics_text(self) -> str:
        """Return the report in Prometheus' text format; empty before `watch`."""
        report = self.report()
        return metrics_text(self.name, report) if report else ""

    def flush(self) -> None:
        """Write the state; raises RegistryError when that is not possible."""
        with self._lock:
            self._forget()
            content = {
                "champion": self._champion,
                "versions": {str(n): _record(one) for n, one in sorted(self._versions.items())},
                "sequences": dict(self._sequences),
                "labels": self._labels,
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
        if envelope["format"] not in (1, FORMAT):
            raise ValueError(f"it has format {envelope['format']}, but this raymm reads {FORMAT}")
        text = envelope["content"]
        if hashlib.sha256(text.encode()).hexdigest() != envelope["sha256"]:
            raise ValueError("its hash does not fit")
        content = json.loads(text)
        if envelope["format"] == 1:
            content = _from_format_1(content, self._clock())
        versions = {}
        for number, record in content["versions"].items():
            made = self._made(record["statistics"])
            for name, state in record["monitors"].items():
                if name in made:  # a plug-in that is gone leaves its state behind
                    made[name].merge(state)
            versions[int(number)] = _Watched(
                statistics=record["statistics"],
                target=record["target"],
                monitors=made,
                heard=record["heard"],
            )
        champion = content["champion"]
        if champion is not None and champion not in versions:
            raise ValueError("its champion is missing")
        self._versions, self._champion = versions, champion
        self._sequences, self._labels = content["sequences"], content["labels"]


def _record(watched: _Watched) -> dict[str, Any]:
    return {
        "statistics": watched.statistics,
        "target": watched.target,
        "monitors": {name: made.state() for name, made in watched.monitors.items()},
        "heard": watched.heard,
    }


def _from_format_1(content: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return the content of a state that watched a single version in today's form."""
    number = content["version"]
    versions = {}
    if number is not None:
        kept = {key: content[key] for key in ("statistics", "monitors")}
        versions[str(number)] = {**kept, "target": None, "heard": now}
    return {
        "champion": number,
        "versions": versions,
        "sequences": content["sequences"],
        "labels": 0,
    }


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
