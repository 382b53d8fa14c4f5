"""Graphs parsed, and bundles loaded, once for all techniques that look at them."""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakValueDictionary

from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner

_REMEMBERED, _LARGEST = 2, 100_000_000
"""Parsed graphs that are remembered, and the bytes of one at most: parsing takes 7 ms a MB."""
_models: dict[bytes, Any] = {}
_runners: WeakValueDictionary[bytes, Runner] = WeakValueDictionary()
_lock = threading.Lock()


def runner_of(bundle: Bundle) -> Runner:
    """Return what runs a bundle; the same one for as long as somebody holds it."""
    with _lock:
        known = _runners.get(bundle.graph)
    if known is None or known.schema != bundle.schema:
        known = Runner(bundle)
        with _lock:
            _runners[bundle.graph] = known
    return known


def model_of(bundle: Bundle) -> Any:
    """Return the graph as an ONNX model; do not change it, others have it."""
    import onnx

    with _lock:
        known = _models.pop(bundle.graph, None)
        if known is not None:
            _models[bundle.graph] = known  # asked for last
    if known is None:
        known = onnx.ModelProto.FromString(bundle.graph)
        if len(bundle.graph) <= _LARGEST:
            with _lock:
                _models[bundle.graph] = known
                while len(_models) > _REMEMBERED:
                    del _models[next(iter(_models))]
    return known


def forget() -> None:
    """Let go of graphs that were parsed; they take four times their bytes."""
    with _lock:
        _models.clear()
