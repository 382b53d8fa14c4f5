"""Calls that wait for no other, on as many threads as there are processors for this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Tensors

Given = TypeVar("Given")
Made = TypeVar("Made")
MOST = 4
"""Threads at most."""
ROWS = 1024
"""Rows in a call where there are many: as many whatever the threads, as sums of products may depend
on it."""


def spread(call: Callable[[Given], Made], parts: Sequence[Given]) -> list[Made]:
    """Return what a call makes of each part, in their order.

    onnxruntime leaves Python alone while it runs, so that threads help; what each call makes is the
    same on any number of them.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    threads = min(MOST, len(parts), len(affinity(0)) if affinity else os.cpu_count() or 1)
    if threads < 2:
        return [call(part) for part in parts]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(call, parts))


def by_rows(call: Callable[[Tensors], npt.NDArray[Any]], tensors: Tensors) -> npt.NDArray[Any]:
    """Return what a call makes of rows, shape (n, …), asked for `ROWS` at a time.

    ``tensors``, of shape (n,) each, has at least one column.
    """
    count = len(next(iter(tensors.values())))
    parts = [
        {name: values[start : start + ROWS] for name, values in tensors.items()}
        for start in range(0, max(1, count), ROWS)
    ]
    return np.concatenate(spread(call, parts))
