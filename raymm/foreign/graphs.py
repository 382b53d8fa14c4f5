"""ONNX graphs that read one matrix of floats, given raymm's inputs and outputs.

Of the graph's outputs the one of floats is taken. A column for each class is what it makes: sums
of other than 1 are taken for logits and get a Softmax; a single column for two classes is the
probability of the second, or its log-odds, which get a Sigmoid.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Dataset, Schema, Tensors
from raymm.bundle import parity
from raymm.bundle.graph import PREDICTION, PROBABILITIES, input_names
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.bundle.safety import require_safe
from raymm.errors import BundleError, DataError, ParityError
from raymm.foreign.model import Facts, Foreign
from raymm.foreign.rewriting import rewrite
from raymm.foreign.zipmap import plain

BOUND = 1e-5
HARD_ROWS = 500
OLDEST = 13
"""The operator set from which on Softmax and the others added here mean what they do now."""
_PREFIX, _END = "model/", "end/"
"""Input names of raymm's are identifiers, so no name with a slash is one of them."""
_SUMS = 1e-3
_SHOWN = 8


class Graph(Foreign):
    """An ONNX file."""

    def __init__(self, path: Path) -> None:
        import onnx

        given = path.read_bytes()
        data = plain(given)
        _require_graph(data, path)
        self._model = _lifted(onnx.ModelProto.FromString(data))
        held = {one.name for one in self._model.graph.initializer}
        inputs = [one for one in self._model.graph.input if one.name not in held]
        outputs = [one for one in self._model.graph.output if _is_float(one)]
        opset = _opset(self._model)
        if len(inputs) != 1 or not _is_float(inputs[0]) or len(outputs) != 1 or opset < OLDEST:
            raise BundleError(
                f"{path} must read one matrix of floats and make one, in the operator set {OLDEST} "
                f"or later, but it has the inputs {[one.name for one in inputs]}, the outputs of "
                f"floats {[one.name for one in outputs]} and the operator set {opset}. Export it "
                "so."
            )
        self._input, self._output = inputs[0].name, outputs[0].name
        sides = inputs[0].type.tensor_type.shape.dim
        made = outputs[0].type.tensor_type.shape.dim
        # More columns than one are classes, also where the target's look like values.
        classes = made[1].dim_value if len(made) == 2 and made[1].dim_value > 1 else 0
        self._session = _session(data, path)
        self._link = ""
        self.facts = Facts(
            library="ONNX",
            task={0: "", 2: "binary"}.get(classes, "multiclass"),
            names=(),
            width=sides[1].dim_value if len(sides) == 2 else 0,
            classes=classes,
            bytes=len(given),
        )

    def settle(self, x: npt.NDArray[np.float32], schema: Schema) -> str:
        """See `Foreign.settle`."""
        raw = self._raw(x)
        classes = len(schema.classes)
        width = raw.shape[1]
        if width != (classes or 1) and not (width == 1 and classes == 2):
            remedy = "where it predicts numbers, say --task regression"
            if not classes:
                remedy = "where the target's numbers are classes, say --task multiclass"
            raise BundleError(
                f"the graph must make {classes or 1} columns for the target {schema.target}, but "
                f"makes {width}. Name the target that it was trained for, and give rows of every "
                f"class; {remedy}."
            )
        if not classes:
            return ""
        # A network without an imputer answers NaN to missing values, which is told elsewhere.
        self._link, note = _linked(raw[np.isfinite(raw).all(axis=1)], schema)
        return note

    def graph(self, schema: Schema) -> bytes:
        """See `Foreign.graph`."""
        return self._whole(self._model, schema, direct=False)

    def compressible(self, graph: bytes, dataset: Dataset) -> tuple[bytes, tuple[str, ...]]:
        """Return the graph, its trees and linear models in raymm's form.

        See `Foreign.compressible`.

        As it was where the rewritten one answers rows of the table, or hard ones, differently.
        """
        found = rewrite(self._model, self._output)
        refused = list(dict.fromkeys(found.refused))
        made = graph
        if found.count:
            direct = not self._link and found.columns == (len(dataset.schema.classes) or 1)
            try:
                made = self._whole(found.model, dataset.schema, direct=direct)
                away = _apart(graph, made, dataset)
            except BundleError as error:  # as where it reads numbers of another kind
                refused.append(f"with raymm's form of them it cannot be run: {error}")
                made, away = graph, 0.0
            if not away <= BOUND:
                refused.append(f"with raymm's form of them it answers {away:.3g} away")
                made = graph
        return made, tuple(f"part of it is packed but not pruned ({why})" for why in refused)

    def _whole(self, model: Any, schema: Schema, *, direct: bool) -> bytes:
        """Return a model between raymm's inputs and outputs; ``direct``: see `_ends`."""
        import onnx
        from onnx import compose, helper

        model = compose.add_prefix(model, _PREFIX)
        names = list(input_names(schema).values())
        joined = helper.make_node("Concat", names, [_PREFIX + self._input], axis=1)
        nodes, constants, outputs = _ends(_PREFIX + self._output, schema, self._link, direct=direct)
        kinds = [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 1]) for name in names
        ]
        graph = model.graph
        for field, values in (
            (graph.node, [joined, *graph.node, *nodes]),
            (graph.initializer, [*graph.initializer, *constants]),
            (graph.input, kinds),
            (graph.output, outputs),
        ):
            copies = [type(one).FromString(one.SerializeToString()) for one in values]
            del field[:]
            field.extend(copies)
        return bytes(model.SerializeToString(deterministic=True))

    def predict(self, x: npt.NDArray[np.float32], schema: Schema) -> npt.NDArray[Any]:
        """See `Foreign.predict`."""
        raw = self._raw(x).astype(np.float64)
        if not schema.classes:
            return np.asarray(raw[:, 0])
        if self._link == "Softmax":
            power = np.exp(raw - raw.max(axis=1, keepdims=True))
            raw = power / power.sum(axis=1, keepdims=True)
        if self._link == "Sigmoid":
            raw = (1 + np.tanh(raw / 2)) / 2
        return np.hstack([1 - raw, raw]) if raw.shape[1] == 1 else raw

    def require_same(self, bundle: Bundle, dataset: Dataset) -> None:
        """See `Foreign.require_same`."""
        x = np.stack([dataset.tensors[one.name] for one in dataset.schema.features], axis=1)
        ours = Runner(bundle).predict(dataset.tensors)
        theirs = self.predict(x, dataset.schema)
        _require_answers(theirs, dataset)
        scale = float(np.abs(theirs).max()) if dataset.schema.task == "regression" else 1.0
        away = np.abs(ours - theirs).max() / max(scale, 1e-30)
        if not away <= BOUND:
            raise ParityError(
                f"the bundle must predict what the graph does, but is {away:.3g} away. "
                "This graph cannot be taken over."
            )

    def _raw(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        try:
            (raw,) = self._session.run([self._output], {self._input: x})
        except Exception as error:  # onnxruntime's own errors share no base below Exception
            raise BundleError(
                f"onnxruntime could not run the graph on rows of {x.shape[1]} numbers: "
                f"{str(error).strip().rstrip('.')}. See that it runs outside of raymm on such "
                "rows, and export the model again."
            ) from error
        return np.asarray(raw, np.float32).reshape(len(x), -1)


def _linked(raw: npt.NDArray[np.float32], schema: Schema) -> tuple[str, str]:
    """Return the operator that makes probabilities of finite outputs, and a note, or "" for both.

    ``raw`` has shape (n, classes), or (n, 1) for two classes.
    """
    inside = bool((raw >= -_SUMS).all() and (raw <= 1 + _SUMS).all())
    if raw.shape[1] == 1:
        told = f"it was taken as the log-odds of {schema.classes[1]} and given a sigmoid"
        return ("", "") if inside else ("Sigmoid", f"the graph's column leaves 0 to 1: {told}")
    if inside and bool((np.abs(raw.sum(axis=1) - 1) < _SUMS).all()):
        return "", ""
    told = "they were taken as logits and given a softmax"
    if inside:
        # One classifier a class, or trees without a post-transform, say: a softmax keeps the
        # order of the classes, and makes other probabilities than were meant.
        told += ". All lie in 0 to 1: if they are shares, export a graph that adds them up to 1"
    return "Softmax", f"the graph's columns do not add up to 1: {told}"


def _require_graph(data: bytes, path: Path) -> None:
    """Refuse a file that is no graph, or one that onnxruntime must not be given, by its name."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        whole = bool(onnx.ModelProto.FromString(data).graph.output)
    except DecodeError:
        whole = False
    if not whole:
        raise BundleError(
            f"{path} must be an ONNX graph with outputs, but its {len(data):,} bytes are cut, "
            "damaged or something else. Export the model again."
        )
    try:
        require_safe(data)
    except BundleError as error:
        raise BundleError(f"{path} cannot be taken over: {error}") from error


def _require_answers(theirs: npt.NDArray[Any], dataset: Dataset) -> None:
    """Raise DataError where a graph has no answer for rows, naming columns with missing values."""
    silent = ~np.isfinite(theirs.reshape(len(theirs), -1)).all(axis=1)
    if not silent.any():
        return
    holes = [
        one.name
        for one in dataset.schema.features
        if not np.isfinite(dataset.tensors[one.name][silent]).all()
    ]
    shown = ", ".join(holes[:_SHOWN]) + (f" and {len(holes) - _SHOWN} more" * (len(holes) > _SHOWN))
    told = f"; they lack values in {shown}" if holes else ""
    raise DataError(
        f"the graph must answer every row with a finite number, but does not for {silent.sum():,} "
        f"of {len(silent):,}{told}. Fill them, or export the model with what fills them."
    )


def _apart(graph: bytes, made: bytes, dataset: Dataset) -> float:
    """Return how far two graphs' answers are apart, as `Graph.require_same` measures it.

    Both are asked for the table's rows and for hard ones; no answer is the same as none.
    """
    schema, worst = dataset.schema, 0.0
    hard = parity.adversarial(
        dataset.tensors, schema, generator=np.random.default_rng(0), count=HARD_ROWS
    )
    for tensors in (dict(dataset.tensors), hard):
        expected, found = (_answers(one, tensors, schema) for one in (graph, made))
        scale = 1.0
        if schema.task == "regression":
            scale = max(float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0)), 1e-30)
        with np.errstate(invalid="ignore"):
            away = np.where(expected == found, 0.0, np.abs(expected - found) / scale)
        away[np.isnan(expected) & np.isnan(found)] = 0.0
        worst = max(worst, float(away.max(initial=0.0)))
        if np.isnan(away).any():
            return np.inf
    return worst


def _answers(graph: bytes, tensors: Tensors, schema: Schema) -> npt.NDArray[np.float64]:
    session = _session(graph, Path("the graph"))
    given = {
        name: np.asarray(tensors[column], np.float32).reshape(-1, 1)
        for column, name in input_names(schema).items()
    }
    (found,) = session.run([PROBABILITIES if schema.classes else PREDICTION], given)
    return np.asarray(found, np.float64).reshape(len(found), -1)


def _ends(
    result: str, schema: Schema, link: str, *, direct: bool = False
) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the nodes from a graph's result to raymm's outputs, their constants, the outputs.

    A ``direct`` result has the shape that these have, and shares that add up to 1.
    """
    import onnx
    from onnx import helper, numpy_helper

    nodes, constants = list[Any](), list[Any]()

    def add(operator: str, inputs: list[str], name: str, **how: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [name], **how))
        return name

    def hold(name: str, value: npt.NDArray[Any]) -> str:
        constants.append(numpy_helper.from_array(value, _END + name))
        return _END + name

    width = len(schema.classes)
    if not width:
        if direct:
            add("Identity", [result], PREDICTION)
        else:
            add("Reshape", [result, hold("column", np.array([-1, 1]))], PREDICTION)
        made = helper.make_tensor_value_info(PREDICTION, onnx.TensorProto.FLOAT, ["n", 1])
        return nodes, constants, [made]
    if link == "Softmax":
        result = add("Softmax", [result], f"{_END}shares", axis=1)
    if link == "Sigmoid":
        result = add("Sigmoid", [result], f"{_END}shares")
    if width == 2 and not direct:
        # One column is the second class's; of two the last is, and the rest is the first's.
        column = add("Reshape", [result, hold("rows", np.array([0, -1]))], f"{_END}columns")
        last = add("Gather", [column, hold("last", np.array([-1]))], f"{_END}second", axis=1)
        rest = add("Sub", [hold("one", np.ones(1, np.float32)), last], f"{_END}first")
        result = add("Concat", [rest, last], f"{_END}both", axis=1)
    best = add("ArgMax", [result], f"{_END}best", axis=1, keepdims=0)
    labels = hold("classes", np.array(schema.classes, dtype=object))
    add("Gather", [labels, best], PREDICTION, axis=0)
    add("Identity", [result], PROBABILITIES)
    outputs = [
        helper.make_tensor_value_info(PREDICTION, onnx.TensorProto.STRING, ["n"]),
        helper.make_tensor_value_info(PROBABILITIES, onnx.TensorProto.FLOAT, ["n", width]),
    ]
    return nodes, constants, outputs


def _opset(model: Any) -> int:
    """Return the version of ONNX's own operators, `OLDEST` for a graph that uses none of them."""
    return max((one.version for one in model.opset_import if not one.domain), default=OLDEST)


def _lifted(model: Any) -> Any:
    """Return a graph of an older operator set in `OLDEST`; as it is where that cannot be done.

    onnxmltools writes 8 or 9. `Graph.require_same` holds what comes of it against what was given.
    """
    if _opset(model) >= OLDEST:
        return model
    from onnx import version_converter

    try:
        lifted = version_converter.convert_version(model, OLDEST)
    except Exception:  # onnx's own errors share no base below Exception
        return model
    require_safe(lifted.SerializeToString())
    return lifted


def _is_float(value: Any) -> bool:
    return bool(value.type.HasField("tensor_type") and value.type.tensor_type.elem_type == 1)


def _session(data: bytes, path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # What it fails at is raised, and told with what helps: its log would say it twice.
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no base below Exception
        raise BundleError(
            f"{path} cannot be read by onnxruntime; it may be cut or damaged: "
            f"{str(error).strip().rstrip('.')}. Export the model again."
        ) from error
