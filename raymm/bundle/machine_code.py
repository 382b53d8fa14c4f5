"""Parts in machine code, where numba is installed (the extra ``fast``).

What a part in machine code makes is what Python makes without it, bit for bit; only trees that
answer rows may add up in another order, within what `raymm.bundle.parity` allows.
"""

from __future__ import annotations

import importlib
import logging
from functools import cache
from importlib.util import find_spec
from typing import Any

_log = logging.getLogger(__name__)
KERNELS = (
    "raymm.bundle.kernels",
    "raymm.bundle.entropy_kernels",
    "raymm.bundle.mixing_kernels",
    "raymm.compression.sums_kernels",
)


class Unkept(Exception):
    """A kernel would have to be compiled in each process, which does not pay."""


@cache
def loaded(name: str) -> Any:
    """Return a module of kernels, compiled where they were not yet; None where they cannot be.

    The first time on a machine takes some seconds, later ones half of one; where what is compiled
    cannot be kept, only kernels that run again and again are compiled all the same. Why a numba
    that is installed is of no use is logged once.

    Parameters
    ----------
    name : str
        The module's whole name, such as "raymm.bundle.kernels".
    """
    if find_spec("numba") is None:
        return None
    try:
        return importlib.import_module(name)
    except Unkept as error:
        _log.info("%s; Python does its work, more slowly.", error)
        return None
    except Exception as error:  # numba's own have no base of theirs, and it must not stop a service
        _complain(f"{type(error).__name__}: {error}")
        return None


@cache
def _complain(why: str) -> None:
    _log.warning(
        "numba is installed, but cannot be used (%s): trees are run, coded and pruned without.", why
    )


def prepare() -> None:
    """Compile all kernels that can be kept, so that no run or service has to wait for it."""
    for name in KERNELS:
        loaded(name)


if __name__ == "__main__":
    prepare()
