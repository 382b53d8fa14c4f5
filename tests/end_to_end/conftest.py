"""The command line in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(tmp_path):
    """Run raymm in a process; ``start`` only starts it. RAYMM_HOME is ``home`` in tmp_path."""
    environment = {**os.environ, "RAYMM_HOME": str(tmp_path / "home"), "COLUMNS": "110"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE"):
        environment.pop(name, None)

    def start(*arguments, home=None, program=(sys.executable, "-m", "raymm"), **how):
        where = environment | ({"RAYMM_HOME": str(home)} if home else {})
        return subprocess.Popen(
            [*program, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=how.pop("cwd", tmp_path),
            env=where | how.pop("env", {}),
            **how,
        )

    def call(*arguments, timeout=600, **how):
        process = start(*arguments, **how)
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        return SimpleNamespace(code=process.returncode, out=out, err=err)

    def as_json(*arguments, code=0, **how):
        done = call(*arguments, "--json", **how)
        assert done.code == code, done.err
        return json.loads(done.out)

    return SimpleNamespace(start=start, call=call, json=as_json, home=tmp_path / "home", root=ROOT)
