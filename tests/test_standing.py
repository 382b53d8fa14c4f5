from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raymm.artifacts import Wish
from raymm.errors import RegistryError
from raymm.lease import LASTS, Lease
from raymm.monitoring.answered import Answered
from raymm.monitoring.loop import Mark, Situation
from raymm.registry.shared import SharedFile
from raymm.standing import Standing

# Written by a raymm whose situations had no format version.
FIRST = (
    '{"stage": "canary", "since": 40.0, "number": 2, "trained_at": 9.0, "requests": 1000, '
    '"labels": 900, "champion": 1, "earlier": null, "settled": true}'
)


def test_a_training_that_was_cut_off_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "at.json"
    Standing(path).remember(Situation(stage="training", since=1.0, trained_at=1.0))
    assert Standing(path).recall() == Situation(stage="watching", since=1.0, trained_at=1.0)
    wish = Wish(numbers=(1, 2), told="ann@desk", claim="c", tries=1)
    Standing(path).remember(Situation(stage="training", since=1.0, wish=wish))
    assert Standing(path).recall() == Situation(stage="watching", since=1.0, wish=wish)
    path.write_text("{")
    assert Standing(path).recall() == Situation()


def test_a_situation_comes_back_as_it_was(tmp_path: Path) -> None:
    usual = Answered(requests=1000, failed=3, within=((-20, 990), (3, 7)))
    known = Situation(
        stage="probation", number=2, champion=2, earlier=1, usual=usual, counted=usual,
        marks=(Mark(at=9.0, number=2, counted=usual),),
    )  # fmt: skip
    Standing(tmp_path / "at.json").remember(known)
    assert json.loads((tmp_path / "at.json").read_text())["version"] == 1
    assert Standing(tmp_path / "at.json").recall() == known


def test_a_file_without_a_format_version_is_gone_on_from(tmp_path: Path) -> None:
    path = tmp_path / "at.json"
    path.write_text(FIRST)
    assert Standing(path).recall() == Situation(
        stage="canary", since=40.0, number=2, trained_at=9.0, requests=1000, labels=900,
        champion=1, settled=True, completed=9.0,
    )  # fmt: skip
    cut = {"stage": "training", "trained_at": 9.0, "version": 1}
    path.write_text(json.dumps(cut))
    assert (Standing(path).recall().trained_at, Standing(path).recall().completed) == (9.0, None)


def test_what_was_usual_in_older_files_is_read_without_times(tmp_path: Path) -> None:
    path = tmp_path / "at.json"
    usual = {"requests": 1000, "failed": 3, "p99": 0.01, "already": 1}
    path.write_text(json.dumps({"stage": "probation", "number": 2, "usual": usual, "version": 1}))
    assert Standing(path).recall().usual == Answered(requests=1000, failed=3)


@pytest.mark.parametrize("text", ["[]", "3", "null", json.dumps({"version": 2, "stage": "canary"})])
def test_what_cannot_be_read_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "at.json"
    path.write_text(text)
    assert Standing(path).recall() == Situation()


def clock(now: float) -> Any:
    """Return a clock that stands still."""
    return lambda: now


@pytest.fixture
def away(tmp_path: Path) -> SharedFile:
    return SharedFile(storage=str(tmp_path / "storage"), path="keeping/m/state.json")


TRIED = Situation(stage="canary", number=2, trained_at=9.0, completed=9.0, champion=1)


def test_who_has_another_home_goes_on_from_the_copy(tmp_path: Path, away: SharedFile) -> None:
    assert Standing(tmp_path / "a.json", away).recall() == Situation()
    assert Standing(tmp_path / "a.json", away).remember(TRIED) == ""
    assert Standing(tmp_path / "b.json", away).recall() == TRIED


@pytest.mark.parametrize("behind", [0.0, 3600.0])
def test_of_a_file_and_its_copy_the_one_saved_later_counts(
    tmp_path: Path, away: SharedFile, behind: float
) -> None:
    """However far the clock of the machine that goes on is behind that of the first."""
    first, later = tmp_path / "a.json", replace(TRIED, since=50.0)
    Standing(first, away, clock=clock(5000.0)).remember(TRIED)
    other = Standing(tmp_path / "b.json", away, clock=clock(5001.0 - behind))
    assert other.recall() == TRIED
    other.remember(later)
    assert Standing(first, away).recall() == later
    alone = Standing(first, clock=clock(9000.0))  # its storage was away, and is back
    alone.remember(Situation(trained_at=70.0))
    assert Standing(first, away).recall().trained_at == 70.0


def test_a_file_from_before_there_were_copies_counts_where_there_is_none(
    tmp_path: Path, away: SharedFile
) -> None:
    path = tmp_path / "a.json"
    path.write_text(FIRST)
    standing = Standing(path, away)
    known = standing.recall()
    assert (known.stage, known.number) == ("canary", 2)
    standing.remember(known)
    assert Standing(tmp_path / "b.json", away).recall() == known
    path.write_text(FIRST)
    away.replace(b"{")
    assert Standing(path, away).recall() == known


class Flaky:
    """Storage that may refuse, and counts what is written."""

    def __init__(self) -> None:
        self.refuses, self.written = True, 0

    def read(self, limit: int) -> bytes:
        if self.refuses:
            raise RegistryError("storage is away.")
        return b""

    def replace(self, data: bytes) -> None:
        if self.refuses:
            raise RegistryError("storage is away.")
        self.written += 1


def test_storage_that_is_away_is_no_storage_that_knows_of_nothing(tmp_path: Path) -> None:
    Standing(tmp_path / "a.json").remember(TRIED)
    with pytest.raises(RegistryError):
        Standing(tmp_path / "a.json", Flaky()).recall()


def test_a_copy_is_made_once_for_each_change_and_again_where_it_failed(tmp_path: Path) -> None:
    away = Flaky()
    standing = Standing(tmp_path / "a.json", away)
    assert "storage is away" in standing.remember(TRIED)
    assert Standing(tmp_path / "a.json").recall() == TRIED
    away.refuses = False
    assert [standing.remember(TRIED) for _ in range(3)] == [""] * 3
    assert away.written == 1
    standing.remember(replace(TRIED, since=1.0))
    assert away.written == 2


def test_who_lost_the_lease_keeps_nothing_and_recalls_what_another_loop_kept(
    tmp_path: Path, away: SharedFile
) -> None:
    now = [1000.0]
    lease = SharedFile(storage=away.storage, path="keeping/m/lease.json")
    first, other = (
        Standing(
            tmp_path / f"{home}.json", away, clock=lambda: now[0],
            lease=Lease(lease, home=home, told=f"{home}@desk", clock=lambda: now[0], wait=id),
        )
        for home in ("ann", "bob")
    )  # fmt: skip
    situation, _ = first.resume(None)
    assert situation == Situation()
    first.remember(TRIED)
    found, told = other.resume(None)
    assert found is None
    assert "that of ann@desk" in told
    now[0] += LASTS  # the first is stopped in a training, say, and goes on later
    assert other.resume(None) == (TRIED, "")
    other.remember(Situation(trained_at=70.0))
    first.remember(replace(TRIED, since=50.0))
    assert first.resume(TRIED)[0] is None
    other.leave()
    assert first.resume(TRIED)[0] == Situation(trained_at=70.0)
    first.remember(TRIED)  # which it kept before, and is kept no longer
    first.leave()
    assert other.resume(None)[0] == TRIED
