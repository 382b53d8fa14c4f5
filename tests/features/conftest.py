"""Runs a transform's nodes alone in onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from raymm.features.transform import Transform
from raymm.onnx_builder import FLOAT, INT64, STRING, GraphBuilder

ELEMENT = {"f": FLOAT, "i": INT64, "O": STRING}


@pytest.fixture(scope="session")
def run_graph() -> Callable[[Transform, npt.NDArray[Any]], npt.NDArray[np.float32]]:
    """Return a function of a fitted transform and values (n,) that gives the graph's (n, k)."""

    def run(part: Transform, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        builder = GraphBuilder()
        raw = builder.input("raw", ELEMENT[values.dtype.kind])
        result = part.to_onnx(builder, raw)
        model = builder.model([(result, "features", FLOAT, ["n", len(part.names)])])
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return session.run(None, {"raw": values.reshape(-1, 1)})[0]

    return run
