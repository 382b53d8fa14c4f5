"""Where the replicas of a service find what is released: the registry."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from raymm.artifacts import Predictions, Release, Reliability, Version, as_record, from_record
from raymm.lease import holder_of, shared
from raymm.registry.decisions import Decision
from raymm.registry.versions import Registry

_log = logging.getLogger(__name__)
MOST_TOLD = 200
"""Versions, and changes, of a history that are told: the newest."""
_SUMMARY = (
    *("metric", "direction", "score", "score_low", "score_high", "baseline", "rows"),
    *("refit", "proven_bundle", "score_of"),
)
"""What is told of a version's summary, besides its family."""
RELIABILITY = "reliability.json"
"""The part of a version that tells how often its probabilities came true on test rows."""
PREDICTIONS = "predictions.json"
"""The part of a version that tells what it predicted on test rows."""

_Kept = TypeVar("_Kept")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryShelf:
    """A storage, looked at from a replica (see `raymm.serving.released.Shelf`).

    Attributes
    ----------
    storage : str
        As `Registry` takes it.
    policy : bool
        Whether a version that fails is taken out of the release.
    """

    storage: str
    policy: bool = True

    def look(self, name: str) -> Release:
        """Return what is to be served now."""
        return _registry(self.storage).releases(name).current()

    def fetch(self, name: str, number: int) -> bytes:
        """Return a version's bundle, its hash checked."""
        registry = _registry(self.storage)
        return registry.bundle(registry.version(name, number))

    def reliability(self, name: str, number: int) -> Reliability | None:
        """Return how often a version's probabilities came true on test rows.

        None for a regression, for a version of before it was kept, and where it cannot be had: a
        version serves all the same.
        """
        return self._kept(Reliability, name, number, RELIABILITY)

    def predictions(self, name: str, number: int) -> Predictions | None:
        """Return what a version predicted on test rows; None as `reliability`, and of a refit."""
        return self._kept(Predictions, name, number, PREDICTIONS)

    def _kept(self, kind: type[_Kept], name: str, number: int, part: str) -> _Kept | None:
        registry = _registry(self.storage)
        try:
            version = registry.version(name, number)
            if part not in version.parts:
                return None
            return from_record(kind, json.loads(registry.part(version, part)))
        except Exception as error:  # of any storage
            _log.warning("%s@%s: its %s cannot be had: %s", name, number, part, error)
            return None

    def refuse(self, name: str, number: int, *, since: int, reason: str) -> None:
        """End the role of a version that failed, where the policy says so."""
        if self.policy:
            _registry(self.storage).releases(name).refuse(number, since=since, reason=reason)

    def history(self, name: str) -> Mapping[str, Any]:
        """Return the newest versions and changes of a model, newest first, as plain values.

        A version has its number, bytes, run, blessing, date, family and test score; a change is
        as `raymm.registry.releases.Change`. Beside them are the steps of the loop that keeps the
        model, as `raymm.registry.decisions.Decision`, and who acts as that loop now, if anybody.
        """
        registry = _registry(self.storage)
        versions, changes = registry.versions(name), registry.releases(name).changes()
        steps: Sequence[Decision] = ()
        keeper = None
        try:  # what the loop keeps says nothing of what is served, and may not hide it
            steps, keeper = registry.decisions(name).all(), self._keeper(name)
        except Exception as error:  # of any storage
            _log.warning("%s: the steps of its loop cannot be had: %s", name, error)
        return {
            "versions": [_told(one) for one in reversed(versions[-MOST_TOLD:])],
            "changes": [as_record(one) for one in reversed(changes[-MOST_TOLD:])],
            "steps": [as_record(one) for one in reversed(steps[-MOST_TOLD:])],
            "keeper": keeper,
        }

    def _keeper(self, name: str) -> str | None:
        """Return who keeps the model, as persons are told; None where no loop is heard of."""
        holder = holder_of(shared(name, self.storage, "lease"))
        return holder.told if holder is not None and time.time() < holder.until else None


def _told(version: Version) -> dict[str, Any]:
    summary = version.summary
    best = summary.get("best")
    return {
        "number": version.number,
        "created": version.created,
        "blessed": version.blessed,
        "run": version.run,
        "bytes": version.bundle_bytes,
        "family": best.get("family") if isinstance(best, Mapping) else None,
        **{key: as_record(summary.get(key)) for key in _SUMMARY},
    }


@lru_cache(8)
def _registry(storage: str) -> Registry:
    return Registry(storage)  # which remembers the records that it has read
