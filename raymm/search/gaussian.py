"""Gaussian process regression: kernel, hyperparameters, and a posterior that grows row by row.

The model of targets ``y`` at features ``x`` is

    y_i = m + f(x_i) + e_i,   f ~ GP(0, s² k),   e_i ~ N(0, s² h),

with the Matérn 5/2 kernel of one length a group of features (Rasmussen & Williams 2006, eq. 4.17)

    m(r) = (1 + √5 r + 5 r² / 3) exp(-√5 r),   r² = Σ_j (x_j - x'_j)² / l_j²,

    k(x, x') = m(r) + w m(r / ρ).

The second term, which a model may do without (w = 0), is the geostatisticians' micro-scale
variation (Cressie 1993, "Statistics for spatial data", section 2.3.1): what changes within ρ of the
lengths. Noise and ripples look alike at points far apart, but an exact objective has no noise: with
ripples taken for them, the trend below shows and points near its lowest place still promise.

The mean ``m`` is the generalised least squares estimate and the amplitude ``s²`` is integrated
out under an inverse gamma prior of shape and scale ½ (Rasmussen & Williams, section 2.7), so that
only the lengths, the relative noise ``h`` and the ripples' share ``w`` are searched for: by L-BFGS
on the log posterior, with its gradient in closed form (eq. 5.9). Lengths have a log-normal prior
whose median grows as the root of the number of lengths (Hvarfner, Hellsten & Nardi 2024, section
5).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

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


RIPPLE = 0.05
"""Lengths of the ripples, as a share of the kernel's (ρ). Every suggestion made by a model with
ripples, the median gap on the rotated Rastrigin function in 5 dimensions after 60 evaluations, 24
instances, is 20, 19 and 24 for 0.03, 0.05 and 0.08, and 34 without ripples. On Rosenbrock's the
medians are alike (about 4), the means are not: 116, 31 and 43, and 6 without; hence the turns in
`raymm.search.gp`."""

RIPPLE_PRIOR = (-3.0, 2.0)
"""Mean and deviation of the log of the ripples' share."""

RIPPLES = (math.log(1e-6), math.log(4.0))
"""Bounds of the log of the ripples' share."""


@dataclass(frozen=True, slots=True)
class Hyper:
    """Hyperparameters of a regression.

    Parameters
    ----------
    lengths : float64, shape (groups,)
        Above 0, in the features' unit.
    noise : float
        The noise's variance as a share of the amplitude, above 0.
    ripple : float
        The ripples' variance as a share of the amplitude; 0 for a model without them.
    """

    lengths: Vector
    noise: float
    ripple: float = 0.0

    def flat(self) -> Vector:
        """Return the logs, as `log_posterior` takes them."""
        shares = [self.noise, self.ripple] if self.ripple else [self.noise]
        return np.asarray(np.log(np.append(self.lengths, shares)), dtype=np.float64)


def prior_mode(groups: int, *, ripples: bool = False) -> Hyper:
    """Return hyperparameters to start from, with ripples or without: the prior's medians."""
    length = math.exp(min(LENGTH_PRIOR[0] + 0.5 * math.log(max(1, groups)), 1.5))
    ripple = math.exp(RIPPLE_PRIOR[0]) if ripples else 0.0
    return Hyper(np.full(groups, length), math.exp(NOISE_PRIOR[0]), ripple)


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
    return _matern(np.sqrt(5.0 * squared), squared * (5.0 / 3.0))


def _matern(root: Matrix, third: Matrix) -> tuple[Matrix, Matrix]:
    """Return `matern` of √5 r and 5 r² / 3, both of which are used up."""
    decay = np.exp(-root)
    root += 1.0
    root *= decay
    third *= decay
    third += root
    root *= -5.0 / 6.0
    return third, root


def rippled(squared: Matrix, share: float) -> tuple[Matrix, Matrix, Matrix]:
    """Return the kernel with ripples, its derivative by the squared distance, and the ripples'.

    Each has the shape given; the ripples' own kernel is without its share.
    """
    root, third = np.sqrt(5.0 * squared), squared * (5.0 / 3.0)
    if not share:
        value, slope = _matern(root, third)
        return value, slope, np.zeros_like(value)
    small, steep = _matern(root / RIPPLE, third / RIPPLE**2)
    value, slope = _matern(root, third)
    value += share * small
    steep *= share / RIPPLE**2
    slope += steep
    return value, slope, small


def log_posterior(
    hyper: Vector, features: Matrix, targets: Vector, groups: Groups
) -> tuple[float, Vector]:
    """Return the log posterior density of hyperparameters up to a constant, and its gradient.

    Parameters
    ----------
    hyper : float64, shape (g + 1,) or (g + 2,)
        Log lengths, then the log of the noise's share, then the log of the ripples' share where
        the model has them.
    features : float64, shape (n, p)
    targets : float64, shape (n,)
    groups : intp, shape (p,)
        Which length each feature has, in 0..g-1, each of them at least once.

    Returns
    -------
    float
        -inf where the kernel's matrix is not positive definite to working precision.
    float64, in the shape of ``hyper``
    """
    from scipy.linalg import lapack

    n, g = len(targets), _count(groups)
    noise, ripple = math.exp(hyper[g]), math.exp(hyper[g + 1]) if len(hyper) > g + 1 else 0.0
    scaled = features * np.exp(-hyper[:g])[groups]
    kernel, slope, small = rippled(squares(scaled, scaled), ripple)
    kernel.flat[:: n + 1] = 1.0 + ripple + noise
    factor, failed = lapack.dpotrf(kernel.T, lower=1, overwrite_a=1)
    if failed:
        return -math.inf, np.zeros(len(hyper))
    determinant = 2.0 * float(np.log(np.diagonal(factor)).sum())
    inverse, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
    inverse = inverse + inverse.T  # above the diagonal it is 0
    inverse.flat[:: n + 1] *= 0.5
    ones = inverse.sum(axis=1)
    weights = inverse @ targets
    weights -= ones * (float(weights.sum()) / float(ones.sum()))
    quadratic = float(targets @ weights)
    value = -0.5 * (n + 1) * math.log(quadratic + 1.0) - 0.5 * determinant

    inner = np.outer(weights, weights * ((n + 1) / (quadratic + 1.0)))
    inner -= inverse  # twice the derivative of the value by the kernel's matrix
    gradient = np.empty(len(hyper))
    gradient[g] = 0.5 * noise * float(np.trace(inner))
    gradient[g + 1 :] = 0.5 * ripple * float(np.vdot(inner, small))
    inner *= slope
    # Σ_ik A_ik (x_ij - x_kj)² = 2 Σ_i x_ij² Σ_k A_ik - 2 x_jᵀ A x_j for each feature j
    columns = 2.0 * (
        np.einsum("ij,ij,i->j", scaled, scaled, inner.sum(axis=1))
        - np.einsum("ij,ij->j", scaled, inner @ scaled)
    )
    gradient[:g] = -np.bincount(groups, columns, minlength=g)
    return _with_priors(hyper, value, gradient, g)


def likelihood(hyper: Hyper, features: Matrix, groups: Groups) -> Callable[[Vector], float]:
    """Return what gives the log density of targets, shape (n,), up to a constant.

    The kernel's matrix is factored once for all targets. It gives -inf where the matrix is not
    positive definite to working precision. ``features`` and ``groups`` are those of
    `log_posterior`.
    """
    from scipy.linalg import lapack

    n = len(features)
    scaled = features * (1.0 / hyper.lengths)[groups]
    kernel, _, _ = rippled(squares(scaled, scaled), hyper.ripple)
    kernel.flat[:: n + 1] = 1.0 + hyper.ripple + hyper.noise
    factor, failed = lapack.dpotrf(kernel.T, lower=1, overwrite_a=1)
    if failed:
        return lambda targets: -math.inf
    even: Vector = np.ones(n)
    ones, _ = lapack.dpotrs(factor, even, lower=1)

    def density(targets: Vector) -> float:
        weights, _ = lapack.dpotrs(factor, targets, lower=1)
        quadratic = float(targets @ weights) - float(ones @ targets) ** 2 / float(ones.sum())
        return -0.5 * (n + 1) * math.log(max(quadratic, 0.0) + 1.0)

    return density


def _count(groups: Groups) -> int:
    return int(groups.max(initial=-1)) + 1


def _with_priors(hyper: Vector, value: float, gradient: Vector, g: int) -> tuple[float, Vector]:
    length = (hyper[:g] - LENGTH_PRIOR[0] - 0.5 * math.log(max(1, g))) / LENGTH_PRIOR[1]
    noise = (hyper[g] - NOISE_PRIOR[0]) / NOISE_PRIOR[1]
    value -= 0.5 * float(length @ length) + 0.5 * noise * noise
    gradient[:g] -= length / LENGTH_PRIOR[1]
    gradient[g] -= noise / NOISE_PRIOR[1]
    ripple = (hyper[g + 1 :] - RIPPLE_PRIOR[0]) / RIPPLE_PRIOR[1]
    value -= 0.5 * float(ripple @ ripple)
    gradient[g + 1 :] -= ripple / RIPPLE_PRIOR[1]
    return value, gradient


def fit(
    features: Matrix, targets: Vector, groups: Groups, start: Hyper, *, evaluations: int
) -> tuple[Hyper, float]:
    """Return the hyperparameters of the highest posterior density near ``start``, and its log.

    ``evaluations`` bounds the number of densities computed. There are ripples where ``start`` has
    them.
    """
    from scipy.optimize import minimize

    g, first = len(start.lengths), start.flat()

    def loss(hyper: Vector) -> tuple[float, Vector]:
        value, gradient = log_posterior(hyper, features, targets, groups)
        return (-value, -gradient) if math.isfinite(value) else (1e10, np.zeros(len(hyper)))

    found = minimize(
        loss,
        first,
        jac=True,
        method="L-BFGS-B",
        bounds=([LENGTHS] * g + [NOISES, RIPPLES])[: len(first)],
        options={"maxfun": evaluations, "maxiter": evaluations, "ftol": 1e-5, "gtol": 1e-3},
    )
    shares = [math.exp(share) for share in found.x[g:]]
    return Hyper(np.exp(found.x[:g]), *shares), -float(found.fun)


class Posterior:
    """The process given observations: predicts, and takes in one more at a time.

    Parameters
    ----------
    features : float64, shape (n, p)
        At least one row.
    targets : float64, shape (n,)
    groups : intp, shape (p,)
    hyper : Hyper
        Its noise is raised where rows are too close to each other for it.
    """

    def __init__(self, features: Matrix, targets: Vector, groups: Groups, hyper: Hyper) -> None:
        self.hyper = hyper
        self._inverse_lengths = 1.0 / hyper.lengths[groups]
        self._scaled = features * self._inverse_lengths
        self._own = 1.0 + hyper.ripple
        self._factor = self._factored()
        self.condition(targets)

    def __len__(self) -> int:
        return len(self._scaled)

    def _factored(self) -> Matrix:
        """Return the Cholesky factor of the kernel's matrix.

        The noise grows tenfold until there is one: rows closer to each other than distances are
        exact make a matrix that is not positive definite to working precision.
        """
        from scipy.linalg import lapack

        kernel, _ = self._kernel(self._scaled)
        while True:
            kernel.flat[:: len(kernel) + 1] = self._own + self.hyper.noise
            factor, failed = lapack.dpotrf(kernel.T, lower=1)
            if not failed:
                return np.asarray(factor)
            assert self.hyper.noise < 1e3  # else the features are no numbers
            self.hyper = replace(self.hyper, noise=10.0 * self.hyper.noise)

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
            kernel, _ = self._kernel(row[None, :])
            edge = solve_triangular(self._factor, kernel[0], lower=True, check_finite=False)
            grown = np.zeros((n + 1, n + 1), order="F")
            grown[:n, :n] = self._factor
            grown[n, :n] = edge
            corner = self._own + self.hyper.noise - float(edge @ edge)
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

        kernel, _ = self._kernel(features * self._inverse_lengths)
        mean = self.centre + kernel @ self._weights
        half = solve_triangular(self._factor, kernel.T, lower=True, check_finite=False)
        return mean, self._deviation(self._own - np.einsum("ij,ij->j", half, half))

    def gradients(self, features: Matrix) -> tuple[Vector, Vector, Matrix, Matrix]:
        """Return what `predict` does, and the derivatives of both by the features, (m, p) each."""
        from scipy.linalg import cho_solve

        scaled = features * self._inverse_lengths
        kernel, slope = self._kernel(scaled)
        mean = self.centre + kernel @ self._weights
        solved = cho_solve((self._factor, True), kernel.T, check_finite=False).T
        deviation = self._deviation(self._own - np.einsum("ij,ij->i", kernel, solved))
        by_mean = self._by_features(scaled, slope * self._weights)
        by_share = -2.0 * self._by_features(scaled, slope * solved)
        return mean, deviation, by_mean, by_share * (0.5 * self.amplitude / deviation)[:, None]

    def _kernel(self, scaled: Matrix) -> tuple[Matrix, Matrix]:
        """Return the kernel of scaled rows, shape (m, p), and its slope, shape (m, n) each."""
        return rippled(squares(scaled, self._scaled), self.hyper.ripple)[:2]

    def _deviation(self, share: Vector) -> Vector:
        return np.sqrt(self.amplitude * np.maximum(share, 1e-12))

    def _by_features(self, scaled: Matrix, weights: Matrix) -> Matrix:
        found = scaled * weights.sum(axis=1)[:, None] - weights @ self._scaled
        return np.asarray(2.0 * found * self._inverse_lengths)
