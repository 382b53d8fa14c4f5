"""What is sought with several objectives, and how it becomes one number.

Sources: Knowles 2006, "ParEGO: a hybrid algorithm with on-line landscape approximation for
expensive multiobjective optimization problems", equations 1 and 2; Deb et al. 2002, section VI
(what breaks a constraint comes after everything that does not).
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Direction
from raymm.errors import ConfigError
from raymm.search import pareto

AUGMENTATION = 0.05
"""Weight of the sum beside the maximum: Knowles 2006, equation 2."""

NARROW = 1e-3
"""Share of an objective's range that a front has to span to set its scale."""

Vector = npt.NDArray[np.float64]
Values = Mapping[str, float]
Bounds = tuple[float | None, float | None]
_MODES: Mapping[str, Direction] = {
    "min": "minimize",
    "max": "maximize",
    "minimize": "minimize",
    "maximize": "maximize",
}

_LOSSES = (
    "loss error err errors rmse mse msle rmsle mae mape smape wape perplexity deviance brier nll "
    "crossentropy entropy regret cost penalty hinge wer cer fpr fnr fid eer bouldin drop gap "
    "latency time duration seconds sec ms bytes memory flops distance divergence"
)
_SCORES = (
    "accuracy acc auc auroc auprc roc precision recall f1 f2 fbeta score r2 mcc kappa jaccard iou "
    "dice ndcg mrr bleu rouge reward profit revenue gain throughput success tpr tnr sensitivity "
    "specificity explained likelihood silhouette matthews"
)
_LOSS_ENDS = ("loss", "error", "rmse", "mse", "mae")
_SCORE_ENDS = ("accuracy", "auc", "score")


def usual_mode(metric: str) -> Literal["min", "max"] | None:
    """Return where a metric is best by its name: "min" of losses, "max" of scores, else None.

    What a name says of a loss counts before what it says of a score; a loss or score that is
    said to be negative is best the other way.

    >>> usual_mode("val_loss"), usual_mode("brier_score"), usual_mode("balanced_accuracy")
    ('min', 'min', 'max')
    >>> usual_mode("neg_log_loss"), usual_mode("value")
    ('max', None)
    """
    apart = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", metric).lower()
    words = re.findall(r"[a-z0-9]+", apart)
    if "d2" in words or "r2" in words:
        lower = False  # shares of a deviance or error that are explained, whatever they are called
    elif any(word in _LOSSES.split() or word.endswith(_LOSS_ENDS) for word in words):
        lower = True
    elif any(word in _SCORES.split() or word.endswith(_SCORE_ENDS) for word in words):
        lower = False
    else:
        return None
    if words[0] == "neg":  # scikit-learn's scorers: whatever follows was turned to be best high
        return "max"
    return "min" if lower is (words[0] not in ("negative", "minus")) else "max"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goals:
    """What is sought.

    Attributes
    ----------
    objectives : mapping of str to "min", "max", "minimize" or "maximize"
        At least one.
    constraints : mapping of str to (low, high)
        Bounds of what is allowed, both inclusive; None is no bound on that side. A constraint may
        be on an objective or on a further value.

    Raises
    ------
    ConfigError
        When an entry breaks its rule.
    """

    objectives: Mapping[str, str]
    constraints: Mapping[str, Bounds] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.objectives, Mapping) or not self.objectives:
            raise ConfigError(
                "objectives must map one or more names to their mode, such as "
                f'{{"score": "max", "bytes": "min"}}, but got {self.objectives!r}.'
            )
        for name, mode in self.objectives.items():
            if mode not in _MODES:
                raise ConfigError(f'the mode of {name} must be "min" or "max", but got {mode!r}.')
        for name, bounds in self.constraints.items():
            _check_bounds(name, bounds)

    def bounds_said(self, name: str) -> str:
        """Return a constraint in words, such as ``latency_ms at most 5``.

        >>> Goals(objectives={"a": "min"}, constraints={"b": (1, None)}).bounds_said("b")
        'b at least 1'
        """
        low, high = self.constraints[name]
        ends = [] if low is None else [f"at least {low:g}"]
        ends += [] if high is None else [f"at most {high:g}"]
        return f"{name} {' and '.join(ends)}"

    @property
    def names(self) -> tuple[str, ...]:
        """What a result must give, objectives first."""
        return tuple(dict.fromkeys((*self.objectives, *self.constraints)))

    def losses(self, values: Values) -> Vector:
        """Return the objectives of a result, shape (m,), turned so that smaller is better."""
        return np.array(
            [
                values[name] if _MODES[mode] == "minimize" else -values[name]
                for name, mode in self.objectives.items()
            ],
            dtype=np.float64,
        )

    def violations(self, values: Values) -> Vector:
        """Return by how much each constraint is broken, shape (constraints,); 0 where it holds."""
        found = []
        for name, (low, high) in self.constraints.items():
            under = 0.0 if low is None else low - values[name]
            over = 0.0 if high is None else values[name] - high
            found.append(max(0.0, under, over))
        return np.array(found, dtype=np.float64)

    def complete(self, values: Values | None) -> bool:
        """Say whether a result gives a finite number for everything that is asked."""
        return values is not None and all(
            values.get(name) is not None and math.isfinite(values[name]) for name in self.names
        )


def _check_bounds(name: str, bounds: Any) -> None:
    pair = isinstance(bounds, Sequence) and not isinstance(bounds, str) and len(bounds) == 2
    given = [bound for bound in bounds if bound is not None] if pair else []
    fine = all(_is_number(bound) and math.isfinite(bound) for bound in given)
    if not given or not fine or given != sorted(given):
        raise ConfigError(
            f"the constraint on {name} must be (low, high), either of them None, such as "
            f"(None, 5.0), but got {bounds!r}."
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def broken(violations: npt.ArrayLike) -> Vector:
    """Return one amount a result, shape (n,), from its violations of each constraint, (n, k).

    Each constraint counts in shares of the largest violation seen of it, so that no unit
    outweighs another.
    """
    amounts = np.asarray(violations, dtype=np.float64)
    largest = amounts.max(axis=0, initial=0.0)
    shares: Vector = (amounts / np.where(largest > 0, largest, 1.0)).sum(axis=1)
    return shares


def tchebycheff(losses: npt.ArrayLike, weights: npt.ArrayLike, violation: Vector) -> Vector:
    """Return one loss a result, shape (n,), of several objectives under weights.

    ``max(w z) + 0.05 sum(w z)`` (Knowles 2006, equation 2), where z is 0 at the best value of an
    objective and 1 at its worst on the front. Results with a ``violation`` above 0, shape (n,),
    come after all those without, the least broken first.

    Parameters
    ----------
    losses : float64, shape (n, m), n at least 1
    weights : float64, shape (m,), at least 0, adding to 1
    """
    points, share = np.asarray(losses, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    allowed = violation == 0
    scores = np.zeros(len(points))
    if allowed.any():
        known = points[allowed]
        edge = known[pareto.front(known)]
        low, high = known.min(axis=0), edge.max(axis=0)
        # A front that is next to a point in some objective has no range of its own there.
        widest = known.max(axis=0)
        high = np.where(high - low > NARROW * (widest - low), high, widest)
        z = (known - low) / np.where(high > low, high - low, 1.0)
        scores[allowed] = (share * z).max(axis=1) + AUGMENTATION * (share * z).sum(axis=1)
    worst = float(scores[allowed].max()) if allowed.any() else 0.0
    largest = violation.max(initial=0.0)
    if largest > 0:
        scores[~allowed] = worst + violation[~allowed] / largest
    return scores


def places(losses: npt.ArrayLike, violation: Vector) -> Vector:
    """Return each result's place, shape (n,), from 0: by front, then the least crowded of it.

    For algorithms that compare results and never read their values; `tchebycheff` is for models
    of the value itself, which places would mislead, as they change where nothing did.
    """
    order = pareto.order(losses, violation)
    found = np.empty(len(order))
    found[order] = np.arange(len(order))
    return found


def numbers_of(values: Any, names: Sequence[str]) -> Values | None:
    """Return a result's numbers by name; None where there is none.

    Raises ConfigError where one of ``names`` is missing or is no number; None counts as one.
    """
    if values is None:
        return None
    missing = [name for name in names if not isinstance(values, Mapping) or name not in values]
    if missing:
        raise ConfigError(f'values must map every name to a number, but "{missing[0]}" is missing.')
    wrong = [n for n in names if values[n] is not None and not _is_number(values[n])]
    if wrong:
        raise ConfigError(f"{wrong[0]} must be a number, but got {values[wrong[0]]!r}.")
    return {str(name): value for name, value in values.items()}
