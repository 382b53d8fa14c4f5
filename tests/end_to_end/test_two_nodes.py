"""A search's trials are shared by the nodes of a cluster."""

from __future__ import annotations

import json
import sys

import pytest

SCRIPT = """
import json, os, sys, tempfile, time
os.environ["RAY_AUTH_MODE"] = "disabled"
import ray
from ray.cluster_utils import Cluster
from raymm import tune
from raymm.search import Float

USED, STORAGE = sys.argv[1:]

def where(config):
    import time
    import ray
    with open(USED, "a") as out:
        out.write(ray.get_runtime_context().get_node_id() + "\\n")
    # The other node's worker may start later; a trial here waits for it, so that no node can
    # take them all.
    end = time.monotonic() + 300
    while len(set(open(USED).read().split())) < 2 and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(0.3)
    return config["x"]

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
done = tune(where, {"x": Float(0, 1)}, trials=12, storage=STORAGE, algorithm="random")
print(json.dumps({"trials": len(done.trials.trials), "nodes": len(ray.nodes())}))
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.ray
def test_two_raylets_share_a_searchs_trials(command, tmp_path):
    script = tmp_path / "nodes.py"
    script.write_text(SCRIPT)
    used = tmp_path / "used.txt"
    done = command.call(used, tmp_path / "s", program=(sys.executable, str(script)), timeout=600)
    assert done.code == 0, done.err
    assert json.loads(done.out.splitlines()[-1]) == {"trials": 12, "nodes": 2}
    nodes = used.read_text().split()
    assert len(nodes) == 12
    assert len(set(nodes)) == 2
