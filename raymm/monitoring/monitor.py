"""The contract of a monitor: ``update`` and ``report``; bounded memory, mergeable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from raymm.artifacts import Batch


class Monitor(ABC):
    """Watches one thing about a served model."""

    name: ClassVar[str]

    @abstractmethod
    def update(self, batch: Batch) -> None:
        """Take in one batch."""

    @abstractmethod
    def report(self) -> Mapping[str, Any]:
        """Return what was seen, as plain JSON values."""

    @abstractmethod
    def state(self) -> Mapping[str, Any]:
        """Return everything needed to go on after a restart, as plain JSON values."""

    @abstractmethod
    def merge(self, state: Mapping[str, Any]) -> Self:
        """Add what another monitor of the same kind has seen, and return self."""
