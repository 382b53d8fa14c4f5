"""One file in a registry's storage that may be replaced, for who must not lose it with a node."""

from __future__ import annotations

from dataclasses import dataclass

from raymm.registry.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFile:
    """A file, by its storage and its path there; it may travel to another process.

    Every method raises RegistryError when storage refuses.
    """

    storage: str
    path: str

    def read(self, limit: int) -> bytes:
        """Return its content; raises NotFound where there is none, or it is above the limit."""
        return Store(self.storage).read(self.path, limit=limit)

    def replace(self, data: bytes) -> None:
        """Write it, whole or not at all."""
        Store(self.storage).replace(self.path, data)
