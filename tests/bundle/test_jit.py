from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from raymm.bundle import jit


def test_what_cannot_be_kept_is_compiled_all_the_same(monkeypatch):
    kept = jit.numba.njit

    def njit(*given, cache=False, **how):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return kept(*given, **how)

    monkeypatch.setattr(jit.numba, "njit", njit)

    def double(x):
        x[0] *= 2

    values = np.array([3.0], np.float32)
    jit.compiled("void(f4[::1])")(double)(values)
    assert values.tolist() == [6.0]
