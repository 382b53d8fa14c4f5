"""Bounds of several losses that hold together, however many were compared.

Of a dozen forms that lose too much one may look good on some rows by luck, and the smallest of
those that look good is chosen: a bound of each alone is then broken far more often than it says.
Bounds that hold for all at once hold for the one that is chosen, whichever that is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def together(
    values: Floats, resampled: Floats, level: float, counted: Bools | None = None
) -> tuple[Floats, Floats]:
    """Return intervals that hold for all values at once.

    Each is as many of its standard errors wide as the largest deviation of a resample, among all
    values, stays within in a share ``level`` of the resamples. Forms of one model lose on the same
    rows, which makes that less than a bound for each share of the risk would be.

    Parameters
    ----------
    values : float64, shape (m,)
    resampled : float64, shape (b, m)
        The values on paired resamples, NaN where they are not defined.
    level : float
        Of all intervals together; each end alone is at most half as often broken.
    counted : bool, shape (m,), optional
        Those that the others are to hold together with; all where it is not given. The others'
        intervals hold at least each for itself, which is all that is asked where none counts.

    Returns
    -------
    low, high : float64, shape (m,)
        NaN where more than half of the resamples are.

    Notes
    -----
    Source: Romano & Wolf 2005, "Stepwise multiple testing as formalized data snooping", section
    4.2 (studentised, single step); Efron & Tibshirani 1993, section 12.5, for the bootstrap-t.

    >>> value, drawn = np.zeros(1), np.random.default_rng(0).normal(size=(10_000, 1))
    >>> [round(float(end[0]), 1) for end in together(value, drawn, 0.9)]
    [-1.6, 1.6]
    """
    known = np.isfinite(resampled)
    told = known.mean(axis=0) > 0.5
    with np.errstate(invalid="ignore", divide="ignore"):
        count = np.maximum(known.sum(axis=0), 1)
        held = np.where(known, resampled, 0.0)
        middle = held.sum(axis=0) / count
        apart = np.where(known, resampled - middle, 0.0)
        error = np.sqrt((apart**2).sum(axis=0) / np.maximum(count - 1, 1))
        ratio = np.where(error > 0, np.abs(apart) / error, 0.0)
    reach = np.quantile(ratio, level, axis=0)
    most = ratio[:, told if counted is None else told & counted]
    if most.size:
        reach = np.maximum(reach, np.quantile(most.max(axis=1), level))
    wide = np.where(told, reach * error, np.nan)
    return values - wide, values + wide


def unseen(rows: int, compared: int, level: float) -> float:
    """Return what may be lost on other rows where nothing was on these, for each of several forms.

    A share p of rows that lose shows on none of n with a chance of (1 - p)^n, at most exp(-n p);
    the risk is shared among the forms (Hanley & Lippman-Hand 1983; Bonferroni).

    >>> round(unseen(1000, 1, 0.9), 4), round(unseen(1000, 10, 0.9), 4)
    (0.003, 0.0053)
    """
    return float(np.log(2 * compared / (1 - level)) / rows)


def unlost(rows: int, gained: int, compared: int, level: float) -> float:
    """Return what may be lost on other rows where none of these was, and some were gained.

    The net loss is the share of rows that differ times how much more of them lose than gain. Of
    ``gained`` rows that differ, all gaining, it is known with the risk r of one side how many lose
    at most: a share q with (1 - q)^gained = r; and of all rows how many differ at most (Clopper &
    Pearson 1934). No more than `unseen` lose in any case, and where at most half of those that
    differ lose, nothing is lost; a gain is not promised. Over shares of losing and gaining rows
    the bound is below the loss in at most 5 of 100 samples (two-sided level 0.9).

    >>> [round(unlost(1000, gained, 1, 0.9), 4) for gained in (0, 2, 3, 4, 5)]
    [0.003, 0.003, 0.002, 0.0005, 0.0]
    """
    most = unseen(rows, compared, level)
    if gained <= 0:
        return most
    risk = (1 - level) / 2 / compared
    losing = 1.0 - risk ** (1 / gained)
    differing = betaincinv(gained + 1, rows - gained, 1 - risk) if gained < rows else 1.0
    return float(min(most, max(0.0, 2 * losing - 1) * differing))
