"""Linear models that other exporters wrote, read as a matrix.

skl2onnx writes ``LinearClassifier`` and ``LinearRegressor`` of the operator set ai.onnx.ml 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.errors import BundleError
from raymm.foreign.ensembles import LINKS, SIGMOIDS

CLASSIFIER, REGRESSOR = "LinearClassifier", "LinearRegressor"
ROWS = 500
"""Rows that a rewritten node is proven on."""
_SCALES = 3.0
"""Powers of ten that these lie around 1."""
Floats32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """What a node does: ``x @ matrix + bias``, float32 of (columns, outputs) and (outputs,).

    ``link`` is what makes answers of it, as of `raymm.foreign.ensembles.Read`.
    """

    matrix: Floats32
    bias: Floats32
    link: str

    @property
    def outputs(self) -> int:
        """How many sums a row gets."""
        return len(self.bias)

    def steps(self, inputs: list[str], name: str) -> tuple[list[Any], list[Any]]:
        """Return the nodes that make the sums, and their constants."""
        from onnx import helper, numpy_helper

        held = [
            numpy_helper.from_array(values, f"{name}/{part}")
            for part, values in (("matrix", self.matrix), ("bias", self.bias))
        ]
        return [helper.make_node("Gemm", [*inputs, *(one.name for one in held)], [name])], held

    def hard_rows(self, generator: np.random.Generator) -> Floats32:
        """Return rows near nothing and far from it; float32 (n, columns)."""
        far = 10 ** generator.uniform(-_SCALES, _SCALES, (ROWS, 1))
        rows = far * generator.normal(size=(ROWS, len(self.matrix)))
        rows[0] = 0
        return rows.astype(np.float32)


def is_linear(node: Any) -> bool:
    """Return whether a node is a linear model, as an operator of its own."""
    return node.op_type in (CLASSIFIER, REGRESSOR)


def read(node: Any) -> Linear:
    """Read a node that `is_linear`.

    Raises
    ------
    BundleError
        Says what of it raymm's form cannot hold.
    """
    from onnx import helper

    held = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    link = held.get("post_transform", b"NONE").decode()
    if link not in LINKS:
        raise BundleError(f"it has the post_transform {link}")
    classes = node.op_type == CLASSIFIER
    bias = np.asarray(held.get("intercepts", ()), np.float32)
    outputs = len(bias) if classes else int(held.get("targets", 1))
    flat = np.asarray(held["coefficients"], np.float32)
    if not outputs or len(flat) % outputs or len(bias) not in (0, outputs):
        raise BundleError(f"it has {len(flat)} coefficients and {len(bias)} intercepts")
    matrix = np.ascontiguousarray(flat.reshape(outputs, -1).T)
    bias = bias if len(bias) else np.zeros(outputs, np.float32)
    if not classes:
        # Of one target onnxruntime reads no post_transform.
        return Linear(matrix=matrix, bias=bias, link=LINKS[link] if outputs > 1 else "")
    labels = max(len(held.get("classlabels_ints", ())), len(held.get("classlabels_strings", ())))
    return _told(matrix, bias, LINKS[link], labels)


def _told(matrix: Floats32, bias: Floats32, link: str, labels: int) -> Linear:
    """Return a classifier's sums: of two classes whose shares add up to 1, that of the second."""
    outputs = len(bias)
    if outputs == 1 and labels == 2:
        if link != "Sigmoid":
            raise BundleError("of two classes it has one sum, and no LOGISTIC behind it")
        return Linear(matrix=matrix, bias=bias, link=SIGMOIDS)
    if link == "Sigmoid" and outputs > 1:
        opposite = np.array_equal(matrix[:, 0], -matrix[:, 1]) and bias[0] == -bias[1]
        if outputs > 2 or not opposite:
            raise BundleError("it tells each class from all others by itself")
        return Linear(matrix=matrix[:, 1:].copy(), bias=bias[1:], link=SIGMOIDS)
    return Linear(matrix=matrix, bias=bias, link=link)
