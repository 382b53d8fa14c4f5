"""What Serve is told of the replicas."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from raymm.sections import ServingConfig
from raymm.serving.scaling import LOAD, REFUSED, message_bytes, options, replicas_wanted


def test_replicas_scale_where_there_may_be_more():
    assert options(ServingConfig())["num_replicas"] == 1
    scaled = options(ServingConfig(replicas={"min": 2, "max": 4}))["autoscaling_config"]
    assert (scaled["min_replicas"], scaled["max_replicas"]) == (2, 4)


@pytest.mark.parametrize(("settings", "target"), [({}, 8), ({"max_queued": 3}, 3)])
def test_another_replica_is_asked_for_before_requests_are_refused(settings, target):
    config = ServingConfig(replicas={"min": 1, "max": 4}, **settings)
    assert options(config)["autoscaling_config"]["target_ongoing_requests"] == target


@pytest.mark.parametrize(
    ("requests", "replicas", "load", "refused", "wanted"),
    [
        (0, 1, [], [], 0),
        (4, 1, [0.0], [0.0], 1),
        (20, 2, [0.0, 0.0], [0.0, 0.0], 3),
        (1, 1, [1.0], [0.0], 1),  # always at work, for one client
        (1, 1, [1.05], [0.0], 1),  # as far as can be measured
        (9, 9, [1.0] * 9, [0.0] * 9, 9),
        (2, 1, [1.0], [0.3], 2),
        (2, 1, [0.4], [0.03], 2),  # those that come by chance while others are at work
        (2, 3, [0.2, 0.2, 0.2], [0.02, 0.0, 0.0], 1),  # too few for another
        (2, 1, [1.0], [50.0], 2),  # who is refused asks again at once
        (2, 2, [1.0, 1.0], [50.0, 0.5], 4),
    ],
)
def test_replicas_are_wanted_for_requests_and_for_work(requests, replicas, load, refused, wanted):
    """As Ray rounds what its own policy finds: up."""
    told = {LOAD: dict(enumerate(load)), REFUSED: dict(enumerate(refused))}
    context = SimpleNamespace(
        total_num_requests=requests,
        current_num_replicas=replicas,
        config=_scaled(),
        aggregated_metrics=told if load else None,
    )
    assert math.ceil(replicas_wanted(context)[0]) == wanted


def test_serve_finds_what_it_is_to_ask():
    policy = _scaled().policy.get_policy()
    assert (policy.__module__, policy.__name__) == (replicas_wanted.__module__, "replicas_wanted")


def _scaled():
    from ray.serve.config import AutoscalingConfig  # which reads the environment

    made = options(ServingConfig(replicas={"min": 1, "max": 9}))
    return AutoscalingConfig(**made["autoscaling_config"])


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
