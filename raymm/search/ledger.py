"""The ledger: what a run has done, as an append-only sequence of checked records.

A record is on disk (written in one piece and fsynced) before anyone is told of what it says, so
a run killed at any instant goes on from its ledger. A record of which nobody is told, as that a
configuration was suggested, is fsynced with the next one that counts.

On local storage the ledger is one file of JSON lines, ``STORAGE/runs/RUN/ledger.jsonl``; on
``s3://``, ``gs://``, ``az://`` and ``memory://`` it is one create-only object a record.

A line is a JSON object whose last entry, ``sum``, is the CRC-32 of the object without it. ``v``
is the format's version, ``n`` the record's number from 0, ``kind`` what it tells, ``elapsed`` the
seconds of searching in all sessions of the run until then.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from types import TracebackType
from typing import Any, Self

from raymm.artifacts import Trial, as_record
from raymm.errors import NotFound, RegistryError
from raymm.search.journal import (
    Journal,
    LocalJournal,
    RemoteJournal,
    folder_of,
    is_remote,
    remote_runs,
)

VERSION = 1
FILE = "ledger.jsonl"
_SUM = ', "sum": "'
_TAIL = len(_SUM) + 8 + len('"}')

Record = Mapping[str, Any]


def encode(number: int, kind: str, elapsed: float, record: Record) -> bytes:
    """Return a record as one line, newline included.

    Raises
    ------
    ValueError
        When a value has no JSON form; NaN and infinities are written as null.
    """
    head = {"v": VERSION, "n": number, "kind": kind, "elapsed": round(elapsed, 6)}
    text = json.dumps(as_record({**record, **head}), allow_nan=False)
    return f'{text[:-1]}{_SUM}{zlib.crc32(text.encode()):08x}"}}\n'.encode()


def decode(line: bytes, number: int, place: str) -> dict[str, Any]:
    """Return the record of a line (with or without its newline), checked.

    Raises
    ------
    RegistryError
        When the checksum, the number or the version is wrong; ``place`` names the line in it.
    """
    text = line.rstrip(b"\n")
    body = text[:-_TAIL] + b"}"
    if text[-_TAIL:] != f'{_SUM}{zlib.crc32(body):08x}"}}'.encode():
        raise RegistryError(
            f"{place} is damaged: its checksum does not fit its content. "
            "Restore the ledger from a copy, or start the run anew under another name."
        )
    record: dict[str, Any] = json.loads(body)
    if record["v"] > VERSION:
        raise RegistryError(
            f"{place} has format version {record['v']}, but this raymm reads up to {VERSION}. "
            "Use the raymm that wrote it, or a newer one."
        )
    if record["n"] != number:
        raise RegistryError(
            f"{place} is record {record['n']}, but record {number} belongs there: records were "
            "lost or repeated. Restore the ledger from a copy."
        )
    return record


class Ledger:
    """The records of one run; made by `Ledger.open` to write and `Ledger.read` to look.

    A ledger opened for writing holds the run's lock until it is closed; use it in a ``with``.
    """

    def __init__(self, journal: Journal, run: str) -> None:
        self.run = run
        self._journal = journal
        # What is written is read again where it is wanted, so that a run of any length takes a
        # few bytes a record.
        self._length = 0
        self._kinds: dict[str, array[int]] = {}
        self._before = 0.0
        for number, (line, place) in enumerate(journal.lines()):
            record = decode(line, number, place)
            self._keep(record["kind"])
            self._before = float(record["elapsed"])
        self._started: float | None = None

    def _keep(self, kind: str) -> None:
        self._kinds.setdefault(kind, array("Q")).append(self._length)
        self._length += 1

    def __len__(self) -> int:
        """Return the number of records."""
        return self._length

    @classmethod
    def open(cls, storage: str, run: str) -> Self:
        """Open a run's ledger for writing, making it where there is none.

        A last line torn by a kill is cut off.

        Raises
        ------
        SearchError
            When another process has it open.
        RegistryError
            When it is damaged elsewhere, or storage refuses.
        """
        journal: Journal
        if is_remote(storage):
            journal = RemoteJournal(storage, f"runs/{run}/ledger")
        else:
            journal = LocalJournal(folder_of(storage) / "runs" / run / FILE, writable=True)
        try:
            return cls(journal, run)
        except BaseException:
            journal.close()
            raise

    @classmethod
    def read(cls, storage: str, run: str) -> Self:
        """Open a run's ledger to look at, without a lock; a record being written is left out.

        Raises
        ------
        NotFound
            When there is no such run.
        RegistryError
            When it is damaged.
        """
        if is_remote(storage):
            ledger = cls(RemoteJournal(storage, f"runs/{run}/ledger"), run)
            if len(ledger):
                return ledger
        elif (path := folder_of(storage) / "runs" / run / FILE).exists():
            return cls(LocalJournal(path, writable=False), run)
        raise NotFound(f'There is no run "{run}" in {storage}. List them with: raymm runs')

    @property
    def elapsed(self) -> float:
        """Seconds of searching in all sessions of the run."""
        running = time.monotonic() - self._started if self._started is not None else 0.0
        return self._before + running

    @contextlib.contextmanager
    def searching(self) -> Iterator[None]:
        """Let the clock of `elapsed` run."""
        self._started = time.monotonic()
        try:
            yield
        finally:
            self._before, self._started = self.elapsed, None

    def append(self, kind: str, *, durable: bool = True, **record: Any) -> None:
        """Write a record; where it is ``durable``, it is on disk when this returns.

        One that is not outlives the process all the same, but a loss of power only once a later
        record is durable.

        Raises
        ------
        RegistryError
            When storage is full or refuses; the record then does not count, now or later.
        SearchError
            When another process wrote to the run.
        """
        number = self._length
        line = encode(number, kind, self.elapsed, record)
        self._journal.append(line, number, durable=durable)
        self._keep(kind)

    def each(self, kind: str | None = None) -> Iterator[Record]:
        """Yield all records in order, or those of one kind."""
        chosen = range(self._length) if kind is None else self._kinds.get(kind, ())
        if chosen:
            yield from map(json.loads, self._journal.again(chosen))

    def records(self, kind: str | None = None) -> tuple[Record, ...]:
        """Return all records in order, or those of one kind."""
        return tuple(self.each(kind))

    def trials(self) -> tuple[Trial, ...]:
        """Return the trials that ended, in the order of their numbers.

        A trial that went on after an end counts with its latest.
        """
        ended = {record["trial"]["number"]: record["trial"] for record in self.each("trial")}
        return tuple(trial_of(ended[number]) for number in sorted(ended))

    def rungs(self) -> tuple[tuple[int, int, float], ...]:
        """Return (trial number, amount of training, value) of each rung, as they came."""
        return tuple((r["number"], r["rounds"], r["value"]) for r in self.each("rung"))

    def digest(self) -> str:
        """Return the SHA-256 over ended trials' configurations and values, without times."""
        told = [[t.number, t.config, t.status, t.value, t.rounds] for t in self.trials()]
        text = json.dumps(as_record(told), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def stage(self, name: str, key: str) -> Record | None:
        """Return what `finish_stage` last wrote for this stage and key, or None."""
        for record in reversed(self.records("stage")):
            if (record["name"], record["key"]) == (name, key):
                found: Record = record["record"]
                return found
        return None

    def finish_stage(self, name: str, key: str, record: Any) -> None:
        """Write a stage's result under the hash of what it was made from."""
        self.append("stage", name=name, key=key, record=record)

    def close(self) -> None:
        """Let go of the file and the lock."""
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def trial_of(record: Record) -> Trial:
    """Return the trial of a record's ``trial`` entry."""
    known = {field.name for field in fields(Trial)}
    entries = {key: value for key, value in record.items() if key in known}
    entries["fold_values"] = tuple(entries.get("fold_values", ()))
    entries["rungs"] = tuple((int(r), float(v)) for r, v in entries.get("rungs", ()))
    return Trial(**entries)


def list_runs(storage: str) -> Sequence[str]:
    """Return the names of the runs in a storage, sorted; none where it does not exist."""
    if is_remote(storage):
        return remote_runs(storage)
    return sorted(path.parent.name for path in (folder_of(storage) / "runs").glob(f"*/{FILE}"))
