from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.monitoring.labels import LONGEST_LABEL, Labels, Pair


def read(version: int, label: Any) -> float | None:
    return float(label) if isinstance(label, int | float) else None


def told(labels: Labels, *ids: str, version: int = 1, now: float = 0.0) -> list[Pair]:
    rows = np.arange(len(ids), dtype=np.float32)
    return labels.predicted(version, ids, rows, now=now, read=read)


def learnt(labels: Labels, *ids: str, label: Any = 1, now: float = 0.0) -> list[Pair]:
    return labels.labelled(ids, [label] * len(ids), now=now, read=read)


def value(pair: Pair) -> float:
    return float(np.frombuffer(pair.row, np.float32)[0])


def test_a_late_label_meets_its_prediction_and_the_second_is_counted() -> None:
    labels = Labels(most=10)
    assert told(labels, "a", "b", now=5.0) == []
    (pair,) = learnt(labels, "b", label=0, now=65.0)
    assert (pair.version, pair.number, value(pair), pair.truth, pair.delay) == (1, 1, 1, 0, 60)
    assert learnt(labels, "b", label=1) == []
    assert (labels.counts["doubled"], labels.orphaned, labels.waiting(1)) == (1, 0, 1)


def test_a_label_that_comes_first_waits_for_its_prediction() -> None:
    labels = Labels(most=10)
    assert learnt(labels, "a") == []
    assert labels.orphaned == 1
    (pair,) = told(labels, "a")
    assert (pair.truth, pair.delay, labels.orphaned) == (1, 0, 0)
    assert learnt(labels, "a") == []
    assert labels.counts["doubled"] == 1


def test_an_unreadable_label_that_came_first_leaves_room_for_a_better_one() -> None:
    labels = Labels(most=10)
    learnt(labels, "a", label="neither")
    assert told(labels, "a") == []
    (pair,) = learnt(labels, "a", label=1)
    assert (pair.truth, labels.orphaned) == (1, 0)
    assert (labels.counts["unreadable"], labels.counts["doubled"]) == (1, 0)


def test_a_label_reaches_every_version_that_predicted_its_row() -> None:
    labels = Labels(most=10)
    told(labels, "a", version=1)
    told(labels, "a", version=2)
    assert [pair.version for pair in learnt(labels, "a")] == [1, 2]
    assert [pair.version for pair in told(labels, "a", version=3)] == [3]
    assert told(labels, "a", version=3) == []
    assert labels.counts["repeated"] == 1


def test_the_oldest_give_way_and_are_counted() -> None:
    labels = Labels(most=4)
    told(labels, "a", "b", "c")
    told(labels, "d", "e", version=2)
    assert (labels.waiting(1), labels.waiting(2), labels.counts["dropped"]) == (2, 2, 1)
    assert learnt(labels, "a") == []  # its prediction has gone
    assert len(learnt(labels, "b", "d")) == 2
    learnt(labels, "w", "x", "y", "z")
    assert (labels.counts["expired"], labels.orphaned) == (1, 5)
    labels.forget(1)
    assert labels.waiting(1) == 0


@pytest.mark.parametrize("label", ["word", None, [1], "9" * (LONGEST_LABEL + 1)])
def test_a_label_that_cannot_be_read_leaves_room_for_a_better_one(label: Any) -> None:
    labels = Labels(most=4)
    told(labels, "a")
    assert learnt(labels, "a", label=label) == []
    assert labels.counts["unreadable"] == 1
    assert len(learnt(labels, "a", label=1)) == 1


EVENTS = st.lists(
    st.tuples(st.sampled_from(["told", "learnt"]), st.integers(1, 3), st.integers(0, 30)),
    max_size=60,
)


@given(events=EVENTS, most=st.integers(1, 12), cut=st.integers(0, 60))
def test_a_restart_changes_nothing_and_memory_is_bounded(
    events: list[tuple[str, int, int]], most: int, cut: int
) -> None:
    steady, restarted = Labels(most=most), Labels(most=most)
    for place, (kind, version, name) in enumerate(events):
        if place == cut:
            restarted = Labels(most=most).restore(json.loads(json.dumps(restarted.state())))
        for labels in (steady, restarted):
            if kind == "told":
                told(labels, str(name), version=version, now=float(place))
            else:
                learnt(labels, str(name), now=float(place))
        assert steady.state() == restarted.state()
        assert sum(steady.waiting(v) for v in (1, 2, 3)) <= most
        assert len(steady.state()["told"]["labels"]) <= most


@given(events=EVENTS)
def test_nothing_is_lost_from_the_counts(events: list[tuple[str, int, int]]) -> None:
    labels = Labels(most=5)
    pairs: list[Pair] = []
    for kind, version, name in events:
        found = told(labels, str(name), version=version) if kind == "told" else None
        pairs += learnt(labels, str(name)) if found is None else found
    counts = labels.counts
    waiting = sum(labels.waiting(v) for v in (1, 2, 3))
    assert counts["predictions"] == len(pairs) + waiting + counts["dropped"] + counts["repeated"]
    assert len({(pair.version, pair.number) for pair in pairs}) == len(pairs)


def test_no_state_holds_an_id() -> None:
    labels = Labels(most=5)
    told(labels, "somebody@example.com")
    learnt(labels, "another@example.com")
    assert "example" not in json.dumps(labels.state())


def test_a_state_that_does_not_add_up_is_refused() -> None:
    labels = Labels(most=5)
    told(labels, "a")
    state = labels.state()
    state["waiting"]["1"]["rows"] = ""
    with pytest.raises(ValueError, match="add up"):
        Labels(most=5).restore(state)
