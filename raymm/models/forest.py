"""Random forests, and what they share with extremely randomised trees, by scikit-learn.

What is searched is what matters most in a forest: the features that a split may choose from, then
the size of leaves and of the rows that a tree is grown on (Probst, Boulesteix & Bischl 2019,
"Tunability: importance of hyperparameters of machine learning algorithms", table 3).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Config, Float, Int, Shape, Space, Task
from raymm.models import trees
from raymm.models.family import Family, Fitting, Matrix
from raymm.models.heads import Head
from raymm.onnx_builder import GraphBuilder
from raymm.plugins import family

LEAVES = 100_000
"""Leaves of all trees together: about 7 MB of graph before it is packed."""
ROWS_A_TREE = 20_000
"""Rows that one tree is grown on, so that time does not grow with the table beyond it."""
LARGE = 10_000
"""Rows above which leaves hold two rows at least."""
TREES = 200, 100
"""Trees of a forest, and of one on a large table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A forest of scikit-learn; ``classes`` are the codes that had training rows."""

    forest: Any
    classes: npt.NDArray[np.int64]
    head: Head


@family("forest")
class Forest(Family):
    """Averaged trees, each grown on its own sample of rows, split by the best of some features."""

    encoding = "ordinal"
    order = 30
    kind: ClassVar[str] = "random"
    """Where no configuration says "random" or "extra"."""

    def space(self, task: Task, shape: Shape) -> Space:
        """Return the parameters to search; the number of trees is fixed, as more never hurt."""
        return {
            "max_features": Float(0.1, 1.0),
            "min_samples_leaf": Int(1, int(np.clip(shape.rows // 50, 2, 50)), log=True),
            "max_samples": Float(0.5, 1.0),
        }

    def portfolio(self, task: Task, shape: Shape) -> Sequence[Config]:
        """Return the shares of features that Breiman 2001 and others advise."""
        share = 0.4 if task == "regression" else shape.features**-0.5
        plain = {"max_features": float(np.clip(share, 0.1, 1.0)), "max_samples": 1.0}
        return ({**plain, "min_samples_leaf": 2},)

    def fit(self, config: Config, train: Matrix, how: Fitting) -> Fitted:
        """Grow the trees; see `Family.fit`."""
        from sklearn import ensemble as grown

        head = Head.fit(how, train.y)
        kind = "ExtraTrees" if (config.get("kind") or self.kind) == "extra" else "RandomForest"
        make = getattr(grown, kind + ("Regressor" if how.task == "regression" else "Classifier"))
        rows = len(train.y)
        large = rows > LARGE
        count = TREES[large]
        drawn = min(ROWS_A_TREE, max(1, int(float(config.get("max_samples") or 1.0) * rows)))
        sampled = rows > ROWS_A_TREE or bool(config.get("bootstrap", True))
        forest = make(
            n_estimators=count,
            max_features=float(config.get("max_features") or 0.5),
            min_samples_leaf=max(2 if large else 1, int(config.get("min_samples_leaf") or 1)),
            max_leaf_nodes=LEAVES // count,
            bootstrap=sampled,
            max_samples=drawn if sampled else None,
            n_jobs=how.threads,
            random_state=how.seed,
        )
        with np.errstate(over="ignore", invalid="ignore"):
            forest.fit(_accepted(train.x), head.target(train.y))
        # Several threads would add the trees in any order; one gives the same sum every time.
        forest.set_params(n_jobs=1)
        present = np.unique(train.y).astype(np.int64) if how.task != "regression" else np.zeros(1)
        return Fitted(forest=forest, classes=present.astype(np.int64), head=head)

    def predict(
        self, model: Fitted, x: npt.NDArray[np.float32], share: float = 1.0
    ) -> npt.NDArray[np.float64]:
        """Return probabilities or values; see `Family.predict`."""
        forest = copy.copy(model.forest)
        kept = max(1, round(len(forest.estimators_) * share))
        forest.estimators_ = forest.estimators_[:kept]
        # Checking for NaN, scikit-learn sums all cells, and huge ones overflow.
        with np.errstate(over="ignore", invalid="ignore"):
            if model.head.task == "regression":
                return model.head.predict(forest.predict(_accepted(x))[:, None])
            full = np.zeros((len(x), model.head.classes))
            full[:, model.classes] = forest.predict_proba(_accepted(x))
            return full

    def to_onnx(self, model: Fitted, builder: GraphBuilder, features: str) -> str:
        """Add the trees, whose sum is the prediction; see `Family.to_onnx`."""
        summed = ensemble(model).to_onnx(builder, features)
        if model.head.task == "regression":
            return model.head.to_onnx(builder, summed)
        if model.head.task == "multiclass":
            return summed
        # Shares add up to 1 only nearly in float32.
        zero, one = builder.constant(0.0), builder.constant(1.0)
        positive = builder.node("Clip", [summed, zero, one])
        return builder.node("Concat", [builder.node("Sub", [one, positive]), positive], axis=1)


def _accepted(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return x as scikit-learn takes it: writable, with infinities at the ends of float32."""
    end = np.finfo(np.float32).max
    if np.isinf(x).any():
        clipped: npt.NDArray[np.float32] = np.clip(x, -end, end)
        return clipped
    return x if x.flags.writeable else x.copy()


def ensemble(model: Fitted) -> trees.TreeEnsemble:
    """Read the trees out of scikit-learn's arrays; rows go left where x <= threshold.

    A leaf holds a mean, or the shares of the classes (of the last one, where there are two); each
    tree weighs one over their number.
    """
    grown = model.forest.estimators_
    made = [_tree(one.tree_, model, len(grown)) for one in grown]
    return trees.join(made, np.zeros(model.head.outputs), averaged=True)


def _tree(tree: Any, model: Fitted, count: int) -> trees.Tree:
    value = tree.value[:, 0, :] / count
    outputs = tuple(model.classes.tolist())
    if model.head.task == "binary":
        positive = np.zeros((len(value), 2))
        positive[:, model.classes] = value
        value, outputs = positive[:, 1:], (0,)
    return trees.Tree(
        feature=np.where(tree.children_left < 0, -1, tree.feature),
        threshold=trees.round_down(tree.threshold),
        missing_left=tree.missing_go_to_left > 0,
        left=tree.children_left,
        right=tree.children_right,
        value=value.astype(np.float32),
        outputs=outputs,
    )
