"""Extremely randomised trees: averaged trees whose thresholds are drawn by chance.

Source: Geurts, Ernst & Wehenkel 2006, "Extremely randomized trees". Unlike a random forest's,
each tree is grown on all rows unless told otherwise, and looks at more features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raymm.artifacts import Categorical, Config, Shape, Space, Task
from raymm.models.forest import Forest
from raymm.plugins import family


@family("extra_trees")
class ExtraTrees(Forest):
    """Averaged trees, split at the best of some features, each at a threshold drawn by chance."""

    order = 60
    kind = "extra"

    def space(self, task: Task, shape: Shape) -> Space:
        """Return the parameters to search; the number of trees is fixed, as more never hurt."""
        searched = super().space(task, shape)
        kept = {name: searched[name] for name in ("max_features", "min_samples_leaf")}
        return {**kept, "bootstrap": Categorical((False, True))}

    def portfolio(self, task: Task, shape: Shape) -> Sequence[Config]:
        """Return all features for regression, as the paper has it, and twice the root else."""
        share = 1.0 if task == "regression" else 2 * shape.features**-0.5
        plain = {"max_features": float(np.clip(share, 0.1, 1.0)), "bootstrap": False}
        return ({**plain, "min_samples_leaf": 2},)
