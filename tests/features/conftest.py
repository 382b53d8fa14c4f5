"""Runs a transform's nodes alone in onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from raymm.artifacts import Tensors
from raymm.features.transform import Transform
from raymm.onnx_builder import FLOAT, INT64, STRING, GraphBuilder

ELEMENT = {"f": FLOAT, "i": INT64, "O": STRING}


def answer(
    builder: GraphBuilder, result: str, part: Transform, tensors: Tensors
) -> npt.NDArray[np.float32]:
    """Return what a graph answers for raw columns (n,), float32 (n, k)."""
    model = builder.model([(result, "features", FLOAT, ["n", len(part.names)])])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {name: one.reshape(-1, 1) for name, one in tensors.items()})[0]


@pytest.fixture(scope="session")
def run_columns() -> Callable[[Transform, Tensors], npt.NDArray[np.float32]]:
    """Return a function of a fitted transform and raw columns (n,): the graph's answer (n, k)."""

    def run(part: Transform, tensors: Tensors) -> npt.NDArray[np.float32]:
        builder = GraphBuilder()
        inputs = {
            name: builder.input(name, ELEMENT[values.dtype.kind])
            for name, values in tensors.items()
        }
        result = part.to_onnx(builder, part.take_onnx(builder, inputs))
        return answer(builder, result, part, tensors)

    return run


@pytest.fixture(scope="session")
def run_graph() -> Callable[[Transform, npt.NDArray[Any]], npt.NDArray[np.float32]]:
    """Return a function of a fitted transform and values (n,) that gives the graph's (n, k)."""

    def run(part: Transform, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        builder = GraphBuilder()
        result = part.to_onnx(builder, builder.input("raw", ELEMENT[values.dtype.kind]))
        return answer(builder, result, part, {"raw": values})

    return run
