"""The contract of a compression technique: ``recipes`` and ``apply``.

Recipes are tried on a bundle trained without the validation rows, measured there, and the chosen
one is applied to the final bundle: so the rows that choose were seen by neither training.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from raymm.artifacts import Config
from raymm.bundle.packed import Bundle


class Compressor(ABC):
    """A technique that makes bundles smaller or faster."""

    name: ClassVar[str]

    @abstractmethod
    def recipes(self, bundle: Bundle) -> Sequence[Config]:
        """Return the parameters worth trying on this bundle; none where it cannot help."""

    @abstractmethod
    def apply(self, bundle: Bundle, recipe: Config) -> Bundle:
        """Return the compressed bundle; the given one stays as it is."""
