"""LightGBM's and XGBoost's own files, read by the libraries and held as raymm's families hold them.

What their graphs cannot say is refused: categorical splits, linear trees, dart's weights, and
objectives whose predictions are not those of a class or of a plain value.
"""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Dataset, Schema, Task
from raymm.bundle import parity
from raymm.bundle.graph import to_graph
from raymm.bundle.packed import Bundle
from raymm.bundle.pipeline import Pipeline
from raymm.bundle.run import Runner
from raymm.errors import BundleError
from raymm.features.pipeline import Features, safe_names
from raymm.foreign.model import Facts, Foreign
from raymm.models.family import Family
from raymm.models.heads import Head
from raymm.plugins import families, transforms

HARD_ROWS = 500
_CATEGORIES = "has splits on sets of categories"
_OBJECTIVE = "has the objective {}"
_COUNTS = ("poisson", "gamma", "tweedie", "count:poisson", "reg:gamma", "reg:tweedie")
_EXPORTED = {_CATEGORIES, *map(_OBJECTIVE.format, _COUNTS)}
"""What onnxmltools writes rightly. Of the rest it writes a graph of other predictions, or none."""
_WEIGHTS = re.compile(rb'weight_drop"?\s*:?\s*\[')
"""Dart's weights of trees, by JSON and UBJSON. XGBoost from 3.3 calls them gbtree; older ones drop
them from such a file."""


class _Booster(Foreign):
    """A booster in the form that its family gives what it trains."""

    family: ClassVar[str]
    _model: Any

    def graph(self, schema: Schema) -> bytes:
        return to_graph(self._pipeline(schema))

    def predict(self, x: npt.NDArray[np.float32], schema: Schema) -> npt.NDArray[Any]:
        return self._family.predict(self._model, x)

    def require_same(self, bundle: Bundle, dataset: Dataset) -> None:
        pipeline, runner = self._pipeline(bundle.schema), Runner(bundle)
        hard = parity.adversarial(
            dataset.tensors,
            dataset.schema,
            generator=np.random.default_rng(0),
            count=HARD_ROWS,
        )
        spread = float(np.std(dataset.y))
        for tensors in (dict(dataset.tensors), hard):
            parity.check(pipeline, runner, tensors, spread=spread)

    @property
    def _family(self) -> Family:
        return families.get(self.family)()

    def _pipeline(self, schema: Schema) -> Pipeline:
        """Return columns as they are, and the booster."""
        columns = schema.features
        names = tuple(column.name for column in columns)
        parts = tuple(transforms.get("number")(column) for column in columns)
        features = Features(
            transforms=parts,
            kept=(np.zeros(1, np.int64),) * len(parts),
            names=names,
            safe_names=safe_names(names),
            columns=names,
        )
        return Pipeline(
            schema=schema,
            features=features,
            family=self._family,
            model=self._model,
            task=schema.task,
        )

    @abstractmethod
    def _facts(self, path: Path) -> Facts: ...


def _require_end(path: Path) -> None:
    """Refuse JSON and UBJSON that is cut: of some cuts XGBoost's reader takes all memory and time.

    Raises
    ------
    BundleError
        When the file does not end as an object does.
    """
    with path.open("rb") as file:
        file.seek(-min(64, path.stat().st_size), 2)
        if not file.read().rstrip().endswith(b"}"):
            raise _unread(path, "XGBoost", 'it does not end with "}"')


def _unread(path: Path, library: str, error: Exception | str) -> BundleError:
    """Return what to say of a file that its library refuses, by the library's own first line."""
    told = (str(error).strip().splitlines() or [""])[0]
    # XGBoost begins with the time and the place in its own source.
    told = re.sub(r"^\[[\d:]+\] \S+:\d+: ", "", told).rstrip(" .:")
    return BundleError(
        f"{path} cannot be read by {library}; it may be cut or damaged: {told}. Save the model "
        "again with save_model."
    )


def _require_plain(
    path: Path, task: Task | None, tasks: Mapping[str, Task], odd: Mapping[str, bool]
) -> Task:
    """Return the task of a booster; ``odd`` is what a graph cannot say, and whether it has that.

    Raises
    ------
    BundleError
        Names the file, what it has, and what helps.
    """
    found = [what for what, has in odd.items() if has]
    if task is not None and not found:
        return task
    export = "" if set(found) - _EXPORTED else "export it with onnxmltools and give the .onnx, "
    raise BundleError(
        f"{path} must be a booster of plain trees that split at numbers, with one of the "
        f"objectives {', '.join(tasks)}, but it {' and '.join(found)}. Train it so, {export}or "
        "let `raymm run TABLE --target COLUMN` train one on its table."
    )


class LightGBMFile(_Booster):
    """A file that LightGBM's ``save_model`` wrote."""

    family = "lightgbm"
    _tasks: ClassVar[dict[str, Task]] = {
        "binary": "binary",
        "multiclass": "multiclass",
        "softmax": "multiclass",
        **dict.fromkeys(
            ("regression", "regression_l1", "huber", "fair", "quantile", "mape"), "regression"
        ),
    }

    def __init__(self, path: Path) -> None:
        import lightgbm

        from raymm.models.lightgbm import Boosted

        require_whole(path)
        try:
            self._booster = lightgbm.Booster(model_file=str(path))
        except (lightgbm.basic.LightGBMError, ValueError) as error:
            raise _unread(path, "LightGBM", error) from error
        self.facts = self._facts(path)
        head = Head(task=self.facts.task, classes=self.facts.classes)  # type: ignore[arg-type]
        self._model = Boosted(booster=self._booster, head=head, threads=1)

    def _facts(self, path: Path) -> Facts:
        header, _, trees = self._booster.model_to_string().partition("\nTree=")
        said = dict(line.partition("=")[::2] for line in header.splitlines())
        words = said.get("objective", "").split()
        objective = words[0] if words else "none"
        task = self._tasks.get(objective)
        sigmoid = next((word[8:] for word in words if word.startswith("sigmoid:")), "1")
        odd = {
            _OBJECTIVE.format(objective): task is None,
            "averages its trees (boosting=rf)": "average_output" in header.splitlines(),
            "has linear leaves (linear_tree)": bool(re.search(r"^is_linear=1", trees, re.M)),
            "predicts square roots (reg_sqrt)": "sqrt" in words,
            f"has the sigmoid {sigmoid}": float(sigmoid) != 1,
            _CATEGORIES: bool(re.search(r"^num_cat=[1-9]", trees, re.M)),
        }
        task = _require_plain(path, task, self._tasks, odd)
        names = tuple(self._booster.feature_name())
        told = not all(re.fullmatch(r"Column_\d+", name) for name in names)
        classes = {"binary": 2, "regression": 0}.get(task, int(said.get("num_class", 0)))
        return Facts(
            library="LightGBM",
            task=task,
            names=names if told else (),
            width=len(names),
            classes=classes,
            bytes=path.stat().st_size,
        )


def require_whole(path: Path) -> None:
    """Refuse a text of LightGBM's that is cut or does not hold the trees that it tells of.

    LightGBM's own reader goes to the places that ``tree_sizes`` names without looking, and ends the
    process where the file ends before.

    Raises
    ------
    BundleError
        Says what is missing.
    """
    text = path.read_bytes().replace(b"\r\n", b"\n")
    head, _, rest = text.partition(b"\nTree=")
    told = re.search(rb"^tree_sizes=([0-9 ]*)$", head, re.MULTILINE)
    body, end, _ = (b"Tree=" + rest).partition(b"\nend of trees")
    blocks = re.split(rb"^Tree=\d+\n", body, flags=re.MULTILINE)[1:]
    sizes = [int(one) for one in told[1].split()] if told else []
    wrong = ""
    if not end:
        wrong = 'it has no line "end of trees"'
    elif len(sizes) != len(blocks):
        wrong = f"it tells of {len(sizes)} trees and holds {len(blocks)}"
    elif not len(body) <= sum(sizes) <= len(body) + 4 * len(sizes):
        wrong = f"its trees take {len(body):,} bytes and not the {sum(sizes):,} that it tells of"
    else:
        bad = next((k for k, block in enumerate(blocks) if not _consistent(block)), None)
        wrong = "" if bad is None else f"its tree {bad} lacks nodes or leaves"
    if wrong:
        raise BundleError(f"{path} is cut or damaged: {wrong}. Save the model again.")


def _consistent(block: bytes) -> bool:
    """Return whether a tree has as many splits and leaves as it says, and children among them."""
    fields = dict(line.split(b"=", 1) for line in block.split(b"\n") if b"=" in line)
    try:
        leaves = int(fields[b"num_leaves"])
        if leaves <= 1:
            return leaves == 1
        for name in (b"split_feature", b"threshold", b"decision_type"):
            if len(fields[name].split()) != leaves - 1:
                return False
        if len(fields[b"leaf_value"].split()) != leaves:
            return False
        for name in (b"left_child", b"right_child"):
            child = np.array(fields[name].split(), np.int64)
            if len(child) != leaves - 1 or child.max() >= leaves - 1 or child.min() < -leaves:
                return False
    except (KeyError, ValueError, OverflowError):
        return False
    return True


class XGBoostFile(_Booster):
    """A file that XGBoost's ``save_model`` wrote, as JSON or UBJSON."""

    family = "xgboost"
    _tasks: ClassVar[dict[str, Task]] = {
        "binary:logistic": "binary",
        "multi:softprob": "multiclass",
        "multi:softmax": "multiclass",
        **dict.fromkeys(
            (
                "reg:squarederror",
                "reg:absoluteerror",
                "reg:pseudohubererror",
                "reg:quantileerror",
            ),
            "regression",
        ),
    }

    def __init__(self, path: Path) -> None:
        import xgboost

        from raymm.models.xgboost import Boosted

        _require_end(path)
        try:
            self._booster = xgboost.Booster({"nthread": 1}, model_file=str(path))
        except (xgboost.core.XGBoostError, ValueError) as error:
            raise _unread(path, "XGBoost", error) from error
        said = self._booster.attributes()
        best = said.get("best_iteration") or ""
        if "scikit_learn" in said and best.isdecimal():
            # Stopped early, its scikit-learn class predicts by the rounds up to the best alone.
            self._booster = self._booster[: int(best) + 1]
        self.facts = self._facts(path)
        head = Head(task=self.facts.task, classes=self.facts.classes)  # type: ignore[arg-type]
        self._model = Boosted(booster=self._booster, rows=None, head=head, threads=1)

    def _facts(self, path: Path) -> Facts:
        learner = json.loads(bytes(self._booster.save_raw("json")))["learner"]
        objective = learner["objective"]["name"]
        task = self._tasks.get(objective)
        held = learner["gradient_booster"]
        trees = held.get("model", {}).get("trees", [])
        made_by = "dart" if _WEIGHTS.search(path.read_bytes()) else held["name"]
        odd = {
            _OBJECTIVE.format(objective): task is None,
            f"is made by booster={made_by}": made_by != "gbtree",
            _CATEGORIES: any(tree.get("categories") for tree in trees),
            "has leaves of vectors (multi_strategy=multi_output_tree)": any(
                int(tree["tree_param"].get("size_leaf_vector", 1)) > 1 for tree in trees
            ),
            "has no trees": held["name"] == "gbtree" and not trees,
        }
        task = _require_plain(path, task, self._tasks, odd)
        said = learner["learner_model_param"]
        targets = int(said.get("num_target", 1))
        if targets > 1:
            raise BundleError(
                f"{path} must predict one target, but predicts {targets} targets or quantiles. "
                "Train a model for each."
            )
        classes = {"binary": 2, "regression": 0}.get(task, int(said["num_class"]))
        return Facts(
            library="XGBoost",
            task=task,
            names=tuple(self._booster.feature_names or ()),
            width=int(said["num_feature"]),
            classes=classes,
            bytes=path.stat().st_size,
        )
