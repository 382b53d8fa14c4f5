"""How Serve runs the replicas and where it listens, as Serve itself is told.

Serve's own rule adds replicas where many requests are there at once. Where those that would wait
are refused hardly any are, however many come, so the work that is asked for counts, too.
"""

from __future__ import annotations

from typing import Any

from raymm.sections import ServingConfig

_TARGET_ONGOING = 8
"""Requests a replica is busy with before autoscaling adds another; one core answers one at once."""
LOAD, REFUSED = "load", "refused"
"""Under these names a replica tells what its slow versions did, and what they refused, as shares of
what they can do."""
_SLACK = 0.15
"""Of a replica, by which what is measured may be off: one that is always at work is enough."""
_FEW = 0.01
"""Of what replicas can do, what may be refused before another is wanted."""


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

    Those that answer one call after the other, and refuse none, are enough. Refused work counts as
    much as a replica can do at most: who is refused may ask again at once.

    Parameters
    ----------
    context : ray.serve.config.AutoscalingContext

    Returns
    -------
    float, dict
        Before the bounds and delays of the configuration; and a state that is not needed.
    """
    metrics, now = context.aggregated_metrics or {}, context.current_num_replicas
    worked = sum(min(load, 1.0) for load in metrics.get(LOAD, {}).values())
    refused = sum(min(load, 1.0) for load in metrics.get(REFUSED, {}).values())
    work = worked + refused - _SLACK
    if refused > _FEW * now:
        work = max(work, now + 1)
    by_requests = context.total_num_requests / context.config.get_target_ongoing_requests()
    return max(by_requests, work, 0.0), {}


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
