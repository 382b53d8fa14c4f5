import itertools
from collections import Counter

import pytest

from raymm.search import Float, create
from raymm.search.hyperband import Brackets

# Li et al. 2018, table 1: n_i and r_i of the brackets for R = 81, eta = 3.
PUBLISHED = [
    [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
    [(34, 3), (11, 9), (3, 27), (1, 81)],
    [(15, 9), (5, 27), (1, 81)],
    [(8, 27), (2, 81)],
    [(5, 81)],
]


def test_brackets_are_those_of_the_paper() -> None:
    search = create(
        "hyperband", {"x": Float(0, 1)}, seed=0, mode="min", min_budget=1, max_budget=81
    )
    for bracket in PUBLISHED:
        asked = []
        for _ in range(sum(count for count, _ in bracket)):
            (suggestion,) = search.suggest(1)
            asked.append(suggestion)
            search.observe(suggestion.id, suggestion.config["x"])
        assert Counter(s.budget for s in asked) == {budget: count for count, budget in bracket}
        for (count, low), (fewer, high) in itertools.pairwise(bracket):
            below = sorted(
                {s.id: s.config["x"] for s in asked if s.budget == low}.items(), key=lambda i: i[1]
            )
            assert len(below) == count
            assert {s.id for s in asked if s.budget == high} == {n for n, _ in below[:fewer]}


def test_while_a_bracket_waits_the_next_one_starts() -> None:
    brackets = Brackets((1, 3, 9))
    rungs = []
    for n in range(9 + 5 + 3 + 1):
        step = brackets.next()
        assert step.id is None
        rungs.append(step.rung)
        brackets.start(f"t{n}", step.rung)
    assert rungs == [0] * 9 + [1] * 5 + [2] * 3 + [0]
    for n in range(9):
        brackets.record(f"t{n}", 0, float(n))
    assert [brackets.next().id for _ in range(3)] == ["t0", "t1", "t2"]


def test_failures_leave_their_places_empty() -> None:
    brackets = Brackets((1, 3, 9))
    for n in range(9):
        brackets.start(f"t{n}", brackets.next().rung)
        brackets.record(f"t{n}", 0, None if n < 7 else float(n))
    assert [brackets.next() for _ in range(2)] == [("t7", 1), ("t8", 1)]
    brackets.record("t7", 1, None)
    brackets.record("t8", 1, None)
    assert brackets.next() == (None, 1)


@pytest.mark.parametrize("asked", [0, 4])
def test_asking_again_where_nothing_starts_changes_nothing(asked) -> None:
    first, second = Brackets((1, 3)), Brackets((1, 3))
    for brackets in (first, second):
        for n in range(asked):
            brackets.start(f"t{n}", brackets.next().rung)
    for _ in range(3):
        first.next()
    assert first.next() == second.next()
