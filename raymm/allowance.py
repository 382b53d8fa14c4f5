"""What compression may lose, in the units of the metric that it is measured by.

``compression.max_loss`` is a difference of metrics in [0, 1] and a share of others, such as rmse;
what a person reads beside losses is always the difference.
"""

from __future__ import annotations

from raymm.artifacts import Frontier
from raymm.plugins import metrics


def allowed(found: Frontier) -> float:
    """Return the loss that was allowed, a difference of the metric, at least 0."""
    return found.max_loss * (1.0 if _bounded(found.metric) else abs(found.candidates[0].score))


def statement(found: Frontier) -> str:
    """Say what was allowed, and of what it is a share where ``max_loss`` is one.

    >>> statement(Frontier(candidates=(), metric="roc_auc", max_loss=0.005, rows=9))
    'a loss of 0.005 roc_auc is allowed'
    """
    text = f"a loss of {allowed(found):.3g} {found.metric} is allowed"
    if _bounded(found.metric):
        return text
    return f"{text} ({100 * found.max_loss:.3g} % of {found.candidates[0].score:.5g})"


def _bounded(metric: str) -> bool:
    if metric not in metrics.names():
        return True
    return bool(getattr(metrics.get(metric), "bounded", True))
