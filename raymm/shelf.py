"""Where the replicas of a service find what is released: the registry."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from raymm.artifacts import Release
from raymm.registry.versions import Registry


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

    def refuse(self, name: str, number: int, *, since: int, reason: str) -> None:
        """End the role of a version that failed, where the policy says so."""
        if self.policy:
            _registry(self.storage).releases(name).refuse(number, since=since, reason=reason)


@lru_cache(8)
def _registry(storage: str) -> Registry:
    return Registry(storage)  # which remembers the records that it has read
