"""Compiles kernels by numba; needs the extra ``fast``.

Nothing is checked in a kernel: whoever calls has made sure that all places exist. Numbers are not
put in another order, and products are rounded before they are added, as IEEE 754 has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba

from raymm.bundle.machine_code import Unkept

Arrays = Any
"""An array in a kernel: what is known of its kind and shape stands in the kernel's signature."""
_Kernel = Callable[..., Any]
_parts: dict[int, tuple[_Kernel, _Kernel]] = {}
"""What is compiled into kernels, and the function that it was made of, by `id`."""


def compiled(signature: str, *, anyway: bool = False) -> Callable[[_Kernel], _Kernel]:
    """Compile for this processor; the result is kept beside the byte code of the kernel's module.

    Where it cannot be kept, or what was kept is damaged, it is compiled ``anyway``, for this
    process alone, or `Unkept` is raised: seconds in each process are too much for what is done
    once. It is compiled anew where its file has changed, or that of a part that may be in it
    (`inlined`).
    """
    how: Any = {"nogil": True, "error_model": "numpy"}

    def compile_(kernel: _Kernel) -> _Kernel:
        # numba itself looks at the kernel's file alone; what is kept is found by this name.
        kernel.__qualname__ = f"{kernel.__qualname__}_{_stamp(kernel)}"
        try:
            made: _Kernel = numba.njit(signature, cache=True, **how)(kernel)
        except Exception as error:  # no folder to write to, or anything that a pickle raises
            if not anyway:
                raise Unkept(f"{kernel.__module__} cannot be kept: {error}") from error
            made = numba.njit(signature, **how)(kernel)
        return made

    return compile_


def _stamp(kernel: _Kernel) -> str:
    """Return a name for what the files of the parts hold now that a kernel's module knows.

    What else this process has read plays no part, or each order of reading would have a name, and a
    compilation, of its own.
    """
    files, waiting = set[str](), [kernel]
    while waiting:
        for value in list(waiting.pop().__globals__.values()):
            _, part = _parts.get(id(value), (None, None))
            if part is not None and part.__code__.co_filename not in files:
                files.add(part.__code__.co_filename)
                waiting.append(part)
    found = hashlib.sha256()
    for file in sorted(files):
        with suppress(OSError):  # of what comes in an archive
            found.update(Path(file).read_bytes())
    return found.hexdigest()[:12]


def inlined(function: _Kernel) -> _Kernel:
    """Compile a part of kernels into each of them."""
    made: _Kernel = numba.njit(function, inline="always")
    _parts[id(made)] = made, function
    return made
