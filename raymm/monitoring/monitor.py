"""The contract of a monitor: ``update`` and ``report``; bounded memory, mergeable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from raymm.artifacts import Batch, Statistics
from raymm.sections import MonitoringConfig


class Monitor(ABC):
    """Watches one thing about one served version.

    Parameters
    ----------
    statistics : Statistics
        Of the data that the version was trained on.
    config : MonitoringConfig
    clock : function to float
        Seconds since 1970 UTC.
    """

    name: ClassVar[str]

    def __init__(
        self, statistics: Statistics, *, config: MonitoringConfig, clock: Callable[[], float]
    ) -> None:
        self.statistics = statistics
        self.config = config
        self.clock = clock

    @abstractmethod
    def update(self, batch: Batch) -> None:
        """Take in one batch."""

    @abstractmethod
    def report(self) -> Mapping[str, Any]:
        """Return what was seen, as plain JSON values.

        The reports of all monitors are laid over each other, mapping by mapping, so a monitor
        that says something of a feature puts it under ``{"features": {NAME: …}}``.
        """

    @abstractmethod
    def state(self) -> Mapping[str, Any]:
        """Return everything needed to go on after a restart, as plain JSON values."""

    @abstractmethod
    def merge(self, state: Mapping[str, Any]) -> Self:
        """Add what another monitor of the same kind has seen, and return self."""
