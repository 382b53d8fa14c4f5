"""What Serve is told of the replicas."""

from __future__ import annotations

import pytest

from raymm.sections import ServingConfig
from raymm.serving.scaling import message_bytes, options


def test_replicas_scale_where_there_may_be_more():
    assert options(ServingConfig())["num_replicas"] == 1
    scaled = options(ServingConfig(replicas={"min": 2, "max": 4}))["autoscaling_config"]
    assert (scaled["min_replicas"], scaled["max_replicas"]) == (2, 4)


@pytest.mark.parametrize(
    ("settings", "target"),
    [({}, 8), ({"max_queued": 3}, 3), ({"max_wait": 0.5}, 1), ({"max_wait": "1m"}, 1)],
)
def test_another_replica_is_asked_for_before_requests_are_refused(settings, target):
    config = ServingConfig(replicas={"min": 1, "max": 4}, **settings)
    assert options(config)["autoscaling_config"]["target_ongoing_requests"] == target


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
