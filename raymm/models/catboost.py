"""Gradient boosted oblivious trees by CatBoost, an optional package (the extra ``catboost``).

All nodes of one depth ask the same question, which makes a tree a strong smoother. The search
ranges are those of TabArena (Erickson et al. 2025, "TabArena: a living benchmark for machine
learning on tabular data"), cut to depths whose trees stay small. Categories come as ordinal codes
and are split as numbers.

Rounds are trained `BLOCK` at a time, each block going on from the last: this way training on
gives, tree by tree, what training in one go gives.
"""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Config, Float, Int, Shape, Space, Task
from raymm.errors import MissingExtra
from raymm.models import trees
from raymm.models.family import Family, Fitting, Matrix
from raymm.models.heads import ABSENT, Head
from raymm.models.shared import Margins, derived
from raymm.onnx_builder import GraphBuilder
from raymm.plugins import family

BLOCK = 25
"""Rounds trained at a time."""
BINS = 254
LARGEST = 500_000
"""Rows above which its slower rounds leave too few trials."""
FEW = 20
"""Rows from which on each tree is grown on a sample; CatBoost refuses samples of one row."""
LOSSES = {"binary": "Logloss", "multiclass": "MultiClass", "regression": "RMSE"}


@dataclass(slots=True, kw_only=True)
class Boosted:
    """A model of CatBoost with its rows, so that more rounds can be added.

    Attributes
    ----------
    booster : catboost.CatBoost or None
        None before the first block, and where there is nothing to learn: all rows have one class
        or value, or no feature varies.
    rounds : int
        How many of its trees count; it may have up to `BLOCK` - 1 more.
    present : int64, shape (k,)
        Codes of the classes that had training rows.
    base : float64, shape (outputs,)
        What every row starts from.
    rows : catboost.Pool or None
        None where there is nothing to learn, and in a `Family.state`.
    """

    booster: Any
    rounds: int
    config: Config
    how: Fitting
    head: Head
    present: npt.NDArray[np.int64]
    base: npt.NDArray[np.float64]
    rows: Any = None
    margins: Margins = field(default_factory=Margins)


@family("catboost")
class CatBoost(Family):
    """Level-wise gradient boosting with one question a level."""

    encoding = "ordinal"
    order = 70
    rate = "learning_rate"

    def suits(self, task: Task, shape: Shape) -> bool:
        """Return whether CatBoost is installed and the table not too large."""
        return installed() and shape.rows <= LARGEST

    def space(self, task: Task, shape: Shape) -> Space:
        """Return the parameters to search.

        Raises
        ------
        MissingExtra
            When CatBoost is not installed.
        """
        if not installed():
            raise MissingExtra("catboost", "catboost")
        return {
            "learning_rate": Float(0.02, 0.2, log=True),
            "depth": Int(3, 8),
            "l2_leaf_reg": Float(1e-3, 10.0, log=True),
            "subsample": Float(0.7, 1.0),
            "rsm": Float(0.4, 1.0),
            "random_strength": Float(0.1, 5.0, log=True),
            "leaf_estimation_iterations": Int(1, 10, log=True),
        }

    def portfolio(self, task: Task, shape: Shape) -> Sequence[Config]:
        """Return CatBoost's own defaults, and shallower trees."""
        plain: dict[str, Any] = {
            "learning_rate": 0.08,
            "depth": 6,
            "l2_leaf_reg": 3.0,
            "subsample": 0.8,
            "rsm": 0.8,
            "random_strength": 1.0,
            "leaf_estimation_iterations": 1 if task == "regression" else 5,
        }
        return plain, {**plain, "depth": 4, "learning_rate": 0.05}

    def max_rounds(self, config: Config) -> int:
        """Return 3,000 at the slowest learning rate, and fewer in proportion to a faster one."""
        return round(min(3000.0, max(300.0, 60.0 / float(config.get("learning_rate") or 0.1))))

    def fit(self, config: Config, train: Matrix, how: Fitting) -> Boosted:
        """Train a booster; see `Family.fit`.

        Raises
        ------
        MissingExtra
            When CatBoost is not installed.
        """
        head = Head.fit(how, train.y)
        present = np.unique(train.y) if head.task != "regression" else np.zeros(0)
        rows = _rows(train, how, head)
        model = Boosted(
            booster=None,
            rounds=0,
            config=dict(config),
            how=how,
            head=head,
            present=present.astype(np.int64),
            base=_base(head, train.y, learns=rows is not None),
            rows=rows,
        )
        return self.extend(model, how.rounds)

    def state(self, model: Boosted) -> Boosted:
        """Return the booster without its training rows; see `Family.state`."""
        return replace(model, rows=None, margins=Margins())

    def resume(self, state: Boosted, config: Config, train: Matrix, how: Fitting) -> Boosted:
        """Give a booster its training rows again; see `Family.resume`."""
        threads = replace(state.how, threads=how.threads)
        return replace(state, rows=_rows(train, how, state.head), how=threads, margins=Margins())

    def extend(self, model: Boosted, rounds: int) -> Boosted:
        """Train on up to ``rounds`` rounds in all; see `Family.extend`.

        Raises
        ------
        ValueError
            When CatBoost can grow no tree at all.
        """
        while model.rows is not None and _trained(model) < rounds:
            before = _trained(model)
            block = _library().CatBoost(_parameters(model))
            block.fit(model.rows, init_model=model.booster)
            model.booster = block
            if _trained(model) == before:  # it gives up where a leaf's value is not finite
                if before == 0:
                    raise ValueError("CatBoost grew no tree. Set l2_leaf_reg higher.")
                rounds = before
        model.rounds = rounds
        return model

    def predict(
        self, model: Boosted, x: npt.NDArray[np.float32], share: float = 1.0
    ) -> npt.NDArray[np.float64]:
        """Return probabilities or values; see `Family.predict`."""
        kept = max(1, round(model.rounds * share))

        def grow(start: int, stop: int, raw: Any) -> npt.NDArray[np.float64]:
            if model.booster is None:
                return np.zeros((len(x), max(1, len(model.present))))
            made = model.booster.predict(
                np.ascontiguousarray(x),
                prediction_type="RawFormulaVal",
                ntree_start=start,
                ntree_end=stop,
                thread_count=model.how.threads,
            )
            total: npt.NDArray[np.float64] = np.reshape(made, (len(x), -1))
            return total if raw is None else raw + total

        raw = model.margins.at(x, kept, grow)
        return model.head.predict(_spread(model, raw) + model.base)

    def to_onnx(self, model: Boosted, builder: GraphBuilder, features: str) -> str:
        """Add the trees and the head; see `Family.to_onnx`."""
        return model.head.to_onnx(builder, ensemble(model).to_onnx(builder, features))


def installed() -> bool:
    """Return whether CatBoost can be imported."""
    return importlib.util.find_spec("catboost") is not None


def _library() -> Any:
    try:
        import catboost
    except ImportError as error:
        raise MissingExtra("catboost", "catboost") from error
    return catboost


def _trained(model: Boosted) -> int:
    return 0 if model.booster is None else int(model.booster.tree_count_)


def _parameters(model: Boosted) -> dict[str, Any]:
    few = model.rows.num_row() < FEW
    config = {key: value for key, value in model.config.items() if not (few and key == "subsample")}
    return {
        **config,
        "iterations": BLOCK,
        "loss_function": LOSSES[model.head.task],
        "boosting_type": "Plain",
        "bootstrap_type": "No" if few else "MVS",
        "boost_from_average": False,
        "thread_count": model.how.threads,
        # Each block draws anew.
        "random_seed": (model.how.seed + _trained(model)) % 2**31,
        "allow_writing_files": False,
        "logging_level": "Silent",
    }


def _rows(train: Matrix, how: Fitting, head: Head) -> Any:
    """Return CatBoost's binned form of the training rows; None where there is nothing to learn."""
    catboost = _library()
    if head.task == "regression":
        y = head.target(train.y)
    else:
        y = np.unique(train.y, return_inverse=True)[1].astype(np.float64)
    # CatBoost refuses rows of which no feature varies; NaN beside a number varies.
    if np.ptp(y) == 0 or not _varies(train.x):
        return None

    def make() -> Any:
        pool = catboost.Pool(np.ascontiguousarray(train.x), y, thread_count=how.threads)
        pool.quantize(border_count=BINS, task_type="CPU")
        return pool

    return derived(train, ("catboost", how.task), make)


def _spread(model: Boosted, raw: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return raw outputs (n, outputs) from those of the classes with training rows (n, k)."""
    if model.head.task != "multiclass":
        return raw[:, :1]
    full = np.zeros((len(raw), model.head.classes))
    full[:, model.present] = raw
    return full


def _varies(x: npt.NDArray[np.float32]) -> bool:
    return any(
        not np.array_equal(column, np.full_like(column, column[0]), equal_nan=True)
        for column in x.T
    )


def _base(head: Head, y: npt.NDArray[Any], *, learns: bool) -> npt.NDArray[np.float64]:
    """Return what every row starts from, shape (outputs,).

    Next to nothing for classes without rows; the classes' shares where no tree will learn them.
    """
    if head.task == "regression":
        return np.zeros(1)
    shares = np.bincount(y, minlength=head.classes) / len(y)
    base = np.where(shares > 0, 0.0, ABSENT)
    if not learns:
        base += np.log(np.maximum(shares, 1e-300)) * (shares > 0)
    both = np.clip(base[1:] - base[:1], ABSENT, -ABSENT)
    return base if head.task == "multiclass" else both


def ensemble(model: Boosted) -> trees.TreeEnsemble:
    """Read the trees out of CatBoost's own JSON format; rows go right where x > border."""
    if model.booster is None:
        none = {"splits": [], "leaf_values": [0.0] * max(1, len(model.present))}
        return trees.join([_oblivious(none, {}, model)], model.base)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.booster.save_model(str(path), format="json")
        held = json.loads(path.read_text())
    scale, bias = held["scale_and_bias"]
    assert scale == 1, "margins are those of the leaves"
    assert not np.any(bias), "a booster that starts from nothing has no bias"
    as_true = {
        feature["feature_index"]: feature["nan_value_treatment"] == "AsTrue"
        for feature in held["features_info"]["float_features"]
    }
    made = [_oblivious(tree, as_true, model) for tree in held["oblivious_trees"][: model.rounds]]
    return trees.join(made, model.base)


def _oblivious(record: dict[str, Any], as_true: dict[int, bool], model: Boosted) -> trees.Tree:
    """Make nodes of a tree: node i has the children 2 i + 1 and 2 i + 2, the last level is leaves.

    Bit k of a leaf's number says whether the row is above the border of split k.
    """
    splits = record["splits"] or []
    depth = len(splits)
    inner = 2**depth - 1
    level = np.repeat(np.arange(depth), 2 ** np.arange(depth)).astype(np.int64)
    feature = np.array([split["float_feature_index"] for split in splits], np.int64)
    border = np.array([split["border"] for split in splits], np.float64).astype(np.float32)
    right = np.array([as_true[int(number)] for number in feature], bool)
    blank = np.full(2**depth, -1)
    node = np.arange(inner)
    # The root's question is the highest bit of the way down, but the lowest of the leaf's number.
    way = np.arange(2**depth)
    number = sum(((way >> (depth - 1 - k)) & 1) << k for k in range(depth)) + np.zeros_like(way)
    values = np.reshape(np.array(record["leaf_values"], np.float64), (2**depth, -1))[number]
    values = _spread(model, values)
    return trees.Tree(
        feature=np.concatenate([feature[level], blank]),
        threshold=np.concatenate([border[level], np.zeros(2**depth, np.float32)]),
        missing_left=np.concatenate([~right[level], blank > 0]),
        left=np.concatenate([2 * node + 1, blank]),
        right=np.concatenate([2 * node + 2, blank]),
        value=np.concatenate([np.zeros((inner, values.shape[1])), values]).astype(np.float32),
        outputs=tuple(range(model.head.outputs)),
    )
