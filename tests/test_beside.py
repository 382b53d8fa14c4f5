"""What runs beside other tests comes after them, and ends with what started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

BESIDE = [sys.executable, str(Path(__file__).with_name("beside.py")), sys.executable, "-c"]
_SESSION = Path("/proc/self/autogroup")


def test_a_command_comes_after_others_and_its_status_is_told():
    tell = "import os; print(os.nice(0), os.getsid(0) == os.getpid()); raise SystemExit(7)"
    done = subprocess.run([*BESIDE, tell], capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(min(19, os.nice(0) + 10)), "True"]
    assert done.returncode == 7


@pytest.mark.skipif(
    not os.access(_SESSION, os.W_OK), reason="this kernel does not share among sessions"
)
def test_its_session_comes_after_others():
    tell = f"print(open({str(_SESSION)!r}).read())"
    done = subprocess.run([*BESIDE, tell], capture_output=True, text=True, check=True)
    assert done.stdout.split()[1:] == ["nice", "10"]


def test_who_ends_its_group_ends_what_it_started():
    start = (
        "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', "
        "'import time; time.sleep(60)']); print(1, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([*BESIDE, start], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"1\n"
        os.killpg(process.pid, signal.SIGTERM)
        assert process.stdout.read() == b""  # nobody holds it any more
    assert process.returncode == -signal.SIGTERM
