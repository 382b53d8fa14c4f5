"""Gaussian process regression: kernel, hyperparameters, and a posterior that grows row by row.

The model of targets ``y`` at features ``x`` is

    y_i = m + f(x_i) + e_i,   f ~ GP(0, s² k),   e_i ~ N(0, s² h),

with the Matérn 5/2 kernel of one length a group of features (Rasmussen & Williams 2006, eq. 4.17)

    k(x, x') = (1 + √5 r + 5 r² / 3) exp(-√5 r),   r² = Σ_j (x_j - x'_j)² / l_j².

The mean ``m`` is the generalised least squares estimate and the amplitude ``s²`` is integrated
out under an inverse gamma prior of shape and scale ½ (Rasmussen & Williams, section 2.7), so that
only the lengths and the relative noise ``h`` are searched for: by L-BFGS on the log posterior, with
its gradient in closed form (eq. 5.9). Lengths have a log-normal prior whose median grows as the
root of the number of lengths (Hvarfner, Hellsten & Nardi 2024, section 5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]
Groups = npt.NDArray[np.intp]

LENGTHS = (math.log(0.01), math.log(1e3))
"""Bounds of the log lengths; the features lie in [0, 1]."""

NOISES = (math.log(1e-8), math.log(1.0))
"""Bounds of the log of the noise's share; the lower one keeps Cholesky factors accurate."""

LENGTH_PRIOR = (0.0, 1.0)
"""Mean, before ½ log g is added, and deviation of the log lengths. Hvarfner et al. have √2 and √3;
with few observations so wide a prior lets one chance length explain them all. In 5 dimensions, 60
evaluations, 10 seeds, the median gap on Rosenbrock's function falls from 30 to 4.8 and on the
rotated ellipsoid from 8,650 to 5,875; on Gallagher's peaks it stays (4.5 and 4.8)."""

NOISE_PRIOR = (-8.0, 3.0)
"""Mean and deviation of the log noise: most objectives are nearly exact, some are not."""


@dataclass(frozen=True, slots=True)
class Hyper:
    """Hyperparameters of a regression.

    Parameters
    ----------
    lengths : float64, shape (groups,)
        Above 0, in the features' unit.
    noise : float
        The noise's variance as a share of the amplitude, above 0.
    """

    lengths: Vector
    noise: float


def prior_mode(groups: int) -> Hyper:
    """Return hyperparameters to start from: the prior's medians."""
    length = math.exp(min(LENGTH_PRIOR[0] + 0.5 * math.log(max(1, groups)), 1.5))
    return Hyper(np.full(groups, length), math.exp(NOISE_PRIOR[0]))


def squares(left: Matrix, right: Matrix) -> Matrix:
    """Return squared distances, shape (n, m), of rows of shapes (n, p) and (m, p)."""
    found = left @ right.T
    found *= -2.0
    found += np.einsum("ij,ij->i", left, left)[:, None]
    found += np.einsum("ij,ij->i", right, right)
    np.maximum(found, 0.0, out=found)
    return found


def matern(squared: Matrix) -> tuple[Matrix, Matrix]:
    """Return the kernel and its derivative by the squared distance, in the shape given."""
    root = np.sqrt(5.0 * squared)
    decay = np.exp(-root)
    root += 1.0
    slope = root * decay
    value = slope + (5.0 / 3.0) * squared * decay
    slope *= -5.0 / 6.0
    return value, slope


def log_posterior(
    hyper: Vector, features: Matrix, targets: Vector, groups: Groups
) -> tuple[float, Vector]:
    """Return the log posterior density of hyperparameters up to a constant, and its gradient.

    Parameters
    ----------
    hyper : float64, shape (g + 1,)
        Log lengths, then the log of the noise's share.
    features : float64, shape (n, p)
    targets : float64, shape (n,)
    groups : intp, shape (p,)
        Which length each feature has, in 0..g-1.

    Returns
    -------
    float
        -inf where the kernel's matrix is not positive definite to working precision.
    float64, shape (g + 1,)
    """
    from scipy.linalg import lapack

    n, g = len(targets), len(hyper) - 1
    noise = math.exp(hyper[g])
    scaled = features * np.exp(-hyper[:g])[groups]
    kernel, slope = matern(squares(scaled, scaled))
    kernel.flat[:: n + 1] = 1.0 + noise
    factor, failed = lapack.dpotrf(kernel.T, lower=1, overwrite_a=1)
    if failed:
        return -math.inf, np.zeros(g + 1)
    determinant = 2.0 * float(np.log(np.diagonal(factor)).sum())
    inverse, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
    inverse = np.tril(inverse)
    inverse += np.tril(inverse, -1).T
    ones = inverse.sum(axis=1)
    weights = inverse @ targets
    weights -= ones * (float(weights.sum()) / float(ones.sum()))
    quadratic = float(targets @ weights)
    value = -0.5 * (n + 1) * math.log(quadratic + 1.0) - 0.5 * determinant

    inner = np.outer(weights, weights * ((n + 1) / (quadratic + 1.0)))
    inner -= inverse  # twice the derivative of the value by the kernel's matrix
    gradient = np.empty(g + 1)
    gradient[g] = 0.5 * noise * float(np.trace(inner))
    inner *= slope
    # Σ_ik A_ik (x_ij - x_kj)² = 2 Σ_i x_ij² Σ_k A_ik - 2 x_jᵀ A x_j for each feature j
    columns = 2.0 * (
        np.einsum("ij,ij,i->j", scaled, scaled, inner.sum(axis=1))
        - np.einsum("ij,ij->j", scaled, inner @ scaled)
    )
    gradient[:g] = -np.bincount(groups, columns, minlength=g)
    return _with_priors(hyper, value, gradient)


def _with_priors(hyper: Vector, value: float, gradient: Vector) -> tuple[float, Vector]:
    g = len(hyper) - 1
    length = (hyper[:g] - LENGTH_PRIOR[0] - 0.5 * math.log(max(1, g))) / LENGTH_PRIOR[1]
    noise = (hyper[g] - NOISE_PRIOR[0]) / NOISE_PRIOR[1]
    value -= 0.5 * float(length @ length) + 0.5 * noise * noise
    gradient[:g] -= length / LENGTH_PRIOR[1]
    gradient[g] -= noise / NOISE_PRIOR[1]
    return value, gradient


def fit(
    features: Matrix, targets: Vector, groups: Groups, start: Hyper, *, evaluations: int
) -> tuple[Hyper, float]:
    """Return the hyperparameters of the highest posterior density near ``start``, and its log.

    ``evaluations`` bounds the number of densities computed.
    """
    from scipy.optimize import minimize

    g = len(start.lengths)

    def loss(hyper: Vector) -> tuple[float, Vector]:
        value, gradient = log_posterior(hyper, features, targets, groups)
        return (-value, -gradient) if math.isfinite(value) else (1e10, np.zeros(g + 1))

    first = np.append(np.log(start.lengths), math.log(start.noise))
    found = minimize(
        loss,
        first,
        jac=True,
        method="L-BFGS-B",
        bounds=[LENGTHS] * g + [NOISES],
        options={"maxfun": evaluations, "maxiter": evaluations, "ftol": 1e-5, "gtol": 1e-3},
    )
    return Hyper(np.exp(found.x[:g]), math.exp(found.x[g])), -float(found.fun)


class Posterior:
    """The process given observations: predicts, and takes in one more at a time.

    Parameters
    ----------
    features : float64, shape (n, p)
        At least one row.
    targets : float64, shape (n,)
    groups : intp, shape (p,)
    hyper : Hyper
    """

    def __init__(self, features: Matrix, targets: Vector, groups: Groups, hyper: Hyper) -> None:
        from scipy.linalg import cholesky

        self.hyper = hyper
        self._inverse_lengths = 1.0 / hyper.lengths[groups]
        self._scaled = features * self._inverse_lengths
        kernel, _ = matern(squares(self._scaled, self._scaled))
        kernel.flat[:: len(kernel) + 1] = 1.0 + hyper.noise
        self._factor: Matrix = cholesky(kernel.T, lower=True, overwrite_a=True, check_finite=False)
        self.condition(targets)

    def __len__(self) -> int:
        return len(self._scaled)

    def condition(self, targets: Vector) -> None:
        """Take other targets, shape (n,), at the same features; the factor stays: O(n²)."""
        from scipy.linalg import cho_solve

        both = np.column_stack([targets, np.ones(len(targets))])
        solved = cho_solve((self._factor, True), both, check_finite=False)
        self.centre = float(solved[:, 0].sum() / solved[:, 1].sum())
        self._weights: Vector = solved[:, 0] - self.centre * solved[:, 1]
        quadratic = float((targets - self.centre) @ self._weights)
        self.amplitude = (max(quadratic, 0.0) + 1.0) / (len(targets) + 1)
        self._targets = targets

    def append(self, features: Matrix) -> None:
        """Take in rows, shape (m, p), without targets of their own yet; call `condition` next.

        One row of the Cholesky factor is added for each, O(n²) a row (Golub & Van Loan 2013,
        section 4.2).
        """
        from scipy.linalg import solve_triangular

        for row in features * self._inverse_lengths:
            n = len(self._scaled)
            kernel, _ = matern(squares(self._scaled, row[None, :]))
            edge = solve_triangular(self._factor, kernel[:, 0], lower=True, check_finite=False)
            grown = np.zeros((n + 1, n + 1), order="F")
            grown[:n, :n] = self._factor
            grown[n, :n] = edge
            corner = 1.0 + self.hyper.noise - float(edge @ edge)
            grown[n, n] = math.sqrt(max(corner, 0.5 * self.hyper.noise))
            self._factor = grown
            self._scaled = np.vstack([self._scaled, row])

    def believe(self, features: Matrix) -> None:
        """Take in rows with their own predictions as targets (the Kriging believer).

        The mean stays, the uncertainty near them falls. Source: Ginsbourger, Le Riche & Carraro
        2010, "Kriging is well-suited to parallelize optimization", section 4.2.2. The centre and
        the amplitude stay as the observations have them.
        """
        from scipy.linalg import cho_solve

        mean, _ = self.predict(features)
        self.append(features)
        self._targets = np.append(self._targets, mean)
        rest = self._targets - self.centre
        self._weights = cho_solve((self._factor, True), rest, check_finite=False)

    def fitted(self) -> Vector:
        """Return the mean at the observations, shape (n,): the targets without their noise."""
        return self._targets - self.hyper.noise * self._weights

    def predict(self, features: Matrix) -> tuple[Vector, Vector]:
        """Return mean and standard deviation of f, each of shape (m,), at rows of shape (m, p)."""
        from scipy.linalg import solve_triangular

        kernel, _ = matern(squares(features * self._inverse_lengths, self._scaled))
        mean = self.centre + kernel @ self._weights
        half = solve_triangular(self._factor, kernel.T, lower=True, check_finite=False)
        return mean, self._deviation(1.0 - np.einsum("ij,ij->j", half, half))

    def gradients(self, features: Matrix) -> tuple[Vector, Vector, Matrix, Matrix]:
        """Return what `predict` does, and the derivatives of both by the features, (m, p) each."""
        from scipy.linalg import cho_solve

        scaled = features * self._inverse_lengths
        kernel, slope = matern(squares(scaled, self._scaled))
        mean = self.centre + kernel @ self._weights
        solved = cho_solve((self._factor, True), kernel.T, check_finite=False).T
        deviation = self._deviation(1.0 - np.einsum("ij,ij->i", kernel, solved))
        by_mean = self._by_features(scaled, slope * self._weights)
        by_share = -2.0 * self._by_features(scaled, slope * solved)
        return mean, deviation, by_mean, by_share * (0.5 * self.amplitude / deviation)[:, None]

    def _deviation(self, share: Vector) -> Vector:
        return np.sqrt(self.amplitude * np.maximum(share, 1e-12))

    def _by_features(self, scaled: Matrix, weights: Matrix) -> Matrix:
        found = scaled * weights.sum(axis=1)[:, None] - weights @ self._scaled
        return np.asarray(2.0 * found * self._inverse_lengths)
