"""Compiles kernels by numba; needs the extra ``fast``.

Nothing is checked in a kernel: whoever calls has made sure that all places exist. Numbers are not
put in another order, and products are rounded before they are added, as IEEE 754 has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

Arrays = Any
"""An array in a kernel: what is known of its kind and shape stands in the kernel's signature."""
_Kernel = Callable[..., Any]


def compiled(signature: str) -> Callable[[_Kernel], _Kernel]:
    """Compile for this processor; the result is kept beside the byte code of the kernel's module.

    Where it cannot be kept, or what was kept is damaged, it is compiled for this process alone.
    """
    how: Any = {"nogil": True, "error_model": "numpy"}

    def compile_(kernel: _Kernel) -> _Kernel:
        try:
            made: _Kernel = numba.njit(signature, cache=True, **how)(kernel)
        except Exception:  # no folder to write to (RuntimeError), or anything that a pickle raises
            made = numba.njit(signature, **how)(kernel)
        return made

    return compile_


def inlined(function: _Kernel) -> _Kernel:
    """Compile a part of kernels into each of them."""
    made: _Kernel = numba.njit(function, inline="always")
    return made
