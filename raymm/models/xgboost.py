"""Gradient boosted trees by XGBoost.

The search ranges follow those of published studies of tuned boosting (Gorishniy et al. 2021,
"Revisiting deep learning models for tabular data"; Shwartz-Ziv & Armon 2022), narrowed where a
table is small. Categories come as ordinal codes and are split as numbers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Categorical, Config, Float, Int, Shape, Space, Task
from raymm.models import losses, trees, ubjson
from raymm.models.family import Family, Fitting, Matrix
from raymm.models.heads import Head
from raymm.models.shared import Margins, derived, reading
from raymm.onnx_builder import GraphBuilder
from raymm.plugins import family

OBJECTIVES = {
    "binary": "binary:logistic",
    "multiclass": "multi:softprob",
    "regression": "reg:squarederror",
}
ABSOLUTE = "reg:absoluteerror"
SMALL = 10_000
"""Rows under which shallow trees are tried first."""
BINS = (64, 256, 512)
"""Few, so that most trials of a worker find their rows binned already."""


@dataclass(slots=True, kw_only=True)
class Boosted:
    """A booster with its training rows, so that more rounds can be added."""

    booster: Any
    rows: Any
    head: Head
    threads: int
    margins: Margins = field(default_factory=Margins)


@family("xgboost")
class XGBoost(Family):
    """Depth-wise gradient boosting on histograms."""

    encoding = "ordinal"
    order = 40
    rate = "learning_rate"

    def space(self, task: Task, shape: Shape) -> Space:
        """Return the parameters to search; shallower trees where rows are few."""
        return {
            "learning_rate": Float(0.02, 0.2, log=True),
            "max_depth": Int(3, 6 if shape.rows < 1000 else 10),
            "min_child_weight": Float(0.1, 20.0, log=True),
            "subsample": Float(0.5, 1.0),
            "colsample_bytree": Float(0.4, 1.0),
            "colsample_bylevel": Float(0.5, 1.0),
            "reg_alpha": Float(1e-4, 10.0, log=True),
            "reg_lambda": Float(1e-3, 10.0, log=True),
            "max_bin": Categorical(BINS),
            **losses.choices(task, shape),
        }

    def portfolio(self, task: Task, shape: Shape) -> Sequence[Config]:
        """Return XGBoost's own defaults, slower and with sampling; deep trees; shallow ones.

        Shallow trees come before the default where rows are few. See `raymm.models.losses.both` for
        metrics of absolute errors.
        """
        plain: dict[str, Any] = {
            "learning_rate": 0.05,
            "max_depth": 6,
            "min_child_weight": 1.0,
            "subsample": 0.9,
            "colsample_bytree": 0.8,
            "colsample_bylevel": 1.0,
            "reg_alpha": 1e-3,
            "reg_lambda": 1.0,
            "max_bin": 256,
        }
        deep = {
            "max_depth": 6 if shape.rows < 1000 else 9,
            "colsample_bytree": 0.6,
            "min_child_weight": 4.0,
        }
        shallow = {
            "learning_rate": 0.03,
            "max_depth": 3,
            "min_child_weight": 5.0,
            "subsample": 0.7,
            "colsample_bytree": 0.5,
            "reg_lambda": 10.0,
        }
        in_order = [plain, {**plain, **deep}, {**plain, **shallow}]
        if shape.rows < SMALL:
            in_order = [{**plain, **shallow}, plain, {**plain, **deep}]
        return losses.both(in_order, task, shape)

    def max_rounds(self, config: Config) -> int:
        """Return 3,000 at the slowest learning rate, and fewer in proportion to a faster one."""
        return round(min(3000.0, max(300.0, 60.0 / float(config.get("learning_rate") or 0.1))))

    def fit(self, config: Config, train: Matrix, how: Fitting) -> Boosted:
        """Train a booster; see `Family.fit`."""
        import xgboost as xgb

        head = Head.fit(how, train.y)
        rows = _rows(config, train, how, head)
        booster = xgb.Booster(_parameters(config, train, how), [rows])
        model = Boosted(booster=booster, rows=rows, head=head, threads=how.threads)
        return self.extend(model, how.rounds)

    def state(self, model: Boosted) -> Boosted:
        """Return the booster without its training rows; see `Family.state`."""
        return replace(model, rows=None)

    def resume(self, state: Boosted, config: Config, train: Matrix, how: Fitting) -> Boosted:
        """Give a booster its training rows again; see `Family.resume`."""
        state.booster.set_param(_parameters(config, train, how))
        rows = _rows(config, train, how, state.head)
        return replace(state, rows=rows, threads=how.threads)

    def extend(self, model: Boosted, rounds: int) -> Boosted:
        """Train on up to ``rounds`` rounds in all; see `Family.extend`."""
        for number in range(model.booster.num_boosted_rounds(), rounds):
            model.booster.update(model.rows, number)
        return model

    def predict(
        self, model: Boosted, x: npt.NDArray[np.float32], share: float = 1.0
    ) -> npt.NDArray[np.float64]:
        """Return probabilities or values; see `Family.predict`."""
        kept = max(1, round(model.booster.num_boosted_rounds() * share))

        def grow(start: int, stop: int, raw: Any) -> npt.NDArray[np.float32]:
            # XGBoost adds the new trees to the margins it is given, in the order of all trees.
            made = model.booster.inplace_predict(
                x, predict_type="margin", iteration_range=(start, stop), base_margin=raw
            )
            shaped: npt.NDArray[np.float32] = np.reshape(made, (len(x), model.head.outputs))
            return shaped

        return model.head.predict(model.margins.at(x, kept, grow))

    def to_onnx(self, model: Boosted, builder: GraphBuilder, features: str) -> str:
        """Add the trees and the head; see `Family.to_onnx`."""
        return model.head.to_onnx(builder, ensemble(model).to_onnx(builder, features))

    def contributions(
        self, model: Boosted, x: npt.NDArray[np.float32], rounds: int | None = None
    ) -> npt.NDArray[np.float64]:
        """Return TreeSHAP values as XGBoost computes them; see `Family.contributions`."""
        import xgboost as xgb

        shares = model.booster.predict(
            xgb.DMatrix(_finite(x), nthread=model.threads),
            pred_contribs=True,
            iteration_range=(0, rounds or 0),
        )
        return model.head.contributions(shares)


def _parameters(config: Config, train: Matrix, how: Fitting) -> dict[str, Any]:
    absolute = how.task == "regression" and config.get(losses.KEY)
    parameters = {
        **losses.plain(config),
        "objective": ABSOLUTE if absolute else OBJECTIVES[how.task],
        "tree_method": "hist",
        "nthread": how.threads,
        "seed": how.seed,
        # Otherwise all boosters of a thread draw from one generator in turn, and a fold's model
        # would depend on what was trained between its rounds.
        "seed_per_iteration": True,
        "verbosity": 0,
    }
    if how.task == "multiclass":
        parameters["num_class"] = how.classes
    if how.task == "binary":
        # A share of 0 or 1 has no finite log-odds to start from.
        share = float(np.mean(train.y))
        parameters["base_score"] = min(max(share, 1e-6), 1 - 1e-6)
    return parameters


def _rows(config: Config, train: Matrix, how: Fitting, head: Head) -> Any:
    """Return XGBoost's binned form of the training rows, which it never changes."""
    import xgboost as xgb

    bins = int(config.get("max_bin") or 256)

    def make() -> Any:
        x, y = _finite(train.x), head.target(train.y)
        return xgb.QuantileDMatrix(x, y, max_bin=bins, nthread=how.threads)

    return derived(train, ("xgboost", how.task, bins), make)


def _finite(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return x with infinities, which XGBoost refuses, at the ends of float32."""
    if not np.isinf(x).any():
        return x
    end = np.finfo(np.float32).max
    clipped: npt.NDArray[np.float32] = np.clip(x, -end, end)
    return clipped


def ensemble(model: Boosted) -> trees.TreeEnsemble:
    """Read the trees out of XGBoost's own format; rows go left where x < threshold."""
    rounds = model.booster.num_boosted_rounds()
    made: trees.TreeEnsemble = reading(model.booster, rounds, lambda: _ensemble(model))
    return made


def _ensemble(model: Boosted) -> trees.TreeEnsemble:
    learner = ubjson.loads(bytes(model.booster.save_raw("ubj")))["learner"]
    held = learner["gradient_booster"]["model"]
    base = np.array(json.loads(learner["learner_model_param"]["base_score"]), np.float64)
    base = np.broadcast_to(base, (model.head.outputs,))
    if model.head.task == "binary":
        base = -np.log(1 / base - 1)
    made = [_tree(tree, held["tree_info"][number]) for number, tree in enumerate(held["trees"])]
    return trees.join(made, base, strict=True, trees_per_round=model.head.outputs)


def _tree(record: dict[str, Any], output: int) -> trees.Tree:
    left = np.array(record["left_children"], np.int64)
    condition = np.array(record["split_conditions"], np.float32)
    return trees.Tree(
        feature=np.where(left < 0, -1, np.array(record["split_indices"], np.int64)),
        threshold=condition,
        missing_left=np.array(record["default_left"]) > 0,
        left=left,
        right=np.array(record["right_children"], np.int64),
        value=condition[:, None],
        outputs=(output,),
    )
