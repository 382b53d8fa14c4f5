"""Whether a compressed bundle is, on the test rows, still as good as the one it was made of.

Compression chooses on validation rows, with a bundle that saw fewer rows, and by the goal's metric
alone. Here the two bundles that could ship are held against each other: by the goal's metric, on
every slice, and for classes by log loss and calibration, which a metric of ranks does not see.
Only what is surely worse counts, and by more than is allowed: two bundles that differ by chance
pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm import bootstrap
from raymm.artifacts import Check, Task
from raymm.bundle.blend import decided
from raymm.evaluation.calibration import CalibrationError
from raymm.evaluation.metrics import Metric, metric_for
from raymm.features.groups import Group

SURE = 0.99
"""Confidence with which something must be worse to count: several things are looked at."""
OTHERS, NATS, CALIBRATION = 0.05, 0.005, 0.02
"""How much worse the log loss may be, as a share and in any case, and the calibration error."""
MOST = 0.25
"""How much worse the log loss may be, as a share, where ``max_loss`` lets the metric's own distance
from a perfect score grow by as much. An accuracy of 0.98 that may fall to 0.975 errs in a quarter
more rows, and probabilities of a model that errs in them are no better than that."""
SLICES, SHARE = 0.02, 0.05
"""How much worse a slice may be, where ``max_loss`` is less: on the metric's scale, or as a share
of an error. On bike_sharing_hour pruning lessened the RMSE by 2.7 %, and in one of 56 slices added
4 % to it, surely."""
FORETOLD = 0.5
"""Share of what the log loss and the calibration error may be worse by that a form may lose on
validation rows: what ships learned from more rows, and has more to lose. On elec2 log loss grew by
5 % there, and by 10 % on the test rows."""
_COUNT, _FEW = 500, 200
"""Resamples behind a loss, and behind that of a slice."""
_SEEN = 200_000_000
"""Cells of predictions scored for one loss at most; at least 100 resamples are drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two bundles' predictions of the same rows.

    Attributes
    ----------
    truth : shape (n,)
        Class codes or values.
    made, full : shape (n, classes) or (n,)
        What the compressed bundle and the one before compression predict.
    decision : sequence of float
        How both weigh the classes, see `raymm.artifacts.Schema`; metrics of labels are told of it.
    seed : int
        Decides the resamples.
    """

    truth: npt.NDArray[Any]
    made: npt.NDArray[Any]
    full: npt.NDArray[Any]
    decision: Sequence[float] = ()
    seed: int = 0

    def at(self, mask: npt.NDArray[np.bool_]) -> Pair:
        """Return the same of some rows."""
        return replace(self, truth=self.truth[mask], made=self.made[mask], full=self.full[mask])

    def sides(self, metric: Metric) -> list[npt.NDArray[Any]]:
        """Return the predictions as the metric is to see them, the compressed bundle's first."""
        both = [self.made, self.full]
        return [decided(one, self.decision) for one in both] if metric.labels else both

    def scores(self, metric: Metric) -> tuple[float, float]:
        """Return the loss, positive where compression made the metric worse, and the full score."""
        made, full = (float(metric(self.truth, one)) for one in self.sides(metric))
        return _sign(metric) * (full - made) + 0.0, full

    def losses(self, metric: Metric, count: int) -> npt.NDArray[np.float64]:
        """Return losses on resamples, paired, shape (b,); those without a score are left out."""
        sides = self.sides(metric)
        count = min(count, max(_SEEN // (2 * sides[0].size), 100))
        generator = np.random.default_rng([self.seed, 3])
        drawn = bootstrap.replicates(metric, self.truth, sides, count=count, generator=generator)
        apart = _sign(metric) * (drawn[:, 1] - drawn[:, 0])
        known: npt.NDArray[np.float64] = apart[np.isfinite(apart)]
        return known if 2 * len(known) > len(apart) else np.zeros(0)


def compressed(
    pair: Pair,
    *,
    task: Task,
    metric: Metric,
    max_loss: float,
    slices: Sequence[Group] = (),
    name: str = "compression",
) -> Check:
    """Hold a compressed bundle against the one it was made of.

    Parameters
    ----------
    pair : Pair
        At least one row.
    metric : Metric
        The goal's.
    max_loss : float
        What the goal's metric may lose: a difference of a bounded metric, else a share of what
        the bundle before compression scores. At least 0.
    slices : sequence of (column, value, mask)
        From `raymm.evaluation.slices.slices`.
    name : str
        Of the check, and of what made the one bundle of the other.

    Returns
    -------
    Check
        Failed where the metric, the log loss, the calibration or a slice is worse than is allowed
        with a confidence of `SURE`; its statement says by how much.
    """
    if not np.isfinite(pair.full).all() or not np.isfinite(pair.made).all():
        passed = bool(np.isfinite(pair.made).all())
        which = "full bundle's" if passed else "compressed bundle's"
        return Check(
            name=name,
            passed=passed,
            statement=f"The {which} predictions are not all finite numbers.",
        )
    loss, full = pair.scores(metric)
    allowed = max_loss * (1.0 if metric.bounded else abs(full))
    low = _least(pair.losses(metric, _COUNT))
    told = (
        f"{metric.name} loses {loss:.5g} by {name} on {len(pair.truth):,} test rows, at least "
        f"{low:.5g} with {100 * SURE:.4g} % confidence; {allowed:.5g} is allowed."
    )
    if low > allowed:
        return Check(name=name, passed=False, statement=told)
    for worse in (*_others(pair, task, metric, max_loss), *_slices(pair, metric, max_loss, slices)):
        return Check(name=name, passed=False, statement=f"{told} But {worse}")
    beside = "" if task == "regression" else "log loss, calibration and "
    told = f"{told} None of {beside}{len(slices)} slices is surely worse."
    return Check(name=name, passed=True, statement=told)


def foretold(pair: Pair, *, task: Task, metric: Metric, max_loss: float) -> str:
    """Say what makes it likely that `compressed` fails by what the metric does not see.

    Parameters
    ----------
    pair : Pair
        Of rows that chose neither bundle.

    Returns
    -------
    str
        What the log loss or the calibration loses beyond `FORETOLD` of what is allowed; empty where
        neither does.
    """
    for one, loss, full, allowed in _beyond(pair, task, metric, max_loss, FORETOLD):
        return f"the {one.name} grows from {full:.5g} by {loss:.5g}; {allowed:.5g} is allowed here"
    return ""


def _beyond(
    pair: Pair, task: Task, metric: Metric, max_loss: float, share: float
) -> Iterator[tuple[Metric, float, float, float]]:
    """Yield what of the log loss and the calibration is worse by more than a share of what is
    allowed: by how much, what it was, and what is allowed.
    """
    if task == "regression":
        return
    more = max(max_loss, OTHERS, min(MOST, _growth(pair, metric, max_loss)))
    for one in (metric_for("log_loss", task), CalibrationError()):
        loss, full = pair.scores(one)
        allowed = max(max_loss, CALIBRATION)
        if not one.bounded:
            allowed = max(abs(full) * more, NATS)
        if one.name != metric.name and loss > share * allowed:
            yield one, loss, full, share * allowed


def _growth(pair: Pair, metric: Metric, max_loss: float) -> float:
    """Return the share by which ``max_loss`` lets a metric's distance from its best value grow."""
    if not metric.bounded:
        return max_loss
    score = float(metric(pair.truth, pair.sides(metric)[1]))
    short = 1.0 - score if metric.direction == "maximize" else score
    return max_loss / short if short > 0 else np.inf


def _others(pair: Pair, task: Task, metric: Metric, max_loss: float) -> Iterator[str]:
    """Yield what is surely worse of the log loss and the calibration."""
    # Where the loss itself is allowed, no bound below it is beyond.
    for one, loss, full, allowed in _beyond(pair, task, metric, max_loss, 1.0):
        low = _least(pair.losses(one, _COUNT))
        if low > allowed:
            yield (
                f"the {one.name} grows from {full:.5g} by {loss:.5g}, at least {low:.5g}; "
                f"{allowed:.5g} is allowed."
            )


def _slices(pair: Pair, metric: Metric, max_loss: float, slices: Sequence[Group]) -> Iterator[str]:
    """Yield the slices that are surely worse; the confidence holds for all of them together."""
    # Percentiles that far out would need many thousand resamples, a normal curve does not.
    reach = NormalDist().inv_cdf(1 - (1 - SURE) / max(1, len(slices)))
    whole = pair.scores(metric)[1]
    for group in slices:
        part = pair.at(group.mask)
        loss, own = part.scores(metric)
        if metric.bounded:
            allowed = max(max_loss, SLICES) * max(abs(own), 1.0)
        else:
            allowed = max(max_loss, SHARE) * max(abs(own), abs(whole))
        if not loss > allowed:
            continue
        known = part.losses(metric, _FEW)
        low = loss - reach * float(known.std()) if len(known) else -np.inf
        if low > allowed:
            yield (
                f"it loses {loss:.5g} where {group.column} = {group.value} "
                f"({len(part.truth):,} rows), at least {low:.5g}; {allowed:.5g} is allowed."
            )


def _least(losses: npt.NDArray[np.float64]) -> float:
    """Return what surely is lost; minus infinity where nothing is known."""
    return float(np.quantile(losses, 1 - SURE)) if len(losses) else -np.inf


def _sign(metric: Metric) -> float:
    return 1.0 if metric.direction == "maximize" else -1.0
