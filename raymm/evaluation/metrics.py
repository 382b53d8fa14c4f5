"""The contract of a metric, and the metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy.typing as npt

from raymm.artifacts import Direction, Task


class Metric(ABC):
    """A number that says how good predictions are."""

    name: ClassVar[str]
    direction: ClassVar[Direction]
    tasks: ClassVar[tuple[Task, ...]]

    @abstractmethod
    def __call__(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> float:
        """Score predictions.

        ``truth`` has shape (n,): class codes or values. ``prediction`` has shape (n, classes)
        with probabilities, or (n,) with values.
        """
