from __future__ import annotations

import pytest

from raymm.compression import trying
from raymm.compression.compressor import Compressor
from raymm.compression.prune import Prune
from raymm.compression.schedule import Schedule
from raymm.compression.trying import _Way

SIZES = [{"size": size} for size in (0.5, 0.3, 0.15, 0.07)]


def tried(smallest, *, plan, technique=None, near=0.0, least=0.0):
    """Return the sizes that are tried, in their order, where all from one on are good.

    Those that are no smaller than ``near`` are near it; for those below ``least`` is no time.
    """
    way, found = _Way.of(technique or Prune(), list(SIZES), plan), []
    while way.recipes:
        recipe = way.recipes.pop(0)
        if found and recipe["size"] < least:
            way.refuse()
            continue
        found.append(recipe["size"])
        near_it = bool(near) and recipe["size"] >= near
        way.learn(recipe, good=recipe["size"] >= smallest, near=near_it)
    return found


@pytest.fixture
def hurried():
    return Schedule(left=lambda: 100.0)


def test_without_a_clock_sizes_fall(hurried):
    assert tried(0.2, plan=Schedule()) == [0.5, 0.3, 0.15, 0.2121]
    assert tried(0.01, plan=Schedule()) == [0.5, 0.3, 0.15, 0.07]
    assert tried(0.2, plan=Schedule(most=trying.LEAST)) == [0.5, 0.3, 0.15, 0.07]


def test_where_the_clock_decides_they_begin_in_the_middle(hurried):
    assert tried(0.01, plan=hurried) == [0.3, 0.15, 0.07]
    assert tried(0.1, plan=hurried) == [0.3, 0.15, 0.07, 0.1025]
    # Back to a finer one, and then between it and the one that lost too much.
    assert tried(0.35, plan=hurried) == [0.3, 0.5, 0.3873]
    assert tried(0.45, plan=hurried) == [0.3, 0.5, 0.3873]
    # None is good: what is left lies between the whole and the last.
    assert tried(2.0, plan=hurried) == [0.3, 0.5, 0.7071, 0.8409]


def test_after_one_that_is_nearly_good_comes_what_lies_halfway_to_the_finer_one(hurried):
    assert tried(0.38, plan=hurried, near=0.25) == [0.3, 0.3873]
    assert tried(0.45, plan=hurried, near=0.25) == [0.3, 0.3873, 0.5]
    # Where there is no time for it, the finer one that was made already.
    assert tried(0.35, plan=hurried, near=0.25, least=0.4) == [0.3, 0.5]


def test_finer_ones_that_were_made_on_the_way_are_due_until_one_is_good(hurried):
    sizes = [{"size": size} for size in (1.0, 0.5, 0.3, 0.15, 0.07)]
    way = _Way.of(Prune(), sizes, hurried)
    due = []
    while way.recipes:
        recipe = way.recipes.pop(0)
        due.append((recipe["size"], way.made(recipe)))
        way.learn(recipe, good=recipe["size"] >= 0.5, near=False)
    assert due == [(0.3, False), (0.5, True), (0.3873, False)]


def test_finer_ones_are_tried_where_the_others_cannot_be_made(hurried):
    way = _Way.of(Prune(), list(SIZES), hurried)
    assert way.recipes.pop(0)["size"] == 0.3
    way.fail(over=False)
    assert way.recipes.pop(0)["size"] == 0.15
    way.fail(over=True)
    assert (way.recipes, way.finer, way.sought) == ([{"size": 0.5}], [], True)
    way.recipes.pop()
    way.fail(over=True)
    assert way.recipes == []


def test_a_finer_one_is_tried_where_what_lies_halfway_to_it_cannot_be_made(hurried):
    way = _Way.of(Prune(), list(SIZES), hurried)
    way.learn(way.recipes.pop(0), good=False, near=True)
    assert way.recipes.pop(0)["size"] == 0.3873
    way.fail(over=False)
    assert (way.recipes, way.made({"size": 0.5})) == ([{"size": 0.5}], True)


def test_a_technique_whose_forms_stand_alone_begins_with_the_first(hurried):
    class Alone(Prune):
        chained = False

    assert tried(0.01, plan=hurried, technique=Alone()) == [0.5, 0.3, 0.15, 0.07]
    assert not Compressor.chained
