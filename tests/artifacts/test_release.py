"""What is stored of a release can be read again."""

from __future__ import annotations

from raymm.artifacts import Candidate, Frontier, Score, Version, as_record, from_record


def test_frontiers_and_versions_come_back_equal():
    candidate = Candidate(
        technique="truncate",
        parameters={"keep": 0.5},
        score=0.9,
        loss=Score(metric="m", value=0.0, low=-0.1, high=0.1),
        bytes=10,
        row_microseconds=1.5,
        chosen=True,
        slow_microseconds=2.0,
        thousand_microseconds=800.0,
        graph_bytes=99,
        heap_bytes=999,
    )
    frontier = Frontier(candidates=(candidate,), metric="m", max_loss=0.005, rows=5)
    version = Version(
        name="n", number=1, bundle="ab", bundle_bytes=3, run="r", blessed=True, created="now"
    )
    assert from_record(Frontier, as_record(frontier)) == frontier
    assert from_record(Version, as_record(version)) == version


def test_candidates_of_older_versions_can_be_read():
    record = {
        "technique": "none",
        "parameters": {},
        "score": 0.9,
        "loss": {"metric": "m", "value": 0.0, "low": 0.0, "high": 0.0},
        "bytes": 10,
        "row_microseconds": 1.5,
        "chosen": True,
    }
    found = from_record(Candidate, record)
    assert found.chosen
    assert (found.slow_microseconds, found.thousand_microseconds) == (0, 0)
    assert (found.graph_bytes, found.heap_bytes) == (0, 0)
