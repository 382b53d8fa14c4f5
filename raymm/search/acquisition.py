"""Acquisition functions: how much a point promises, from its predicted mean and deviation.

Losses are minimised. With ``z = (best - mean) / deviation``, φ and Φ the standard normal density
and distribution, and ``h(z) = φ(z) + z Φ(z)``:

- expected improvement ``EI = deviation · h(z)`` (Jones, Schonlau & Welch 1998, eq. 15);
- its logarithm, computed without underflow (Ament et al. 2023, eq. 8 and 9);
- the confidence bound ``-(mean - √β deviation)`` (Srinivas et al. 2010, eq. 6), β = 2 log(t + 2)
  growing with the number t of observations;
- the probability of improvement Φ(z) as its logarithm (Kushner 1964, with no margin).

Each takes arrays of one shape and returns the value (higher is better) and its derivatives by the
mean and by the deviation, all in that shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Triple = tuple[Vector, Vector, Vector]
Acquisition = Callable[[Vector, Vector, float, int], Triple]
"""Called with mean, deviation (above 0), the best (lowest) mean so far, and the number of
observations."""

_LOG_ROOT = 0.5 * math.log(2.0 * math.pi)
_FAR = -1e6
"""Below it, h(z) = φ(z) / z² to double precision (Ament et al. 2023, appendix A.1)."""


def log_h(z: Vector) -> Vector:
    """Return log(φ(z) + z Φ(z)) for any finite z, to near full relative precision."""
    from scipy.special import erfcx, ndtr

    near = np.maximum(z, -1.0)
    upper = np.log(np.exp(-0.5 * near * near - _LOG_ROOT) + near * ndtr(near))
    middle = np.clip(z, _FAR, -1.0)
    # h = φ (1 - |z| Φ(z)/φ(z)), and Φ(z)/φ(z) = √(π/2) erfcx(|z|/√2)
    ratio = math.sqrt(math.pi / 2.0) * erfcx(-middle / math.sqrt(2.0))
    share = np.maximum(1.0 + middle * ratio, 1.0 / (middle * middle + 3.0))
    lower = -0.5 * middle * middle - _LOG_ROOT + np.log(share)
    far = np.minimum(z, _FAR)
    last = -0.5 * far * far - _LOG_ROOT - 2.0 * np.log(-far)
    return np.where(z > -1.0, upper, np.where(z > _FAR, lower, last))


def log_expected_improvement(mean: Vector, deviation: Vector, best: float, count: int) -> Triple:
    """Return log EI."""
    from scipy.special import log_ndtr

    z = (best - mean) / deviation
    inner = log_h(z)
    slope = np.exp(log_ndtr(z) - inner)  # d log h / dz = Φ / h
    return np.log(deviation) + inner, -slope / deviation, (1.0 - slope * z) / deviation


def expected_improvement(mean: Vector, deviation: Vector, best: float, count: int) -> Triple:
    """Return EI, at least 0."""
    from scipy.special import ndtr

    z = (best - mean) / deviation
    density = np.exp(-0.5 * z * z - _LOG_ROOT)
    value = np.exp(np.log(deviation) + log_h(z))
    return value, -ndtr(z), density


def confidence_bound(mean: Vector, deviation: Vector, best: float, count: int) -> Triple:
    """Return the negated lower confidence bound."""
    root = math.sqrt(2.0 * math.log(count + 2.0))
    return root * deviation - mean, np.full_like(mean, -1.0), np.full_like(mean, root)


def log_probability_of_improvement(
    mean: Vector, deviation: Vector, best: float, count: int
) -> Triple:
    """Return log PI, at most 0."""
    from scipy.special import log_ndtr

    z = (best - mean) / deviation
    value = log_ndtr(z)
    slope = np.exp(-0.5 * z * z - _LOG_ROOT - value)
    return value, -slope / deviation, -slope * z / deviation


ACQUISITIONS: Mapping[str, Acquisition] = {
    "log_ei": log_expected_improvement,
    "ei": expected_improvement,
    "ucb": confidence_bound,
    "pi": log_probability_of_improvement,
}
