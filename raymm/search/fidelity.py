"""How far small budgets can be trusted, and how good each configuration is expected to be in full.

The losses of a rung order its configurations; how well that order holds on the next rung is
seen on those that climbed. The product of these rank correlations from a rung to the last is its
trust. It says at which rung to begin, and by how much a result there moves what is expected.

Weighing fidelities by how well they order the next follows Li, Shen, Jiang et al. 2022,
"Hyper-Tune", section 4.1, in its aim; the estimate here is a plain rank correlation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from raymm.search.density import Array

PRIOR, WEIGHT = 0.95, 8.0
"""The rank correlation of neighbouring rungs that is taken until it is seen, and how many pairs
it counts for."""
SELECTED = 0.53
"""Standard deviation of the best third of a normal sample, in units of the whole sample's."""


class Fidelity:
    """Losses by rung.

    Parameters
    ----------
    budgets : tuple of float
        The rungs' budgets, rising.
    """

    def __init__(self, budgets: Sequence[float]) -> None:
        self.budgets = tuple(budgets)
        self._losses: list[dict[str, float]] = [{} for _ in budgets]
        self._points: dict[str, Array] = {}
        self._links = [PRIOR] * (len(budgets) - 1)

    def add(
        self, name: str, point: Array, budget: float, loss: float, *, final: bool = True
    ) -> None:
        """Take in a loss; an infinite one is a failure.

        A budget between two rungs counts for the lower one, where nothing is known there yet;
        one below the first rung is passed over. A final loss at a rung's own budget takes the
        place of a first look; a look that failed is passed over.
        """
        rung = int(np.searchsorted(self.budgets, budget * (1 + 1e-9), side="right")) - 1
        failed = not math.isfinite(loss)
        if rung < 0 or (failed and not final):
            return
        due = final and (rung + 1 == len(self.budgets) or budget < self.budgets[rung] * (1 + 1e-6))
        if name in self._losses[rung] and not (failed or due):
            return
        self._losses[rung][name] = loss
        self._points[name] = point
        for lower in {rung - 1, rung} & set(range(len(self._links))):
            self._links[lower] = self._link(lower)

    def _link(self, lower: int) -> float:
        """Return how well a rung orders the next, from those that were on both."""
        low, high = self._losses[lower], self._losses[lower + 1]
        both = [n for n in high if n in low and math.isfinite(high[n]) and math.isfinite(low[n])]
        if len(both) < 3:
            return PRIOR
        first, second = (_scores([side[n] for n in both]) for side in (low, high))
        seen = float(first @ second / max(1e-12, math.sqrt((first @ first) * (second @ second))))
        # Those that climbed are the best of the lower rung, and correlate less than all would.
        seen /= math.sqrt(SELECTED**2 + seen**2 * (1 - SELECTED**2))
        return (len(both) * seen + WEIGHT * PRIOR) / (len(both) + WEIGHT)

    def trust(self) -> list[float]:
        """Return each rung's expected rank correlation with the last, in [0, 1]; the last is 1."""
        found = [1.0]
        for link in reversed(self._links):
            found.append(found[-1] * min(1.0, max(0.0, link)))
        return found[::-1]

    def ranked(self) -> tuple[list[Array], float]:
        """Return all points, the least expected loss in full training first, and how many count.

        On its rung a configuration stands above or below the middle by its normal score times the
        rung's trust; the middle of a rung is what its members were expected to be when they came.
        So a rung that tells nothing moves nothing, and neither do its members count: each counts
        by the square of the trust, the share of variance explained. Failures come last.
        """
        trust = self.trust()
        expected: dict[str, tuple[float, float]] = {}
        for rung, losses in enumerate(self._losses):
            known = (expected[name] for name in losses if name in expected)
            before = [pair for pair in known if math.isfinite(pair[0])]
            middle = sum(value for value, _ in before) / max(1, len(losses))
            told = sum(share for _, share in before) / max(1, len(losses))
            scale = trust[rung] * math.sqrt(1 - (1 - SELECTED**2) * told)
            for name, score in zip(losses, _scores(list(losses.values())), strict=True):
                if math.isfinite(losses[name]):
                    expected[name] = (middle + scale * float(score), trust[rung] ** 2)
                else:
                    expected[name] = (math.inf, 1.0)
        order = sorted(self._points, key=lambda name: expected[name][0])
        return [self._points[name] for name in order], sum(t for _, t in expected.values())


def _scores(losses: Sequence[float]) -> Array:
    """Return normal scores: the quantiles of a normal sample that the ranks stand for."""
    from scipy.special import ndtri

    array = np.asarray(losses)
    low = np.searchsorted(np.sort(array), array, side="left")
    high = np.searchsorted(np.sort(array), array, side="right")
    found: Array = ndtri((low + high) / 2 / len(array))
    return found
