"""What a replica tells Serve."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from raymm.errors import NotFound
from raymm.serving.replica import Replica
from raymm.serving.scaling import LOAD, REFUSED


def _replica(app):
    replica = Replica()
    replica.app = SimpleNamespace(app=app)
    return replica


def test_a_replica_without_a_model_is_not_well(make_client, make_served):
    client = make_client(make_served())
    replica = _replica(client.app)
    replica.check_health()
    client.app.state.models._served.clear()
    client.app.state.models.names = lambda: ("churn",)
    with pytest.raises(NotFound, match="churn"):
        replica.check_health()


def test_a_replica_tells_what_is_asked_of_it(make_client, make_served):
    client = make_client(make_served())
    batches = client.app.state.service._batches
    batches._worked, batches._refused = 1e9, 2e9
    told = _replica(client.app).record_autoscaling_stats()
    assert told[REFUSED] == 2 * told[LOAD] > 1e3
