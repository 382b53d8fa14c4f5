"""Maximising an acquisition function over a mixed space.

Points spread over the whole space and points near the best ones are ranked; the leaders are
climbed together by L-BFGS in their numbers (Balandat et al. 2020, section 4), brought to whole
numbers, and improved by single steps in whole numbers and choices (Hutter, Hoos & Leyton-Brown
2011, section 4.3). The cost is bounded by the constants below and the number of observations.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raymm.search.acquisition import Acquisition
from raymm.search.gaussian import Posterior
from raymm.search.gp_encoding import Encoding

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]

SPREAD = 384
"""Points over the whole space."""

NEAR = 384
"""Points near the best ones."""

STARTS = 5
"""Points that are climbed from."""

CLIMBS = 25
"""Evaluations of the acquisition and its gradient while climbing, all starts at once."""

STEPS = 4
"""Rounds of single steps in whole numbers and choices."""


class Proposal:
    """Finds where an acquisition is highest.

    Parameters
    ----------
    encoding : Encoding
    posterior : Posterior
    acquisition : Acquisition
    best : float
        The lowest mean so far.
    count : int
        Observations so far.
    """

    def __init__(
        self,
        encoding: Encoding,
        posterior: Posterior,
        acquisition: Acquisition,
        *,
        best: float,
        count: int,
    ) -> None:
        self._encoding = encoding
        self._posterior = posterior
        self._acquisition = acquisition
        self._best = best
        self._count = count

    def value(self, units: Matrix) -> Vector:
        """Return the acquisition at coordinates that were snapped, shape (n, d)."""
        mean, deviation = self._posterior.predict(self._encoding.features(units))
        return self._acquisition(mean, deviation, self._best, self._count)[0]

    def propose(
        self,
        best: Matrix,
        rng: np.random.Generator,
        near: tuple[Vector, Vector] | None = None,
    ) -> Matrix:
        """Return coordinates, shape (m, d), the most promising first.

        ``best`` holds the best configurations so far, shape (k, d), the best first. ``near`` holds
        the lowest and highest coordinates to look at, shape (d,) each; the whole space is the
        default.
        """
        encoding = self._encoding
        d = best.shape[1]
        low, high = (np.zeros(d), np.ones(d)) if near is None else near
        spread = low + (high - low) * rng.random((SPREAD, d))
        units = np.vstack([spread, np.clip(neighbours(encoding, best, rng), low, high)])
        units = encoding.snap(units)
        values = self.value(units)
        order = np.argsort(-values, kind="stable")
        starts = units[_apart(units[order], STARTS, order)]
        climbed = encoding.snap(self._climb(starts, low, high))
        improved = self._step(climbed)
        found = np.vstack([improved, climbed])
        among = np.concatenate([self.value(found), values[order]])
        found = np.vstack([found, units[order]])
        return np.asarray(found[np.argsort(-among, kind="stable")])

    def _climb(self, starts: Matrix, low: Vector, high: Vector) -> Matrix:
        """Return the starts, shape (s, d), moved uphill in their active numbers within bounds."""
        from scipy.optimize import minimize

        encoding = self._encoding
        smooth = np.flatnonzero(encoding.smooth)
        if not len(smooth):
            return starts
        features = encoding.features(starts)
        columns = encoding.places(smooth)
        moves = encoding.active(starts)[:, smooth]

        def loss(flat: Vector) -> tuple[float, Vector]:
            features[:, columns] = flat.reshape(len(starts), -1)
            mean, deviation, by_mean, by_deviation = self._posterior.gradients(features)
            value, to_mean, to_deviation = self._acquisition(
                mean, deviation, self._best, self._count
            )
            slope = to_mean[:, None] * by_mean + to_deviation[:, None] * by_deviation
            return -float(value.sum()), -np.where(moves, slope[:, columns], 0.0).ravel()

        found = minimize(
            loss,
            features[:, columns].ravel(),
            jac=True,
            method="L-BFGS-B",
            bounds=[*zip(low[smooth].tolist(), high[smooth].tolist(), strict=True)] * len(starts),
            options={"maxfun": CLIMBS, "maxiter": CLIMBS, "ftol": 1e-9, "gtol": 1e-9},
        )
        moved = starts.copy()
        moved[:, smooth] = np.where(moves, found.x.reshape(len(starts), -1), starts[:, smooth])
        return moved

    def _step(self, units: Matrix) -> Matrix:
        """Return the best two of snapped coordinates, improved by single steps while any helps."""
        encoding = self._encoding
        discrete = np.flatnonzero((encoding.whole | (encoding.choices > 0)) & ~encoding.fixed)
        if not len(discrete):
            return units[:0]
        current = units[np.argsort(-self.value(units), kind="stable")[:2]]
        values = self.value(current)
        for _ in range(STEPS):
            around, owner = beside(encoding, current, discrete)
            reached = self.value(around)
            improved = False
            for row in range(len(current)):
                mine = np.flatnonzero(owner == row)
                top = mine[np.argmax(reached[mine])]
                if reached[top] > values[row]:
                    current[row], values[row], improved = (
                        around[top],
                        reached[top],
                        True,
                    )
            if not improved:
                break
        return current


def beside(
    encoding: Encoding, units: Matrix, columns: npt.NDArray[np.intp]
) -> tuple[Matrix, npt.NDArray[np.intp]]:
    """Return every configuration one step away in one discrete parameter, and whose it is."""
    blocks, owners = [], []
    rows = np.arange(len(units))
    for column in columns:
        count = int(encoding.choices[column])
        if count:
            places = [np.full(len(units), (at + 0.5) / count) for at in range(count)]
        else:
            places = list(encoding.steps(units, int(column)))
        for place in places:
            block = units.copy()
            block[:, column] = place
            blocks.append(block)
            owners.append(rows)
    return encoding.snap(np.vstack(blocks)), np.concatenate(owners)


def neighbours(encoding: Encoding, best: Matrix, rng: np.random.Generator) -> Matrix:
    """Return `NEAR` points near the best ones: some coordinates moved, by steps of all sizes."""
    d = best.shape[1]
    # the first of the best is chosen most often
    parents = best[(len(best) * rng.random(NEAR) ** 2).astype(int)]
    share = np.minimum(1.0, rng.integers(1, d + 1, size=NEAR) / d)[:, None]
    moved = rng.random((NEAR, d)) < share
    moved[np.arange(NEAR), rng.integers(d, size=NEAR)] = True
    width = np.exp(rng.uniform(np.log(1e-3), np.log(0.3), size=NEAR))[:, None]
    steps = parents + width * rng.standard_normal((NEAR, d))
    steps = np.abs(steps)
    steps = np.where(steps > 1.0, 2.0 - steps, steps)  # reflected, not piled up at the bounds
    drawn = np.where(encoding.choices > 0, rng.random((NEAR, d)), steps)
    return np.where(moved, drawn, parents)


def _apart(ordered: Matrix, count: int, order: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return positions of the leaders, passing over those all but equal to an earlier one."""
    chosen: list[int] = []
    for row in range(len(ordered)):
        if all(np.abs(ordered[row] - ordered[other]).max() > 1e-2 for other in chosen):
            chosen.append(row)
            if len(chosen) == count:
                break
    return np.asarray(order[chosen], dtype=np.intp)
