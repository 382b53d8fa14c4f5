"""What Ray Tune costs a trial: ``python tests/benchmarks/bench_tune.py``.

Fails when a trial of a function that does nothing costs 100 ms or more, with two workers, after
the first result.
"""

from __future__ import annotations

import sys
import tempfile
import time

import numpy as np

from raymm.artifacts import Float
from raymm.cluster import connect
from raymm.config import RayConfig
from raymm.search.ledger import Ledger
from raymm.search.random import Random

TRIALS = 100
BOUND = 0.1


def main() -> int:
    """Print the seconds of each part; return 0 where the bound is kept."""
    began = time.perf_counter()
    ends: list[float] = []
    space = {"x": Float(-1.0, 1.0)}
    searcher = Random(space, mode="minimize", generator=np.random.default_rng(0))
    with tempfile.TemporaryDirectory() as storage, connect(RayConfig(address="local"), cpus=2):
        connected = time.perf_counter()
        from raymm.search.tune import tune_function

        with Ledger.open(storage, "bench") as ledger:
            tune_function(
                lambda config: config["x"] ** 2,
                space,
                searcher,
                ledger,
                metric="loss",
                mode="minimize",
                trials=TRIALS,
                seconds=None,
                parallel=2,
                notify=lambda progress: ends.append(time.perf_counter()),
            )
        done = time.perf_counter()
    each = (ends[-1] - ends[0]) / (TRIALS - 1)
    print(f"cluster started in        {connected - began:6.1f} s")
    print(f"first trial ended after   {ends[0] - connected:6.1f} s")
    print(f"a trial, after the first  {1000 * each:6.1f} ms")
    print(f"the search of {TRIALS} trials   {done - connected:6.1f} s")
    return int(each >= BOUND)


if __name__ == "__main__":
    sys.exit(main())
