"""Every monitor of one model together, with a state that outlives the process.

The state is one file, replaced as a whole, with the SHA-256 of its content: a kill loses at most
what came since the last flush.
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

from raymm.artifacts import Batch, Feedback
from raymm.errors import RegistryError
from raymm.monitoring.labels import Labels
from raymm.monitoring.triggers import OFF, Policy, decide
from raymm.monitoring.watched import Watched
from raymm.sections import MonitoringConfig

FORMAT = 3
MOST_VERSIONS = 5
FORGOTTEN_AFTER = 7 * 86400.0
"""Seconds after which a version that nothing was heard of is watched no longer."""
NICENESS = 10
"""Added to that of a process that observes: beside a busy one it has a tenth of its time."""
_UNADVISED = (
    "As the service is configured, training again is off; raymm keep may be told otherwise."
)
_MOST_CLIENTS = 1000


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
        Where the state is kept. One that is there is gone on from; one that is damaged or cannot
        be read is put aside as ``….damaged``, and the report says so.
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
        self._flushing = threading.Lock()  # one state at a time is written, the newer one last
        self._champion: int | None = None
        self._reigns_since = 0  # predictions told before the champion was another
        self._versions: dict[int, Watched] = {}
        self._sequences: dict[str, int] = {}
        self._labels = Labels(most=config.labels)
        self._changed = True
        self._note = ""
        try:
            if path.exists():
                self._restore(path.read_bytes())
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            self._begin_anew(error)

    def _begin_anew(self, error: Exception) -> None:
        """Put a state that cannot be gone on from aside, and watch nothing yet."""
        self._versions, self._champion, self._reigns_since = {}, None, 0
        self._labels = Labels(most=self._config.labels)
        self._note = f"The state was damaged and is begun anew: {error}"
        try:
            self._path.replace(self._path.with_suffix(".damaged"))
        except OSError as kept:
            self._note += f" It could not be put aside: {kept}"

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
            self._changed = True
            known = self._versions.get(version)
            if known is None:
                self._versions[version] = self._made(version, statistics, target)
            elif target is not None and (more := _completed(known.target, target)) is not None:
                made = self._made(version, known.statistics, more)
                self._versions[version] = made.restore(known.state())
            self._versions[version].heard = self._clock()
            if champion and version != self._champion and (take_over or self._champion is None):
                self._champion = version
                self._reigns_since = self._labels.counts["predictions"]
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
                self._changed = True
                self._labels.forget(number)

    def configure(self, config: MonitoringConfig) -> None:
        """Go on with another configuration; what was counted is kept."""
        with self._lock:
            if config == self._config:
                return
            self._config, self._changed = config, True
            self._labels.most = config.labels
            for number, watched in self._versions.items():
                made = self._made(number, watched.statistics, watched.target)
                self._versions[number] = made.restore(watched.state())

    def _made(
        self, version: int, statistics: Mapping[str, Any], target: Mapping[str, Any] | None
    ) -> Watched:
        return Watched(version, statistics, target, config=self._config, clock=self._clock)

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
            self._changed = True
            for batch in batches:
                self._take(batch)
            for told in feedback:
                self._learn(told)
            return self._champion

    def _take(self, batch: Batch) -> None:
        watched = self._versions.get(batch.version)
        if watched is None:
            assert self._champion is not None
            watched = self._versions[self._champion]
            batch = replace(batch, tensors={}, predictions=np.empty(0), ids=())
        if batch.thinned:
            self._labels.sampled(self._clock())
        watched.update(batch)
        watched.expect(batch, self._labels)

    def _learn(self, feedback: Feedback) -> None:
        pairs = self._labels.labelled(
            feedback.ids,
            feedback.labels,
            now=self._clock(),
            read=lambda version, label: self._versions[version].read(label),
        )
        for number, watched in self._versions.items():
            watched.learn([pair for pair in pairs if pair.version == number])

    def report(self) -> dict[str, Any]:
        """Return the champion's report, and under "versions" that of each version by its number.

        "labels" counts what became of labels, of all versions together; a challenger's "champion"
        is the champion's quality on as many of its newest rows as the challenger's has, and its
        "paired" what it gains over the champion on the rows that both answered since that one
        reigns. Empty before `watch`.
        """
        with self._lock:
            if self._champion is None:
                return {}
            versions = {
                str(number): {
                    "model": self.name,
                    **watched.report(self._labels.waiting(number), self._labels.thinned(number)),
                }
                for number, watched in sorted(self._versions.items())
            }
            champion = self._versions[self._champion]
            for number, one in versions.items():
                rows = one.get("quality", {}).get("recent", {}).get("n", 0)
                if rows and number != str(self._champion):
                    one["champion"] = champion.newest(rows)
                    one["paired"] = self._versions[int(number)].against(
                        champion, since=self._reigns_since
                    )
            report: dict[str, Any] = dict(versions[str(self._champion)])
            report["labels"] = {**self._labels.counts, "orphaned": self._labels.orphaned}
            report["versions"] = versions
            if self._note:
                report["note"] = self._note
            decision = decide(report, Policy.of(self._config), now=self._clock())
            reason = _UNADVISED if decision.reason == OFF else decision.reason
            report["advice"] = {"action": decision.action, "reason": reason}
            return report

    def flush(self) -> None:
        """Write the state where it has changed; raises RegistryError when that is not possible.

        When it returns, what was told before it was called is written, whoever wrote it.
        """
        with self._flushing:
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            self._forget()
            if not self._changed:
                return
            content = {
                # Where events are told may be secret, and states are copied.
                "config": self._config.model_dump(mode="json", exclude={"events"}),
                "champion": self._champion,
                "reigns_since": self._reigns_since,
                "versions": {str(n): one.state() for n, one in sorted(self._versions.items())},
                "sequences": dict(self._sequences),
                "labels": self._labels.state(),
            }
            body = json.dumps(content).encode()
            self._changed = False
            saved = self._clock()
        sha256 = hashlib.sha256(body).hexdigest()
        head = {"format": FORMAT, "sha256": sha256, "saved_at": saved}
        data = json.dumps(head).encode() + b"\n" + body
        try:
            replace_file(self._path, data)
        except OSError as error:
            self._changed = True
            raise RegistryError(
                f"The monitor's state could not be written to {self._path}: {error}."
            ) from error

    def _restore(self, data: bytes) -> None:
        content = _content(data, self._clock())
        versions = {}
        for number, state in content["versions"].items():
            made = self._made(int(number), state["statistics"], state["target"])
            versions[int(number)] = made.restore(state)
        champion = content["champion"]
        if champion is not None and champion not in versions:
            raise ValueError("its champion is missing")
        if content["labels"] is not None:
            self._labels.restore(content["labels"])
        self._versions, self._champion = versions, champion
        self._reigns_since = int(content.get("reigns_since", 0))  # which older states lack
        self._sequences = content["sequences"]


def _completed(
    known: Mapping[str, Any] | None, told: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Return a target's record with what another one knows besides; None where that is nothing.

    A replica that could not read what is known of a version's test rows tells of the version all
    the same, and one that starts later may know them.
    """
    if known is None:
        return told
    more = {key: value for key, value in told.items() if value and not known.get(key)}
    more = {key: more[key] for key in ("reliability", "predictions") if key in more}
    return {**known, **more} if more else None


def give_way() -> None:
    """Let this thread, and those that it starts, have a processor after those that serve.

    Taking in a second's batches takes milliseconds at a time: where no processor is free,
    answers would wait for them. What is told waits instead; nothing is lost. Where the system does
    not know of niceness (Windows) or refuses it, all stays as it is.
    """
    with contextlib.suppress(AttributeError, OSError):
        os.nice(NICENESS)


def _content(data: bytes, now: float) -> dict[str, Any]:
    """Return what a state file holds, its hash checked; raises ValueError and KeyError.

    A file is a line of JSON with its format and the SHA-256 of the rest, then that rest as JSON.
    Of format 1, which watched a single version, the content stood as text within the one object;
    format 2 has the labels' state of before predictions were thinned.
    """
    first, _, body = data.partition(b"\n")
    head = json.loads(first)
    if head["format"] not in (1, 2, FORMAT):
        raise ValueError(f"it has format {head['format']}, but this raymm reads {FORMAT}")
    if head["format"] == 1:
        body = head["content"].encode()
    if hashlib.sha256(body).hexdigest() != head["sha256"]:
        raise ValueError("its hash does not fit")
    content: dict[str, Any] = json.loads(body)
    if head["format"] > 1:
        return content
    number, versions = content["version"], {}
    if number is not None:
        kept = {key: content[key] for key in ("statistics", "monitors")}
        none = {"target": None, "dtype": None, "judged": None, "estimate": None}
        versions[str(number)] = {**kept, **none, "heard": now, "named": 0}
    sequences = content["sequences"]
    return {"champion": number, "versions": versions, "sequences": sequences, "labels": None}


def saved_at(data: bytes | None) -> float | None:
    """Return when a state was saved, in seconds since 1970 UTC; None where it cannot be read.

    Of one that was written before this was told it is 0.
    """
    if data is None:
        return None
    try:
        _content(data, 0.0)
        return float(json.loads(data.partition(b"\n")[0]).get("saved_at", 0.0))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def replace_file(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all; raises OSError."""
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
