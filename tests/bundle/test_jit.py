from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("numba")

from raymm.bundle import jit
from raymm.bundle.machine_code import KERNELS, Unkept


def test_what_cannot_be_kept_is_compiled_where_it_pays_in_each_process(monkeypatch):
    kept = jit.numba.njit

    def njit(*given, cache=False, **how):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return kept(*given, **how)

    monkeypatch.setattr(jit.numba, "njit", njit)

    def double(x):
        x[0] *= 2

    values = np.array([3.0], np.float32)
    jit.compiled("void(f4[::1])", anyway=True)(double)(values)
    assert values.tolist() == [6.0]
    with pytest.raises(Unkept, match="no locator"):
        jit.compiled("void(f4[::1])")(double)


@pytest.mark.long
def test_a_kernel_is_compiled_anew_where_a_part_of_it_has_changed(tmp_path):
    """In a process for each, as what is kept is looked for as a module is read."""
    kernel = (
        "import numpy as np\nfrom part import part\nfrom raymm.bundle.jit import compiled\n\n"
        "@compiled('void(f4[::1])')\ndef kernel(x):\n    x[0] = part(x[0])\n\n"
        "x = np.array([3], np.float32)\nkernel(x)\nprint(x[0], len(kernel.stats.cache_hits))\n"
    )
    (tmp_path / "kernel.py").write_text(kernel)
    told = []
    for factor in (2, 2, 5):
        part = f"    return np.float32({factor}) * value\n"
        head = "import numpy as np\nfrom raymm.bundle.jit import inlined\n\n@inlined\n"
        (tmp_path / "part.py").write_text(f"{head}def part(value):\n{part}")
        done = subprocess.run(
            [sys.executable, "-B", "-c", "import kernel"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
            capture_output=True,
            text=True,
            check=True,
        )
        told.append(done.stdout.split())
    assert told == [["6.0", "0"], ["6.0", "1"], ["15.0", "0"]]


@pytest.mark.slow
def test_kernels_that_make_setup_compiled_are_found_in_any_order():
    """What another module of kernels brings into the process changes nothing for this one."""
    told = []
    for names in (KERNELS, KERNELS[::-1]):
        code = (
            f"import importlib\nmodules = [importlib.import_module(one) for one in {names!r}]\n"
            "from numba.core.dispatcher import Dispatcher\n"
            "kernels = [one for module in modules for one in vars(module).values()\n"
            "           if isinstance(one, Dispatcher) and one.signatures]\n"
            "print(*sorted(one.py_func.__qualname__ for one in kernels))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        told.append(done.stdout.split())
    assert len(told[0]) > 5
    assert told[1] == told[0]  # what is kept is found by these names
