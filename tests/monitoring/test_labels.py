from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.monitoring.labels import LONGEST_LABEL, SURELY_AWAY, Labels, Pair


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


def test_a_label_whose_prediction_was_not_sampled_is_no_orphan_and_not_too_late() -> None:
    labels = Labels(most=10_000)
    names = [f"id-{number}" for number in range(400)]
    among = names[::9]
    labels.sampled(10.0)
    labels = Labels(most=10_000).restore(json.loads(json.dumps(labels.state())))
    told(labels, *among, now=10.0)
    pairs = learnt(labels, *names, now=20.0)
    assert len(pairs) == len(among) > 20
    assert (labels.orphaned, labels.counts["labels"]) == (0, 400)
    assert labels.counts["unsampled"] == 400 - len(among)
    assert (labels.counts["too_late"], labels.counts["joined"]) == (0, len(among))
    again = Labels(most=10_000).restore(json.loads(json.dumps(labels.state())))
    told(again, next(name for name in names if name not in among), now=30.0)
    assert again.counts["unsampled"] == labels.counts["unsampled"] - 1
    later = Labels(most=10_000)
    later.sampled(10.0)
    learnt(later, *names, now=11.0 + SURELY_AWAY)
    assert later.orphaned == 400


def test_where_predictions_were_thinned_and_not_sampled_the_later_reason_is_told() -> None:
    for sampled_at, counts in ((1.0, (1, 0)), (3.0, (0, 1))):
        labels = Labels(most=10)
        told(labels, *(f"row {n}" for n in range(200)), now=2.0)
        labels.sampled(sampled_at)
        labels._least = 0.0  # else it is the name's hash that says whether it may be gone
        learnt(labels, "unknown", now=4.0)
        assert (labels.counts["too_late"], labels.counts["unsampled"]) == counts


def test_a_state_of_before_joined_labels_were_counted_tells_them() -> None:
    labels = Labels(most=100)
    told(labels, "a", "b", "c")
    learnt(labels, "a", "a", "b", "nobody's")
    state = json.loads(json.dumps(labels.state()))
    del state["counts"]["joined"], state["counts"]["unsampled"]
    assert Labels(most=100).restore(state).counts == labels.counts
    assert labels.counts["joined"] == 2


def test_a_prediction_that_was_told_though_others_were_not_meets_its_early_label() -> None:
    labels = Labels(most=10)
    labels.sampled(0.0)
    learnt(labels, "a")
    assert labels.orphaned == 0
    (pair,) = told(labels, "a")
    assert (pair.truth, labels.orphaned) == (1, 0)


def test_labels_without_predictions_give_way_oldest_first() -> None:
    labels = Labels(most=4)
    learnt(labels, "v", "w", "x", "y", "z")
    assert (labels.counts["expired"], labels.orphaned) == (1, 5)
    assert told(labels, "v") == []
    assert len(told(labels, "w")) == 1
    labels.forget(1)
    assert labels.waiting(1) == 0


def test_up_to_the_limit_every_prediction_waits() -> None:
    labels = Labels(most=100)
    names = [f"row {n}" for n in range(100)]
    told(labels, *names, now=0.0)
    assert (labels.waiting(1), labels.thinned(1)) == (100, 0)
    assert len(learnt(labels, *names, now=1e9)) == 100
    assert (labels.counts["too_late"], labels.orphaned) == (0, 0)


def played(labels: Labels, *, rows: int, late: int) -> dict[int, list[str]]:
    """Two versions answer every row, and its label comes ``late`` rows later; returns who met."""
    met: dict[int, list[str]] = {1: [], 2: []}
    for row in range(0, rows, 10):
        names = [f"row {n}" for n in range(row, row + 10)]
        for version in (1, 2):
            told(labels, *names, version=version, now=float(row))
        for n in range(row - late, row - late + 10):
            if n >= 0:
                for pair in learnt(labels, f"row {n}", now=float(row)):
                    met[pair.version].append(f"row {n}")
    return met


def test_of_too_many_the_newest_half_stays_whole() -> None:
    labels = Labels(most=400)
    met = played(labels, rows=4000, late=90)  # 180 predictions wait for a prompt label
    assert met[1] == met[2] == [f"row {n}" for n in range(3910)]
    told(labels, *(f"unlabelled {n}" for n in range(5000)))
    assert len(learnt(labels, *(f"unlabelled {n}" for n in range(4800, 5000)))) == 200


@pytest.mark.slow
def test_labels_later_than_the_room_meet_a_sample_of_both_versions() -> None:
    """20,000 rows of labels 4,000 rows late, of two versions; 800 predictions may wait.

    Of an age ``a`` beyond the newest 400 predictions the share ``c / a`` stays, where the sum of
    ``c / a`` up to 8,000 is the room of the rest, 300 to 400: ``c`` is 100 at least, so that of
    2 * 16,000 predictions 100 / 8,000 are met, 200 ids. Half of it allows for six deviations.
    """
    labels = Labels(most=800)
    met = played(labels, rows=20_000, late=4000)
    assert met[1] == met[2]
    assert len(met[1]) > 100
    tenths = np.histogram([int(name[4:]) for name in met[1]], bins=4)[0]
    assert tenths.min() > 10
    assert sum(labels.waiting(version) for version in (1, 2)) <= 800
    assert len(met[1]) + labels.orphaned + labels.counts["too_late"] == labels.counts["labels"]
    assert labels.orphaned < 20
    assert labels.counts["thinned"] == labels.thinned(1) + labels.thinned(2)


@pytest.mark.slow
def test_labels_never_coming_leave_a_sample_of_every_age() -> None:
    """Of ages up to 15,000 rows, 200 to 400 wait: 0.69 / 4.3 of them in each doubling of the age.

    That is 32 at least; half of it allows for three deviations, and the seedless hash for no other
    outcome tomorrow.
    """
    labels = Labels(most=800)
    for start in range(0, 30_000, 100):
        told(labels, *(f"row {n}" for n in range(start, start + 100)))
    for age in (400, 1600, 6400, 12_800):
        names = [f"row {n}" for n in range(30_000 - 2 * age, 30_000 - age)]
        assert len(learnt(labels, *names)) > 16


def test_a_label_of_a_thinned_prediction_is_no_orphan() -> None:
    labels = Labels(most=100)
    learnt(labels, "nobody's")
    names = [f"row {n}" for n in range(150)]
    told(labels, *names, now=5.0)
    met = len(learnt(labels, *names, now=6.0))
    assert met == 150 - labels.counts["thinned"] < 100
    # 151 labels are more than are remembered: that of nobody has gone by now.
    assert labels.counts["too_late"] + labels.orphaned == labels.counts["thinned"] + 1
    assert labels.orphaned == 1
    learnt(labels, "early", now=7.0)
    assert labels.counts["too_late"] == 151 - met
    assert len(told(labels, "early", now=8.0)) == 1
    assert (labels.counts["too_late"], labels.orphaned) == (150 - met, 1)
    learnt(labels, "nobody's either", now=6.0 + SURELY_AWAY)
    assert (labels.counts["too_late"], labels.orphaned) == (150 - met, 2)


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
    assert counts["predictions"] == len(pairs) + waiting + counts["thinned"] + counts["repeated"]
    assert len({(pair.version, pair.number) for pair in pairs}) == len(pairs)
    became = ("joined", "doubled", "too_late", "unsampled", "unreadable")
    assert sum(counts[kind] for kind in became) + labels.orphaned == counts["labels"]
    assert len({pair.key for pair in pairs}) <= counts["joined"] <= len(pairs)


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
