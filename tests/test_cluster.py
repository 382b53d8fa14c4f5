"""Reaching Ray: what is started is on loopback and ended, what is joined is left alone."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from raymm import cluster
from raymm.errors import ClusterError, Interrupted
from raymm.sections import RayConfig


@pytest.mark.ray
def test_a_running_cluster_is_used_and_left(ray_cluster: Any) -> None:
    import ray

    with cluster.connect(RayConfig()) as connection:
        assert not connection.started
        assert connection.address == ray_cluster.address
    assert ray.is_initialized()


@pytest.mark.ray
def test_a_local_cluster_listens_on_loopback(ray_cluster: Any) -> None:
    assert ray_cluster.started
    assert ray_cluster.cpus == 2
    assert ipaddress.ip_address(ray_cluster.address.rsplit(":", 1)[0]).is_loopback
    assert ray_cluster.metrics.endswith("/metrics")


@pytest.mark.ray
def test_what_can_never_be_had_is_refused(ray_cluster: Any) -> None:
    assert cluster.check_resources(2) == 2
    with pytest.raises(ClusterError, match=r"3 CPUs are needed.*has 2"):
        cluster.check_resources(3)


def test_a_dashboard_is_not_a_cluster_address() -> None:
    with pytest.raises(ClusterError, match="raymm submit"):
        cluster._join("http://127.0.0.1:8265")


class Client:
    """A job client whose job prints more each time it is looked at."""

    def __init__(self, statuses: list[str], logs: list[str]) -> None:
        self.statuses, self.logs, self.stopped = statuses, logs, False

    def get_job_status(self, job: str) -> Any:
        from ray.job_submission import JobStatus

        status = self.statuses.pop(0)
        if status == "CTRL-C":
            raise KeyboardInterrupt
        return JobStatus(status)

    def get_job_logs(self, job: str) -> str:
        return self.logs.pop(0)

    def get_job_info(self, job: str) -> Any:
        return type("Info", (), {"driver_exit_code": 5})

    def submit_job(self, **job: Any) -> str:
        return "job"

    def stop_job(self, job: str) -> None:
        self.stopped = True


@pytest.mark.parametrize(("last", "code"), [("SUCCEEDED", 0), ("FAILED", 5)])
def test_logs_are_followed_to_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, last: str, code: int
) -> None:
    monkeypatch.setattr(cluster.time, "sleep", lambda seconds: None)
    client = Client(["RUNNING", "RUNNING", last], ["a\n", "a\nb\n", "a\nb\nc\n"])
    assert cluster._follow(client, "job") == code
    assert capsys.readouterr().out == "a\nb\nc\n"


def test_ctrl_c_stops_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray.job_submission

    client = Client(["CTRL-C"], [])
    monkeypatch.setattr(ray.job_submission, "JobSubmissionClient", lambda *a, **k: client)
    with pytest.raises(Interrupted, match="told to stop"):
        cluster.submit("true", "http://127.0.0.1:8265")
    assert client.stopped
