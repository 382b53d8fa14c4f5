"""Ray, reached: join the cluster that is there or start one here; check it; submit to it.

Ray is imported inside the functions, so that commands without a cluster start fast.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raymm.errors import ClusterError, Interrupted
from raymm.sections import RayConfig

LOOPBACK = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
"""Ray takes 127.0.0.1 for the machine's outer address on Linux, where all of 127/8 is loopback."""

ENVIRONMENT: Mapping[str, str] = {
    # Serve's Python proxy takes 9 ms a request, HAProxy half a millisecond; both variables must
    # stand in the environment of the process that starts Ray.
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # Else HAProxy tells a Python process of every request (median of one row 0.57 instead of
    # 0.43 ms on two cores); replicas count requests themselves then.
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
    # HAProxy tells a system log of every request, which nobody need listen to: median of one row
    # 1.45 instead of 1.55 times that of a bare server. It cannot be told to tell of none, but of
    # one in a million. More threads than processors help nobody.
    "RAY_SERVE_HAPROXY_LOG_TARGET": "127.0.0.1:514 sample 1:1000000",
    "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),
    # Serve's own bound of a gRPC message is 2 GiB, kept in memory before anybody is asked for a
    # token; a service sets it by ``serving.max_body_kb``.
    "RAY_SERVE_GRPC_MAX_MESSAGE_SIZE": str(16 * 2**20),
    # Predictions take a shorter way through a replica's server; see that module.
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "raymm.serving.ingress:middlewares",
    # A local cluster listens on loopback only and ends with its command; without an explicit
    # mode Ray writes a token file that everyone on the machine can read.
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    # A replica that dies takes with it what it had not begun to answer; asked again, another one
    # answers. Predictions and labels may be sent twice, and bodies that HAProxy does not hold
    # whole (16 kB) are not.
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
    # How long a client may send nothing in the middle of its request; Serve's own is an hour, and
    # HAProxy holds 4096 connections. No time is set for the whole of a request's head.
    "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "30",
    # A replica behind HAProxy goes on for 30 s after it was taken out, so that balancers outside
    # notice; on one machine HAProxy is told at once.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
    # A monitor's thread that outlives its cluster must not start another one.
    "RAY_ENABLE_AUTO_CONNECT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Set before Ray starts, where the user has not set them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A connection to Ray.

    Attributes
    ----------
    address : str
        Of the cluster's control service.
    started : bool
        Whether this connection started the cluster, and so ends it.
    cpus : float
        CPUs of the whole cluster.
    metrics : str
        Address of this node's metrics page; empty where it is not known.
    """

    address: str
    started: bool
    cpus: float
    metrics: str = ""


@contextlib.contextmanager
def connect(
    config: RayConfig, *, cpus: int | None = None, serving: bool = False
) -> Iterator[Connection]:
    """Join or start a cluster, and leave it as it was found.

    Where Ray runs in this process already, that is used and left alone. "auto" joins the cluster
    that RAY_ADDRESS names (a Ray job's own cluster names itself so) and else starts one on
    loopback; "local" always starts one; any other address is joined.

    Parameters
    ----------
    cpus : int or None
        CPUs of a cluster that is started; ``config.cpus`` counts where it is None, and the
        machine's own where both are.
    serving : bool
        Whether Serve will run on it: one CPU more is declared then, so that its controller and a
        replica never wait for each other on a small machine.

    Raises
    ------
    ClusterError
        When the cluster cannot be reached or started.
    """
    import ray

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    if ray.is_initialized():
        yield _connection(started=False)
        return
    address, joining = config.address, joins(config)
    folder = None if joining else tempfile.mkdtemp(prefix="rm", dir=_short_folder())
    try:
        if folder is None:
            _join(os.environ["RAY_ADDRESS"] if address == "auto" else address)
        else:
            wanted = cpus or config.cpus
            _start(folder, wanted if wanted is None else wanted + int(serving))
        yield _connection(started=not joining)
    finally:
        _settle()
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def joins(config: RayConfig) -> bool:
    """Return whether `connect` joins a cluster that is there; else it starts one here."""
    ray = sys.modules.get("ray")  # where it is not imported yet, it does not run in this process
    if ray is not None and ray.is_initialized():
        return True
    if config.address == "auto":
        return bool(os.environ.get("RAY_ADDRESS"))
    return config.address != "local"


def _settle() -> None:
    # A search that met its deadline leaves a thread that ends its workers; Ray must not go away
    # under it.
    for thread in threading.enumerate():
        if thread.name.startswith("raymm-"):
            thread.join(30)


def _short_folder() -> str | None:
    # A socket's path holds 107 bytes, and Ray's own part takes about 65 of them.
    own = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    return own if len(own) <= 24 else "/tmp"  # noqa: S108 - made with mkdtemp


def _start(folder: str, cpus: int | None) -> None:
    import ray

    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
            _node_ip_address=LOOPBACK,
            _temp_dir=folder,
        )
    except Exception as error:
        raise ClusterError(
            f"Ray could not be started here: {str(error).rstrip('.')}. Look for free memory, for a "
            "folder that can be written (TMPDIR), and whether other programs keep the processors "
            "busy; the same command again goes on from here."
        ) from error


def _join(address: str) -> None:
    import ray

    if address.startswith(("http://", "https://")):
        raise ClusterError(
            f"{address} is a dashboard's address; runs are sent there with raymm submit. "
            "Give the cluster's own address, HOST:6379, or ray://HOST:10001."
        )
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        raise ClusterError(
            f"The Ray cluster at {address} cannot be reached: {error}. Check ray.address and "
            "RAY_ADDRESS, or set ray.address to local."
        ) from error


def _connection(*, started: bool) -> Connection:
    import ray

    context = ray.get_runtime_context()
    here = context.get_node_id()
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    node = next((node for node in nodes if node["NodeID"] == here), {})
    port = node.get("MetricsExportPort")
    return Connection(
        address=context.gcs_address,
        started=started,
        cpus=_cpus(),
        metrics=f"http://{node['NodeManagerAddress']}:{port}/metrics" if port else "",
    )


def _cpus() -> float:
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return float(resources.get("CPU", 0.0))


def check_resources(cpus: float) -> float:
    """Return the connected cluster's CPUs, once it is sure that ``cpus`` can ever be had.

    Raises
    ------
    ClusterError
        When the whole cluster has fewer; Ray itself would wait for ever.
    """
    there = _cpus()
    if there < cpus:
        raise ClusterError(
            f"{cpus:g} CPUs are needed, but the whole cluster has {there:g}. "
            "Ask for less, add a node, or give a local cluster more with ray.cpus."
        )
    return there


def submit(
    entrypoint: str,
    address: str,
    *,
    working_dir: str | Path | None = None,
    runtime_env: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> int:
    """Run a shell command as a job on a cluster, printing its output as it comes.

    Parameters
    ----------
    entrypoint : str
        Say ``raymm run churn.yaml --json``.
    address : str
        Of the cluster's dashboard, ``http://HOST:8265``.
    working_dir : str, Path or None
        A folder that is sent along and made the job's current one.

    Returns
    -------
    int
        0 where the job succeeded, else its exit code, or 1 where it has none.

    Raises
    ------
    ClusterError
        When the cluster cannot be reached or refuses the job.
    Interrupted
        After Ctrl-C; the job was told to stop.
    """
    from ray.job_submission import JobSubmissionClient

    environment = dict(runtime_env or {})
    if working_dir is not None:
        environment["working_dir"] = str(working_dir)
    try:
        client = JobSubmissionClient(address, headers=dict(headers or {}))
        job = client.submit_job(entrypoint=entrypoint, runtime_env=environment)
    except Exception as error:
        raise ClusterError(
            f"The job could not be submitted to {address}: {error}. "
            "Give the dashboard's address, such as http://127.0.0.1:8265."
        ) from error
    try:
        return _follow(client, job)
    except KeyboardInterrupt:
        with contextlib.suppress(Exception):
            client.stop_job(job)
        raise Interrupted(f"Interrupted; job {job} was told to stop.") from None


def _follow(client: Any, job: str) -> int:
    # Logs are polled: following them through the client's event loop would need one of our own,
    # and a log line that comes half a second later harms nobody.
    shown = 0
    while True:
        status = client.get_job_status(job)
        logs = client.get_job_logs(job)
        print(logs[shown:], end="", flush=True)
        shown = len(logs)
        if status.is_terminal():
            break
        time.sleep(0.5)
    if str(status.value) == "SUCCEEDED":
        return 0
    code = getattr(client.get_job_info(job), "driver_exit_code", None)
    return int(code) if code else 1
