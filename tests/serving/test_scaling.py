"""What Serve is told of the replicas."""

from __future__ import annotations

from raymm.sections import ServingConfig
from raymm.serving.scaling import message_bytes, options


def test_replicas_scale_where_there_may_be_more():
    assert options(ServingConfig())["num_replicas"] == 1
    scaled = options(ServingConfig(replicas={"min": 2, "max": 4}))["autoscaling_config"]
    assert (scaled["min_replicas"], scaled["max_replicas"]) == (2, 4)


def test_ray_takes_them():
    from ray.serve._private.config import DeploymentConfig

    made = options(ServingConfig(max_queued=7, replicas={"min": 1, "max": 2}))
    known = {key: value for key, value in made.items() if key in DeploymentConfig.model_fields}
    checked = DeploymentConfig(**known)
    assert checked.max_ongoing_requests == 7
    assert checked.health_check_period_s == 2


def test_a_grpc_message_is_bounded_before_anybody_asks_for_a_token():
    from raymm.cluster import ENVIRONMENT

    assert int(ENVIRONMENT["RAY_SERVE_GRPC_MAX_MESSAGE_SIZE"]) == 16 * 2**20
    assert message_bytes(ServingConfig()) == 4 * 2**20
    assert message_bytes(ServingConfig(max_body_kb=2**40)) == 2**31 - 1
