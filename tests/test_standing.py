from __future__ import annotations

import json
from pathlib import Path

import pytest

from raymm.artifacts import Wish
from raymm.monitoring.answered import Answered
from raymm.monitoring.loop import Mark, Situation
from raymm.standing import recall, remember

# Written by a raymm whose situations had no format version.
FIRST = (
    '{"stage": "canary", "since": 40.0, "number": 2, "trained_at": 9.0, "requests": 1000, '
    '"labels": 900, "champion": 1, "earlier": null, "settled": true}'
)


def test_a_training_that_was_cut_off_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "at.json"
    remember(path, Situation(stage="training", since=1.0, trained_at=1.0))
    assert recall(path) == Situation(stage="watching", since=1.0, trained_at=1.0)
    wish = Wish(numbers=(1, 2), told="ann@desk", claim="c", tries=1)
    remember(path, Situation(stage="training", since=1.0, wish=wish))
    assert recall(path) == Situation(stage="watching", since=1.0, wish=wish)
    path.write_text("{")
    assert recall(path) == Situation()


def test_a_situation_comes_back_as_it_was(tmp_path: Path) -> None:
    usual = Answered(requests=1000, failed=3, within=((-20, 990), (3, 7)))
    known = Situation(
        stage="probation", number=2, champion=2, earlier=1, usual=usual, counted=usual,
        marks=(Mark(at=9.0, number=2, counted=usual),),
    )  # fmt: skip
    remember(tmp_path / "at.json", known)
    assert json.loads((tmp_path / "at.json").read_text())["version"] == 1
    assert recall(tmp_path / "at.json") == known


def test_a_file_without_a_format_version_is_gone_on_from(tmp_path: Path) -> None:
    path = tmp_path / "at.json"
    path.write_text(FIRST)
    assert recall(path) == Situation(
        stage="canary", since=40.0, number=2, trained_at=9.0, requests=1000, labels=900,
        champion=1, settled=True, completed=9.0,
    )  # fmt: skip
    cut = {"stage": "training", "trained_at": 9.0, "version": 1}
    path.write_text(json.dumps(cut))
    assert (recall(path).trained_at, recall(path).completed) == (9.0, None)


def test_what_was_usual_in_older_files_is_read_without_times(tmp_path: Path) -> None:
    path = tmp_path / "at.json"
    usual = {"requests": 1000, "failed": 3, "p99": 0.01, "already": 1}
    path.write_text(json.dumps({"stage": "probation", "number": 2, "usual": usual, "version": 1}))
    assert recall(path).usual == Answered(requests=1000, failed=3)


@pytest.mark.parametrize("text", ["[]", "3", "null", json.dumps({"version": 2, "stage": "canary"})])
def test_what_cannot_be_read_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "at.json"
    path.write_text(text)
    assert recall(path) == Situation()
