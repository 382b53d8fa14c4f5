"""What a replica tells its monitor of the versions that it serves, and when it says it again."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from raymm.artifacts import Statistics, Target

MOST_ANNOUNCED = 4
"""Versions beside the champion that are remembered to be served."""
DISPUTED = 30.0
"""Seconds after a monitor began anew from which a replica holds to its own champion."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A version as it was announced."""

    statistics: Statistics
    target: Target | None
    champion: bool


class Announcing:
    """The versions that are served, and those that are still to be said; safe in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._served: dict[int, Announced] = {}
        self._due: dict[int, bool] = {}  # to be said: take over, or ensure only
        self._life = ""
        self._disputed = 0.0

    def add(self, version: int, one: Announced) -> None:
        """Have a version said, which takes over where it is the champion."""
        with self._lock:
            self._served.pop(version, None)
            if one.champion:
                self._served = {
                    number: replace(other, champion=False) for number, other in self._served.items()
                }
            self._served[version] = one
            self._due[version] = True
            for old in list(self._served)[: -MOST_ANNOUNCED - 1]:
                if not self._served[old].champion:
                    del self._served[old]
                    self._due.pop(old, None)

    def due(self) -> list[tuple[int, Announced, bool]]:
        """Return what is to be said: versions, and whether they take over."""
        with self._lock:
            return [(number, self._served[number], over) for number, over in self._due.items()]

    def said(self, version: int, one: Announced) -> None:
        """Take note that a version was said, unless it was announced anew meanwhile."""
        with self._lock:
            if self._served.get(version) is one:
                self._due.pop(version, None)

    def again(self, versions: Iterable[int] | None = None) -> None:
        """Have versions said again where the monitor has lost its state; without any, all.

        Another replica may have told it of them, or of newer ones, by then: nothing is taken over.
        """
        with self._lock:
            known = set(self._served) if versions is None else set(versions) & set(self._served)
            for version in known:
                self._due.setdefault(version, False)

    def heard(self, report: Mapping[str, Any], now: float) -> None:
        """Look at a report: say once who reigns where a monitor begun anew takes another for it.

        It went on from an older state, or one that was champion before announced itself first. All
        replicas follow the registry within seconds, so it may settle by itself until `DISPUTED`.
        """
        life = str(report.get("life", ""))
        with self._lock:
            if life and self._life and life != self._life:
                self._disputed = now + DISPUTED
            self._life = life or self._life
            if self._disputed and now >= self._disputed and report:
                self._disputed = 0.0
                for version, one in self._served.items():
                    if one.champion and version != report.get("version"):
                        self._due[version] = True
