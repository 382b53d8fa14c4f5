"""Where the loop that keeps a model good stands, so that one that ends goes on there.

It is kept in a file of the loop's home, and in the storage too: a loop whose home is gone, as with
a pod that is replaced, goes on from the copy. Where both are there the one saved later counts. Of
several loops that share it, one acts (see `raymm.lease`).
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from raymm.artifacts import as_record, from_record
from raymm.errors import NotFound, RaymmError
from raymm.lease import LASTS, Lease, home_of, shared
from raymm.monitoring.copied import Away
from raymm.monitoring.loop import Situation
from raymm.registry.releases import user

MOST_BYTES = 1 << 20


class Standing:
    """Keeps a loop's situation in a file and in its copy.

    Parameters
    ----------
    path : Path
        The file in the loop's home.
    away : Away or None
        The copy in the storage; None keeps the file alone.
    lease : Lease or None
        Of those that share the copy; None where nobody does.
    clock : function to float
        Seconds since 1970 UTC.
    """

    def __init__(
        self,
        path: Path,
        away: Away | None = None,
        *,
        lease: Lease | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._away = away
        self._lease = lease
        self._clock = clock
        self._saved = 0.0
        self._kept: Situation | None = None
        self._copied = True

    @classmethod
    def of(cls, name: str, *, path: Path, storage: str) -> Standing:
        """Return that of a model's loop, with a file in its home and what the storage holds."""
        state, lease = (shared(name, storage, file) for file in ("state", "lease"))
        home = home_of(path.with_suffix(".home"))
        return cls(path, state, lease=Lease(lease, home=home, told=user()))

    def resume(self, situation: Situation | None) -> tuple[Situation | None, str]:
        """Return the situation to act by, or None and why this loop may not act now.

        ``situation`` is that of a loop that acted last round, and goes on; None recalls it, as
        another loop may have acted since.
        """
        if not self._acts():
            situation = None
        try:
            other = "" if self._lease is None else self._lease.take()
            if other:
                return None, (
                    f"another loop acts, that of {other}; this one watches, and takes over when "
                    f"that one ends or is not heard of for {LASTS / 60:.0f} minutes"
                )
            return self.recall() if situation is None else situation, ""
        except RaymmError as error:
            return None, f"where the loop stands cannot be read, which is tried again: {error}"

    @contextlib.contextmanager
    def acting(self) -> Iterator[None]:
        """Let no other loop act while the body runs."""
        with contextlib.nullcontext() if self._lease is None else self._lease.renewed():
            yield

    def leave(self) -> None:
        """Let another loop go on at once."""
        if self._lease is not None:
            self._lease.leave()

    def recall(self) -> Situation:
        """Return the situation kept last; a training that was cut off is begun no second time.

        Where persons asked for it the situation still holds that wish, by which it goes on. What
        cannot be understood, and what is not there, counts as none.

        Raises
        ------
        RaymmError
            When storage does not answer: what lies there may be later than what lies here.
        """
        found = [_situation(record) for record in (self._here(), self._there())]
        saved, situation = max(found, key=lambda one: one[0])  # of two as late, the home's
        self._saved = max(self._saved, saved)
        self._kept = None  # what lies there now may be another loop's
        return situation

    def remember(self, situation: Situation) -> str:
        """Keep a situation, each file replaced as a whole, where it has changed.

        Returns why it could not be copied, which the next call tries again; empty where it was.
        Nothing is kept where the lease was lost since `resume`: what another loop keeps counts.
        """
        if not self._acts() or (situation == self._kept and self._copied):
            return ""
        # Another machine's clock may be behind the one that saved what is replaced.
        self._saved = max(self._clock(), self._saved + 0.001)
        data = json.dumps({**as_record(situation), "saved": self._saved}).encode()
        self._write(data)
        self._kept, self._copied = situation, False
        try:
            if self._away is not None:
                self._away.replace(data)
        except RaymmError as error:
            return (
                f"the storage has no copy of where the loop stands, which is tried again: {error}"
            )
        self._copied = True
        return ""

    def _acts(self) -> bool:
        return self._lease is None or self._lease.held

    def _here(self) -> Any:
        try:
            return _parsed(self._path.read_bytes())
        except OSError:
            return None

    def _there(self) -> Any:
        try:
            return None if self._away is None else _parsed(self._away.read(MOST_BYTES))
        except NotFound:
            return None

    def _write(self, data: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        stage = self._path.with_suffix(f".{os.getpid()}.tmp")
        with stage.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        stage.replace(self._path)


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def _situation(record: Any) -> tuple[float, Situation]:
    """Return when a record was saved, and the situation that it holds; -1 where it holds none.

    Older records do not tell when they were saved, which counts as 0, nor which training came to
    an end: one that was not cut off counts as such.
    """
    if not isinstance(record, Mapping):
        return -1.0, Situation()
    try:
        saved = float(record.get("saved", 0.0))
        kept = from_record(Situation, record)
    except (ValueError, TypeError, AttributeError):
        return -1.0, Situation()
    if kept.stage == "training" and kept.number is None:
        return saved, replace(kept, stage="watching")
    older = "completed" not in record
    return saved, replace(kept, completed=kept.trained_at) if older else kept
