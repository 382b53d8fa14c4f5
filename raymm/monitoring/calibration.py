"""Whether what was served means what it says: calibration by true labels, and as at the test rows.

Of classes it is the evaluation's calibration error (that of `raymm.evaluation.calibration`, which
another room does not import: a test holds both equal) on the labelled rows that are kept, and
therefore what it would be offline, in whatever order labels came. Of a regression, whose answers
are means, it is the bias: the mean of label minus prediction.

**Worse than at the test rows.** Of classes, probabilities are cut into groups in which both sides
expect `LEAST_EXPECTED` rows of either outcome at least, at most `GROUPS`; in each, how often they
came true, beyond what both sides together tell of such probabilities, is compared, and the squares
in deviations add up to χ². So rows that changed alone are no reason. Of a regression, the biases'
difference is held against its deviation, with what the errors' skewness adds taken off. Both
sides' numbers of rows count in both. What is worse is beyond chance and further from perfect, its
own chance taken off.

**False alarms.** Nothing is triggered by it: it is shown, and an alert may rest on it. It is looked
at with every report, on all rows kept and on the newest, so it takes little for a proof, `CHANCE`
each (as `raymm.monitoring.answered` has it), outside of ``monitoring.false_alarms_per_day``, which
is drift's. Of 68 days of 24,000 labelled rows without change, looked at every 200 rows against 700
test rows, one came below ten times that, and none below it. Of what was refitted on all rows, the
test rows are the proven bundle's.

Sources: Hosmer & Lemeshow 1980 for the groups; Kumar, Liang & Ma 2019, "Verified uncertainty
calibration", for squares without their chance; Hall 1992, The Bootstrap and Edgeworth Expansion,
section 2.6, for skewness.
"""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Errors, Reliability, Target
from raymm.monitoring.estimates import BINS, LEAST_LABELS, calibrated, centres, reliability
from raymm.monitoring.intervals import mean_interval
from raymm.monitoring.predictions import errors_of

METRIC, BIAS = "calibration_error", "bias"
CHANCE = 3.2e-5
GROUPS = 10
LEAST_EXPECTED = 10
ERROR_BINS = 15
"""Of like sizes, in which the error is told."""
LEAST_ROWS = 2 * ERROR_BINS
"""Of an error: with one row a bin, it is how far rows are from certain, and has no deviation."""
LEAST_ERRORS = 2
"""Rows of a bias."""

Values = npt.NDArray[np.float64]


def calibration(
    target: Target, truth: npt.NDArray[Any], rows: npt.NDArray[Any], *, recent: int, level: float
) -> dict[str, Any]:
    """Return how well calibrated labelled rows are, all of them and the newest.

    Parameters
    ----------
    truth, rows
        As of `raymm.monitoring.judged.Judged.rows`, in the order of prediction.
    recent : int
        How many are the newest.
    level : float
        Of the intervals, 0 to 1.

    Returns
    -------
    dict
        "measure"; "value", "low", "high", None below "least" rows, and "n"; "test", the value and
        rows of the version's test rows, None where they are not known; "chance" of so large a
        difference to these, None without them or with too few rows; "worse", whether that is below
        `CHANCE` and calibration further from perfect, of these rows or of the newest. "recent"
        holds the same of the newest. "least" is the fewest rows of which a value is told.
    """
    report = _of(target, truth, rows, level)
    report["recent"] = _of(target, truth[-recent:], rows[-recent:], level)
    report["worse"] = report["worse"] or report["recent"]["worse"]
    report["test"] = _tested(target)
    regression = target.task == "regression"
    measure, least = (BIAS, LEAST_ERRORS) if regression else (METRIC, LEAST_ROWS)
    return {"measure": measure, "least": least, "level": level, **report}


def _of(
    target: Target, truth: npt.NDArray[Any], rows: npt.NDArray[Any], level: float
) -> dict[str, Any]:
    known: dict[str, Any] = {"value": None, "low": None, "high": None, "n": len(truth)}
    known |= {"chance": None, "worse": False}
    least = LEAST_ERRORS if target.task == "regression" else LEAST_ROWS
    if len(truth) < least or not np.isfinite(rows).all():
        return known
    told = _bias if target.task == "regression" else _error
    with np.errstate(over="ignore", invalid="ignore"):  # labels may be any finite numbers
        ends, (chance, further) = told(target, truth, rows, level)
    named = zip(("value", "low", "high"), ends, strict=True)
    known |= {name: one if math.isfinite(one) else None for name, one in named}
    return known | {"chance": chance, "worse": chance is not None and chance < CHANCE and further}


def calibration_error(
    truth: npt.NDArray[Any], rows: npt.NDArray[Any], level: float
) -> tuple[float, float, float]:
    """Return the calibration error of rows, at least one, and its interval, all in [0, 1].

    Rows are cut into `ERROR_BINS` bins of like sizes by the probability of the last class for two
    classes, of the likeliest class for more; the error is the mean of the bins' distances between
    mean probability and frequency. The interval is the normal law's, with the deviation that the
    distances have if each bin's sum is normal about what it is (a folded normal distribution's).

    ``truth`` are class codes, shape (n,), ``rows`` have shape (n, classes). Sources: Naeini, Cooper
    & Hauskrecht 2015; Leone, Nelson & Nottingham 1961 for the folded normal distribution.
    """
    binary, n = rows.shape[1] == 2, len(truth)
    told = rows[:, 1] if binary else rows.max(axis=1)
    happened = truth == (1 if binary else rows.argmax(axis=1))
    place = np.arange(n) * ERROR_BINS // n
    apart = (happened - told.astype(np.float64))[np.argsort(told, kind="stable")]
    sums, squares = (np.bincount(place, one, ERROR_BINS) for one in (apart, apart**2))
    each = np.maximum(np.bincount(place, minlength=ERROR_BINS), 1)
    deviation = np.sqrt(np.maximum(squares - sums**2 / each, 1e-12))
    size = np.abs(sums) / deviation
    inside = np.array([math.erf(one / math.sqrt(2)) for one in size])
    folded = deviation * (math.sqrt(2 / math.pi) * np.exp(-(size**2) / 2) + size * inside)
    variance = np.maximum(sums**2 + deviation**2 - folded**2, 0.0).sum()
    value = float(np.abs(sums).sum()) / n
    reach = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(variance) / n
    return value, max(0.0, value - reach), min(1.0, value + reach)


def _error(
    target: Target, truth: npt.NDArray[Any], rows: npt.NDArray[Any], level: float
) -> tuple[tuple[float, ...], tuple[float | None, bool]]:
    ends = calibration_error(truth, rows, level)
    there = target.reliability
    if there is None or len(there.rows) != BINS or len(truth) < LEAST_LABELS:
        return ends, (None, False)
    return ends, came_true_otherwise(there, reliability(target, truth, rows))


def _bias(
    target: Target, truth: npt.NDArray[Any], rows: npt.NDArray[Any], level: float
) -> tuple[tuple[float, ...], tuple[float | None, bool]]:
    errors = truth - rows.astype(np.float64)
    low, high = mean_interval(errors, level) if len(errors) > 1 else (math.nan, math.nan)
    ends = float(errors.mean()), low, high
    there = None if target.predictions is None else target.predictions.errors
    made = errors_of(errors) if len(errors) >= LEAST_LABELS else None
    if there is None or made is None:
        return ends, (None, False)
    return ends, moved(there, made)


def _tested(target: Target) -> dict[str, Any] | None:
    """Return the value and rows of the version's own test rows, None where they are not known.

    Of more classes of which not the likeliest is answered, other probabilities were counted than
    the metric is of.
    """
    if target.task == "regression":
        errors = None if target.predictions is None else target.predictions.errors
        return None if errors is None else {"value": errors.mean, "n": errors.rows}
    known = target.reliability
    other = target.task == "multiclass" and len(set(target.decision)) > 1
    if other or known is None or len(known.rows) != BINS or not sum(known.rows):
        return None
    return {"value": counted_error(known), "n": sum(known.rows)}


def counted_error(known: Reliability) -> float:
    """Return the calibration error of counted rows, at least one, in [0, 1].

    Each stands for the probability in the middle of its bin, at most 0.00625 from its own, and
    where one of `ERROR_BINS` ends within a bin, that is cut in proportion.
    """
    rows, hits = np.array(known.rows, np.float64), np.array(known.hits, np.float64)
    places = np.append(0.0, np.cumsum(rows))
    apart = np.append(0.0, np.cumsum(hits - rows * centres()))
    ends = np.interp(np.linspace(0, places[-1], ERROR_BINS + 1), places, apart)
    return float(np.abs(np.diff(ends)).sum() / places[-1])


def came_true_otherwise(before: Reliability, now: Reliability) -> tuple[float | None, bool]:
    """Return the chance of so different frequencies, and whether now's are further from perfect.

    The chance is None where the rows make no group.
    """
    rows = np.array([before.rows, now.rows], np.float64)
    hits = np.array([before.hits, now.hits], np.float64)
    starts = _groups(rows, hits.sum(axis=0))
    if not starts:
        return None, False
    both = Reliability(
        rows=tuple(rows.sum(axis=0).astype(int).tolist()),
        hits=tuple(hits.sum(axis=0).astype(int).tolist()),
    )
    n = np.add.reduceat(rows, starts, axis=1)
    shares = np.add.reduceat(hits.sum(axis=0), starts) / n.sum(axis=0)
    spread = shares * (1 - shares) / n
    beyond = np.add.reduceat(hits - rows * calibrated(both), starts, axis=1) / n
    squares = (beyond[1] - beyond[0]) ** 2 / spread.sum(axis=0)
    off = np.add.reduceat(hits - rows * centres(), starts, axis=1) / n
    far = (n * (off**2 - spread)).sum(axis=1) / n.sum(axis=1)
    from scipy.special import chdtrc  # the χ² survival function

    return float(chdtrc(len(starts), squares.sum())), bool(far[1] > far[0])


def _groups(rows: Values, hits: Values) -> list[int]:
    """Return where groups of neighbouring bins begin; empty where there is not even one.

    That rests on rows and on both sides' hits together alone, which say nothing of a difference.
    """
    least = rows.sum(axis=1).min() / GROUPS
    starts, begin = [], 0
    n, came = np.zeros(2), 0.0
    for place in range(rows.shape[1]):
        n, came = n + rows[:, place], came + hits[place]
        rarer = min(came, n.sum() - came)
        if n.min() >= least and n.min() * rarer >= LEAST_EXPECTED * n.sum():
            starts.append(begin)
            n, came, begin = np.zeros(2), 0.0, place + 1
    return starts


def moved(before: Errors, now: Errors) -> tuple[float | None, bool]:
    """Return the chance of so different biases, and whether now's is further from none.

    The chance is None where one of them is no number.

    With g the skewness of the difference, its studentised value x has the chance of
    x + g (2 x² + 1) / 6 of the normal law; where that would make it likelier to be real, it is
    left as it is. Measured on 200 rows or more, of errors that are normal, lognormal (skewness 6)
    and Student's of 3 degrees: 10⁻⁴ comes by chance 1, 8 and 1.5 times as often at most.
    """
    # Neither has a unit: in that of the largest, powers of what clients send stay numbers.
    unit = max(abs(before.mean), abs(now.mean), before.deviation, now.deviation)
    if not math.isfinite(unit):
        return None, False
    before, now = (_in_units(one, unit or 1.0) for one in (before, now))
    parts = [(before, -1.0), (now, 1.0)]
    variance = sum(one.deviation**2 / one.rows for one, _ in parts)
    gap = now.mean - before.mean
    if variance <= 0:
        return (1.0 if gap == 0 else 0.0), abs(now.mean) > abs(before.mean)
    if variance**1.5 == 0:  # next to the largest, the errors do not differ
        return 0.0, abs(now.mean) > abs(before.mean)
    third = sum(sign * one.skewness * one.deviation**3 / one.rows**2 for one, sign in parts)
    x, skewness = gap / math.sqrt(variance), third / variance**1.5
    mended = math.copysign(1.0, x) * (x + skewness * (2 * x * x + 1) / 6)
    chance = math.erfc(max(0.0, min(abs(x), mended)) / math.sqrt(2))
    squares = [one.mean**2 - one.deviation**2 / one.rows for one, _ in parts]
    return chance, squares[1] > squares[0]


def _in_units(errors: Errors, unit: float) -> Errors:
    return replace(errors, mean=errors.mean / unit, deviation=errors.deviation / unit)
