"""How much memory a process holds, by the C library's own count.

The growth of this count over a load repeats to a thousandth, where that of the resident set does
not: memory that was freed before is used again, and pages come and go.
"""

from __future__ import annotations

import ctypes
from functools import cache


class _Mallinfo2(ctypes.Structure):
    """As glibc's malloc.h has it."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd",
            "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


def held() -> int | None:
    """Return the bytes that are allocated, of all threads; None where the C library is not glibc.

    Small objects of Python's own allocator are not in it.
    """
    told = _mallinfo2()
    if told is None:
        return None
    found = told()
    return int(found.uordblks) + int(found.hblkhd)


def grown(before: int | None) -> int | None:
    """Return by how many bytes more are held than ``before``, at least 0; None if not known."""
    now = held()
    return None if before is None or now is None else max(now - before, 0)


@cache
def _mallinfo2() -> ctypes._NamedFuncPointer | None:
    try:
        found = ctypes.CDLL(None).mallinfo2  # since glibc 2.33
    except (OSError, AttributeError, TypeError):
        return None
    found.restype, found.argtypes = _Mallinfo2, ()
    return found
