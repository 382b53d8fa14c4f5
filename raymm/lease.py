"""Which of several loops acts for a model: the one that holds a lease in the storage.

Storage has no lock that is taken back from a process that dies, so who acts says until when, and
says so again while it lives. Times are of the machines' own clocks: where a watcher's is ahead of
the holder's by more than `LASTS`, it takes over from one that lives, which then watches.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from raymm.artifacts import as_record, from_record
from raymm.errors import NotFound, RaymmError
from raymm.monitoring.copied import Away
from raymm.registry.shared import SharedFile

LASTS = 180.0
"""Seconds from a renewal until another loop may act."""
SETTLES = 2.0
"""Seconds after which a lease that was not this loop's is read again: of several loops that find it
free at once, the one that writes last acts."""
_RENEWALS = 3  # in that time, so that two may fail
_MOST_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who acts, by a name of its home and as persons are told, and until when (UTC, seconds)."""

    home: str
    told: str
    until: float
    version: int = 1


class Lease:
    """A lease of one loop's, which others have too.

    Parameters
    ----------
    away : Away
        The file in the storage that all of them use.
    home : str
        Tells this loop's home from others: a loop that is begun again there goes on at once.
    told : str
        Who this is, for persons.
    clock : function to float
        Seconds since 1970 UTC.
    lasts : float
        Seconds.
    wait : function of float
        Waits for so many seconds.
    """

    def __init__(
        self,
        away: Away,
        *,
        home: str,
        told: str,
        clock: Callable[[], float] = time.time,
        lasts: float = LASTS,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self._away = away
        self._home, self._told = home, told
        self._clock = clock
        self._lasts = lasts
        self._wait = wait
        self._until = 0.0
        self._written = False  # the lease may be this loop's, as storage has it
        self._seen = (0.0, 0.0)  # the other's until, and when that was seen first

    @property
    def held(self) -> bool:
        """Whether this loop has acted without a break since it took the lease."""
        return self._clock() < self._until

    def take(self) -> str:
        """Take the lease, or renew it where that is due; return who else acts, or nothing.

        Of two that take it at once the one that wrote last has it, which both see as they read it
        again after `SETTLES`; where the storage takes longer to write, as it is to be renewed.

        Raises
        ------
        RaymmError
            When storage does not answer and this loop's own lease, if any, is over.
        """
        now = self._clock()
        if now < self._until - self._lasts * (1 - 1 / _RENEWALS):
            return ""
        try:
            holder = self._read()
            own = holder is not None and holder.home == self._home
            if holder is None or own or self._over(holder, now):
                self._written = True
                self._write(now + self._lasts)
                if not own:
                    self._wait(SETTLES)
                holder = self._read()
        except RaymmError:
            if now < self._until:  # nobody else takes over before that
                return ""
            raise
        if holder is not None and holder.home != self._home:
            self._until, self._written = 0.0, False
            return holder.told
        self._until = now + self._lasts
        return ""

    @contextlib.contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew the lease while the body runs, in which a training may take hours."""
        over = threading.Event()

        def beat() -> None:
            # A lease that was lost is not taken anew here: another loop may have acted since.
            while not over.wait(self._lasts / _RENEWALS) and self.held:
                with contextlib.suppress(RaymmError):
                    self.take()

        thread = threading.Thread(target=beat, name="raymm-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def leave(self) -> None:
        """Let another loop act at once, where this one acted or was about to.

        A lease that was written may be another's by now, where it had not settled.
        """
        if self._written:
            self._until, self._written = 0.0, False
            with contextlib.suppress(RaymmError):  # else it is over by itself
                holder = self._read()
                if holder is not None and holder.home == self._home:
                    self._write(0.0)

    def _over(self, holder: Holder, now: float) -> bool:
        """Whether another's lease is over, or was not renewed for as long as one lasts.

        The second tells of one whose clock was far ahead.
        """
        if holder.until != self._seen[0]:
            self._seen = (holder.until, now)
        return now >= holder.until or now - self._seen[1] >= self._lasts

    def _read(self) -> Holder | None:
        return holder_of(self._away)

    def _write(self, until: float) -> None:
        holder = Holder(home=self._home, told=self._told, until=until)
        self._away.replace(json.dumps(as_record(holder)).encode())


def shared(name: str, storage: str, file: str) -> SharedFile:
    """Return a file of the loop of a model, which all that keep it from one storage share."""
    return SharedFile(storage=storage, path=f"keeping/{name}/{file}.json")


def holder_of(away: Away) -> Holder | None:
    """Return who holds a lease, whether it is over or not; None where nobody ever did.

    Raises
    ------
    RaymmError
        When storage does not answer.
    """
    try:
        holder = from_record(Holder, json.loads(away.read(_MOST_BYTES)))
        return replace(holder, until=float(holder.until))
    except (NotFound, ValueError, TypeError, AttributeError):
        return None


def home_of(path: Path) -> str:
    """Return the name of a loop's home that a file there holds; it is made up where none does."""
    with contextlib.suppress(OSError):
        if name := path.read_text().strip():
            return name
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = uuid.uuid4().hex
    path.write_text(name)
    return name
