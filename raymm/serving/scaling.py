"""How Serve runs the replicas and where it listens, as Serve itself is told.

Serve's own rule adds replicas where many requests are there at once. Where those that would wait
are refused hardly any are, however many come, so the work that is asked for counts, too.
"""

from __future__ import annotations

from typing import Any

from raymm.sections import ServingConfig

_TARGET_ONGOING = 8
"""Requests a replica is busy with before autoscaling adds another; one core answers one at once."""
LOAD = "load"
"""Under this name a replica tells what is asked of its slow versions, as a share of what it can."""
_SHARE = 0.9
"""Of the load, what a replica counts: always at work it is one, and a tenth more needs another."""
_MOST = 2.0
"""Load that a replica counts at most: who is refused and asks again at once counts many times."""


def options(config: ServingConfig) -> dict[str, Any]:
    """Return the options of the Serve deployment.

    The health check's period bounds how long a dead replica stays unnoticed; what it held is lost
    with it, and HAProxy sends what it could not hand over to another one.
    """
    replicas = config.replicas
    scaling: dict[str, Any] = {"num_replicas": replicas.min}
    if replicas.max > replicas.min:
        scaling = {
            "autoscaling_config": {
                "min_replicas": replicas.min,
                "max_replicas": replicas.max,
                "target_ongoing_requests": min(_TARGET_ONGOING, config.max_queued),
                "policy": {"policy_function": f"{__name__}:{replicas_wanted.__name__}"},
            }
        }
    return scaling | {
        "max_ongoing_requests": config.max_queued,
        "max_queued_requests": config.max_queued,
        "health_check_period_s": 2,
        "health_check_timeout_s": 30,
        "graceful_shutdown_wait_loop_s": 1,
        "graceful_shutdown_timeout_s": 20,
        "ray_actor_options": {"num_cpus": 1},
        "logging_config": {"enable_access_log": False, "log_level": "WARNING"},
    }


def replicas_wanted(context: Any) -> tuple[float, dict[str, Any]]:
    """Return how many replicas what was asked for of late needs; Serve calls it.

    Those that answer one call after the other, and refuse none, are enough.

    Parameters
    ----------
    context : ray.serve.config.AutoscalingContext

    Returns
    -------
    float, dict
        Before the bounds and delays of the configuration; and a state that is not needed.
    """
    by_requests = context.total_num_requests / context.config.get_target_ongoing_requests()
    loads = (context.aggregated_metrics or {}).get(LOAD, {})
    return max(by_requests, sum(min(load, _MOST) for load in loads.values()) * _SHARE), {}


SERVICER = "raymm.serving.grpc_protocol.add_to_server"
"""What Serve is told of the Open Inference Protocol over gRPC."""


def message_bytes(config: ServingConfig) -> int:
    """Return the most bytes of a gRPC message: an answer may be longer than what was asked.

    >>> message_bytes(ServingConfig(max_body_kb=2048))
    8388608
    """
    return min(max(4 * 2**20, 4 * 1024 * config.max_body_kb), 2**31 - 1)


def listening(config: ServingConfig) -> dict[str, dict[str, Any]]:
    """Return where Serve listens: ``http_options``, and ``grpc_options`` where there is a port."""
    http: dict[str, Any] = {"host": config.host, "port": config.port}
    if config.certificate and config.key:
        http |= {"ssl_certfile": str(config.certificate), "ssl_keyfile": str(config.key)}
    if config.grpc_port is None:
        return {"http_options": http}
    grpc = {"port": config.grpc_port, "grpc_servicer_functions": [SERVICER]}
    return {"http_options": http, "grpc_options": grpc}
