"""How Serve runs the replicas and where it listens, as Serve itself is told."""

from __future__ import annotations

from typing import Any

from raymm.sections import ServingConfig

_TARGET_ONGOING = 8
"""Requests a replica is busy with before autoscaling adds another; one core answers one at once."""


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
                "target_ongoing_requests": _target(config),
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


def _target(config: ServingConfig) -> int:
    """Return how many requests a replica is busy with before another is added.

    Where none may wait for long, those that would are gone at once, and few are ever there: one
    that has one at work all the time is busy.
    """
    return 1 if config.max_wait is not None else min(_TARGET_ONGOING, config.max_queued)


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
