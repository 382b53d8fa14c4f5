"""The same run as a Ray job on a cluster of its own, started by the script that ships."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml

DASHBOARD = 8266


def answers(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def local_cluster(command):
    """The cluster of cluster/local.sh, on its own ports, with a token."""
    with tempfile.TemporaryDirectory(prefix="rl", dir="/tmp") as folder:
        token = f"{folder}/token"
        environment = {
            **os.environ,
            "RAY_TMPDIR": folder,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": token,
            "RAYMM_HOME": str(command.home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        }
        environment.pop("RAY_ADDRESS", None)
        process = subprocess.Popen(
            ["sh", str(command.root / "cluster" / "local.sh")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        deadline = time.monotonic() + 300
        while not answers(DASHBOARD):
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": token}
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


@pytest.mark.ray
def test_a_job_runs_with_its_logs_followed_and_registers_its_version(
    command, local_cluster, loans_csv, tmp_path
):
    raw = {
        "data": {"source": str(loans_csv), "target": "approved"},
        "search": {"trials": 4, "families": ["linear", "lightgbm"]},
        "storage": str(command.home),
    }
    work = tmp_path / "work"
    (work / "jobs").mkdir(parents=True)
    (work / "jobs" / "run.py").write_text((command.root / "jobs" / "run.py").read_text())
    (work / "loans.yaml").write_text(yaml.safe_dump(raw))
    address = f"http://127.0.0.1:{DASHBOARD}"
    submit = ("ray", "job", "submit", "--address", address, "--working-dir", str(work))
    done = command.call(
        "--", "python", "jobs/run.py", "loans.yaml", program=submit, env=local_cluster, timeout=600
    )
    assert done.code == 0, done.out + done.err
    assert "loans version 1: blessed, champion" in done.out
    assert command.json("models")["champions"] == {"loans": 1}
    again = command.call(
        "submit", work / "loans.yaml", "--address", address, "--working-dir", work,
        env=local_cluster, timeout=600,
    )  # fmt: skip
    assert again.code == 0, again.out + again.err
    assert "4 resumed" in again.out
