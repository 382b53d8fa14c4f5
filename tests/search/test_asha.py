import math
import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from raymm.search import create
from raymm.search.asha import Ladder
from raymm.search.promotion import Step


@given(losses=st.lists(st.floats(-10, 10), min_size=1, max_size=60))
def test_what_climbs_is_in_the_best_third_of_its_rung_so_far(losses) -> None:
    ladder = Ladder((1, 3, 9, 27))
    recorded: dict[int, dict[str, float]] = {0: {}, 1: {}, 2: {}, 3: {}}
    values, started = iter(losses), 0
    for value in values:
        step = ladder.next()
        name = step.id
        if name is None:
            assert step.rung == 0
            for rung in (0, 1, 2):  # nothing could have been promoted instead
                ranked = sorted(recorded[rung].values())
                best = ranked[: len(ranked) // 3]
                climbed = [loss for n, loss in recorded[rung].items() if n in recorded[rung + 1]]
                assert all(loss <= max(climbed, default=-math.inf) for loss in best)
            name, started = f"t{started}", started + 1
            ladder.start(name, 0)
        else:
            below = recorded[step.rung - 1]
            better = sum(loss < below[name] for loss in below.values())
            assert better < len(below) // 3
            assert name not in recorded[step.rung]
        recorded[step.rung][name] = value
        ladder.record(name, step.rung, value)


def test_the_highest_rung_is_served_first() -> None:
    ladder = Ladder((1, 3, 9))
    for n in range(9):
        ladder.record(f"t{n}", 0, float(n))
    for name in ("t0", "t1", "t2"):
        assert ladder.next() == Step(name, 1)
        ladder.record(name, 1, float(name[1]))
    assert ladder.next() == Step("t0", 2)
    assert ladder.next() == Step(None, 0)


def test_ten_thousand_trials_cost_the_same_each() -> None:
    ladder = Ladder((1, 3, 9, 27, 81))
    draws = np.random.default_rng(0).random(10_000).tolist()
    started, spent = 0, []
    for part in range(2):
        begin = time.process_time()
        for value in draws[part * 5000 : part * 5000 + 5000]:
            step = ladder.next()
            started += step.id is None
            ladder.record(step.id or f"t{started}", step.rung, value)
        spent.append(time.process_time() - begin)
    # a scan of the rungs would make the second half three times as long; timing is good to two
    assert spent[1] < 2 * spent[0] + 0.05


def test_random_search_with_halving_can_be_created_by_name() -> None:
    search = create(
        "asha", {"x": {"float": [0, 1]}}, seed=0, mode="min", min_budget=1, max_budget=9
    )
    for _ in range(40):
        (asked,) = search.suggest(1)
        search.observe(asked.id, asked.config["x"])
    assert search.best.budget == 9
