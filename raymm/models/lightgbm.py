"""Gradient boosted trees by LightGBM.

The search ranges follow those that published studies of tuned boosting use (Gorishniy et al.
2021, "Revisiting deep learning models for tabular data"; Shwartz-Ziv & Armon 2022), narrowed
where a table is small. Categories come as ordinal codes and are split as numbers; with ``sets``,
LightGBM also splits them, and the days of dates, into any two sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Categorical, Config, Float, Int, Shape, Space, Task
from raymm.errors import BundleError
from raymm.models import losses, trees
from raymm.models.family import Family, Fitting, Matrix
from raymm.models.heads import Head
from raymm.models.sets import Sets, announce, appended, gathered
from raymm.models.shared import Margins, derived, reading
from raymm.onnx_builder import GraphBuilder
from raymm.plugins import family

OBJECTIVES = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}
ABSOLUTE = "regression_l1"
SMALL = 10_000
"""Rows under which small trees are tried first."""
BINS = (63, 255, 511)
"""Few, so that most trials of a worker find their rows binned already."""
CATEGORICAL, DEFAULT_LEFT = 1, 2
MISSING_ZERO, MISSING_NAN = 1, 2
CHUNK = 50
"""Rounds predicted at a time for more rows than that: 0.05 s for 200 rounds and 8,000 rows of 14
features, against 0.09 s at once."""
SAMPLE = 500
"""Rows looked at to tell how repetitive columns are, evenly spread."""
REPETITIVE = 0.35
"""Share of a column's most frequent value, on average, from which to sum column by column."""
SETS = {"max_cat_threshold": 256, "cat_l2": 1.0, "min_data_per_group": 20}
"""How categories are split into sets. With LightGBM's own settings (32, 10, 100) the days of
bike_sharing_hour brought 1 to 2 %, with these 4 to 7 %."""
ZERO = np.float32(1e-35)
"""LightGBM takes every value from -ZERO to ZERO for 0 (kZeroThreshold)."""


@dataclass(slots=True, kw_only=True)
class Boosted:
    """A booster with its training rows, so that more rounds can be added.

    ``exhausted`` is set where no tree can be split any further; more rounds change nothing.
    ``places`` are the features that trees may split into sets of categories: they stand behind
    the others a second time.
    """

    booster: Any
    head: Head
    threads: int
    exhausted: bool = False
    places: tuple[int, ...] = ()
    margins: Margins = field(default_factory=Margins)


@family("lightgbm")
class LightGBM(Family):
    """Leaf-wise gradient boosting on histograms."""

    encoding = "ordinal"
    order = 10
    rate = "learning_rate"

    def space(self, task: Task, shape: Shape) -> Space:
        """Return the parameters to search; fewer and larger leaves where rows are few."""
        leaves = int(np.clip(shape.rows // 20, 8, 255))
        smallest = int(np.clip(shape.rows // 20, 5, 200))
        sets = {"sets": Categorical((False, True))} if shape.nominal else {}
        return {
            "learning_rate": Float(0.02, 0.2, log=True),
            "num_leaves": Int(min(7, leaves), leaves, log=True),
            "min_child_samples": Int(2, smallest, log=True),
            "feature_fraction": Float(0.3, 1.0),
            "bagging_fraction": Float(0.5, 1.0),
            "lambda_l1": Float(1e-4, 10.0, log=True),
            "lambda_l2": Float(1e-4, 10.0, log=True),
            "max_bin": Categorical(BINS),
            "extra_trees": Categorical((False, True)),
            **sets,
            **losses.choices(task, shape),
        }

    def portfolio(self, task: Task, shape: Shape) -> Sequence[Config]:
        """Return LightGBM's own defaults at a slower rate, small trees, and large ones.

        Small trees come before the default where rows are few. Where there are categories of many
        levels, the large trees are tried with sets of them too, each with all features at hand.
        See `raymm.models.losses.both` for metrics of absolute errors.
        """
        space = self.space(task, shape)
        plain: dict[str, Any] = {
            "learning_rate": 0.05,
            "num_leaves": _within(space["num_leaves"], 31),
            "min_child_samples": _within(space["min_child_samples"], 20),
            "feature_fraction": 0.8,
            "bagging_fraction": 0.9,
            "lambda_l1": 1e-3,
            "lambda_l2": 0.1,
            "max_bin": 255,
            "extra_trees": False,
        }
        large = {"num_leaves": _within(space["num_leaves"], 96), "feature_fraction": 0.6}
        small = {
            "learning_rate": 0.03,
            "num_leaves": _within(space["num_leaves"], 8),
            "min_child_samples": _within(space["min_child_samples"], 40),
            "feature_fraction": 0.4,
            "bagging_fraction": 0.7,
            "lambda_l2": 10.0,
        }
        in_order = [plain, {**plain, **large}, {**plain, **small}]
        if shape.rows < SMALL:
            in_order = [{**plain, **small}, plain, {**plain, **large}]
        if shape.nominal:
            sets = {**plain, **large, "feature_fraction": 1.0, "sets": True}
            in_order = [{**one, "sets": False} for one in in_order]
            in_order = [in_order[0], sets, *in_order[1:]]
        return losses.both(in_order, task, shape)

    def max_rounds(self, config: Config) -> int:
        """Return 3,000 at the slowest learning rate, and fewer in proportion to a faster one."""
        return round(min(3000.0, max(300.0, 60.0 / float(config.get("learning_rate") or 0.1))))

    def fit(self, config: Config, train: Matrix, how: Fitting) -> Boosted:
        """Train a booster; see `Family.fit`."""
        import lightgbm as lgb

        head = Head.fit(how, train.y)
        places = _places(config, train)
        rows, repetitive = derived(
            train,
            ("lightgbm", how.task, places, *_binning(config).items()),
            lambda: (_rows(config, train, how, head, places).construct(), repeats(train.x)),
        )
        booster = lgb.Booster(_parameters(config, how, repetitive=repetitive), rows)
        model = Boosted(booster=booster, head=head, threads=how.threads, places=places)
        return self.extend(model, how.rounds)

    def resume(self, state: Boosted, config: Config, train: Matrix, how: Fitting) -> Boosted:
        """Give a booster that was pickled its training rows again; see `Family.resume`."""
        import lightgbm as lgb

        if state.exhausted or state.booster.current_iteration() >= how.rounds:
            return state
        # LightGBM puts a model and rows together only in a call that adds a round. It leaves the
        # model's outputs in the rows, which must therefore not be those that others train on.
        rows = _rows(config, train, how, state.head, state.places)
        parameters = _parameters(config, how, repetitive=repeats(train.x))
        booster = lgb.train(
            parameters, rows, 1, init_model=state.booster, keep_training_booster=True
        )
        return replace(state, booster=booster, threads=how.threads)

    def extend(self, model: Boosted, rounds: int) -> Boosted:
        """Train on up to ``rounds`` rounds in all; see `Family.extend`."""
        while not model.exhausted and model.booster.current_iteration() < rounds:
            model.exhausted = bool(model.booster.update())
        return model

    def predict(
        self, model: Boosted, x: npt.NDArray[np.float32], share: float = 1.0
    ) -> npt.NDArray[np.float64]:
        """Return probabilities or values; see `Family.predict`."""
        kept = max(1, round(model.booster.current_iteration() * share))

        def grow(start: int, stop: int, raw: Any) -> npt.NDArray[np.float64]:
            total = np.zeros((len(x), model.head.outputs)) if raw is None else raw.copy()
            shown = appended(x, model.places)
            # Many rows at a time meet few trees, which stay in the processor's cache meanwhile.
            step = CHUNK if len(x) > CHUNK else stop
            for first in range(start, stop, step):
                part = model.booster.predict(
                    shown,
                    raw_score=True,
                    num_threads=model.threads,
                    start_iteration=first,
                    num_iteration=min(step, stop - first),
                )
                total += np.reshape(part, total.shape)
            return total

        return model.head.predict(model.margins.at(x, kept, grow))

    def to_onnx(self, model: Boosted, builder: GraphBuilder, features: str) -> str:
        """Add the trees and the head; see `Family.to_onnx`."""
        made, sets = _read(model)
        if sets is not None:
            whole = announce(builder, features, sets)
            made = replace(made, feature=whole.placed(made.feature, sets))
        return model.head.to_onnx(builder, made.to_onnx(builder, features))

    def announce(self, model: Boosted, builder: GraphBuilder, features: str) -> None:
        """Tell of the sets that trees split on; see `Family.announce`."""
        sets = _read(model)[1]
        if sets is not None:
            announce(builder, features, sets)

    def contributions(
        self, model: Boosted, x: npt.NDArray[np.float32], rounds: int | None = None
    ) -> npt.NDArray[np.float64]:
        """Return TreeSHAP values as LightGBM computes them; see `Family.contributions`."""
        shares = model.booster.predict(
            appended(x, model.places),
            pred_contrib=True,
            num_iteration=rounds or -1,
            num_threads=model.threads,
        )
        if model.head.outputs > 1:
            shares = np.reshape(shares, (len(x), model.head.outputs, -1))
        return model.head.contributions(gathered(shares, model.places))


def repeats(x: npt.NDArray[np.float32]) -> bool:
    """Whether the most frequent value of a column fills a large part of it, on average.

    LightGBM sums gradients row by row or column by column, over the same rows in the same order.
    By columns was 7 % faster on adult (half of the cells), 13 % on telco_churn and 8 % on words
    counted in texts, by rows 6 % on letter (a quarter of them).
    """
    held = x[:: max(1, len(x) // SAMPLE)]
    largest = [np.unique(column, return_counts=True)[1].max() for column in held.T]
    return bool(np.mean(largest) > REPETITIVE * len(held))


def _parameters(config: Config, how: Fitting, *, repetitive: bool) -> dict[str, Any]:
    """Return what LightGBM is told of a fit; ``repetitive`` as `repeats` says."""
    own = {key: value for key, value in losses.plain(config).items() if key != "sets"}
    absolute = how.task == "regression" and config.get(losses.KEY)
    parameters = {
        **own,
        **(SETS if config.get("sets") else {}),
        **_binning(config),
        "objective": ABSOLUTE if absolute else OBJECTIVES[how.task],
        "bagging_freq": 1 if float(config.get("bagging_fraction") or 1.0) < 1 else 0,
        "num_threads": how.threads,
        "seed": how.seed,
        "deterministic": True,
        "force_col_wise" if repetitive else "force_row_wise": True,
        "verbosity": -1,
    }
    if how.task == "multiclass":
        parameters["num_class"] = how.classes
    return parameters


def _binning(config: Config) -> dict[str, Any]:
    """Return all that decides how rows are binned, none of it the trial's own but ``max_bin``."""
    return {
        "max_bin": int(config.get("max_bin") or 255),
        # It would leave out features by the first trial's least rows in a leaf.
        "feature_pre_filter": False,
        # Else it follows from the trial's seed.
        "data_random_seed": 1,
    }


def _places(config: Config, train: Matrix) -> tuple[int, ...]:
    """Return the features whose categories are split into sets."""
    return tuple(place for place, _ in train.nominal) if config.get("sets") else ()


def _rows(config: Config, train: Matrix, how: Fitting, head: Head, places: tuple[int, ...]) -> Any:
    """Return LightGBM's binned form of the training rows."""
    import lightgbm as lgb

    parameters = {**_binning(config), "num_threads": how.threads, "verbosity": -1}
    width = train.x.shape[1]
    return lgb.Dataset(
        appended(train.x, places),
        head.target(train.y),
        categorical_feature=list(range(width, width + len(places))),
        params=parameters,
        free_raw_data=True,
    )


def _within(parameter: Any, value: int) -> int:
    return int(min(max(value, parameter.low), parameter.high))


def ensemble(model: Boosted) -> trees.TreeEnsemble:
    """Read the trees out of LightGBM's own text format (version 4).

    Behind the features stand, in the trees' eyes, the columns of `raymm.models.sets.Sets`.
    """
    made, sets = _read(model)
    return made if sets is None else replace(made, feature=sets.placed(made.feature, sets))


def _read(model: Boosted) -> tuple[trees.TreeEnsemble, Sets | None]:
    """Return the trees, with numbers of `Sets.column` for the sets that they split on."""
    rounds = model.booster.current_iteration()
    made: tuple[trees.TreeEnsemble, Sets | None] = reading(
        model.booster, rounds, lambda: _ensemble(model)
    )
    return made


def _ensemble(model: Boosted) -> tuple[trees.TreeEnsemble, Sets | None]:
    outputs, places = model.head.outputs, model.places
    width = int(model.booster.num_feature()) - len(places)
    sets = Sets(width, places) if places else None
    blocks = model.booster.model_to_string().split("\nTree=")[1:]
    made = [_tree(block, number % outputs, sets) for number, block in enumerate(blocks)]
    return trees.join(made, np.zeros(outputs), trees_per_round=outputs), sets


def _tree(block: str, output: int, sets: Sets | None) -> trees.Tree:
    """Read one tree.

    LightGBM sends a row left where float64 x <= threshold. Its missing type says what NaN means:
    with "NaN" the node's default side, with "None" the value 0. Thresholds within ZERO of 0 are
    moved to its ends, so that all values taken for 0 stay together. Where a node splits categories
    those of its set go left, and all others right.
    """
    fields = dict(line.split("=", 1) for line in block.split("\n") if "=" in line)

    def read(name: str, dtype: type) -> npt.NDArray[Any]:
        return np.array(fields.get(name, "").split(), dtype=dtype)

    inner = int(fields["num_leaves"]) - 1
    leaves = inner + 1
    decision = read("decision_type", np.int64)[:inner]
    missing = decision >> 2
    grouped = (decision & CATEGORICAL) > 0
    if (grouped.any() and sets is None) or (missing[~grouped] == MISSING_ZERO).any():
        raise BundleError("a LightGBM tree holds categorical or zero-as-missing splits")
    exact = read("threshold", np.float64)[:inner]
    bound = trees.round_down(exact)
    bound = np.where((exact >= -ZERO) & (exact < 0), np.nextafter(-ZERO, np.float32(-1)), bound)
    bound = np.where((exact >= 0) & (exact < ZERO), ZERO, bound)
    default_left = (decision & DEFAULT_LEFT) > 0
    missing_left = np.where(missing == MISSING_NAN, default_left, exact >= 0)
    blank = np.zeros(leaves)
    value = np.concatenate([np.zeros(inner), read("leaf_value", np.float64)])
    feature = read("split_feature", np.int64)[:inner]
    if sets is not None and grouped.any():
        bounds, words = read("cat_boundaries", np.int64), read("cat_threshold", np.int64)
        for node in np.flatnonzero(grouped).tolist():
            start, stop = bounds[int(exact[node]) :][:2]
            feature[node] = sets.column(int(feature[node]), words[start:stop].tolist())
        # The column is 0 where a row is in none of the set: that goes right.
        bound[grouped], missing_left[grouped] = np.float32(0.5), False

    def children(name: str, other: str) -> npt.NDArray[np.int64]:
        child = np.where(grouped, read(other, np.int64)[:inner], read(name, np.int64)[:inner])
        return np.concatenate([np.where(child < 0, inner + ~child, child), blank - 1]).astype(int)

    return trees.Tree(
        feature=np.concatenate([feature, blank - 1]).astype(int),
        threshold=np.concatenate([bound, blank.astype(np.float32)]),
        missing_left=np.concatenate([missing_left, blank > 0]),
        left=children("left_child", "right_child"),
        right=children("right_child", "left_child"),
        value=value.astype(np.float32)[:, None],
        outputs=(output,),
    )
