from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from raymm.monitoring.loop import Situation, Step
from raymm.sections import EventsConfig
from raymm.telling import Telling

NOW = 5.0


def step(action: Any, reason: str = "", detail: str = "") -> Step:
    return Step(action=action, reason=reason, situation=Situation(), detail=detail)


def test_a_line_is_said_where_its_matter_stands_otherwise_than_it_did() -> None:
    said: list[str] = []
    telling = Telling("m", EventsConfig(), said.append)
    for text in ("a", "a", "b", "", "", "b"):
        telling.line("one", text)
    telling.line("other", "b")
    assert said == ["m: a", "m: b", "m: b", "m: b"]


def test_a_monitor_that_is_away_is_told_once_whatever_time_passes() -> None:
    said: list[str] = []
    telling = Telling("m", EventsConfig(), said.append)
    for text in ("", "it is away: 40 s", "it is away: 50 s", "no answer: 111", "", ""):
        telling.away(text)
    assert said == ["m: it is away: 40 s", "m: no answer: 111", "m: the monitor answers again"]


def test_a_step_that_was_told_as_it_began_is_not_told_again(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    telling = Telling("m", EventsConfig(log=str(log)), lambda _: None)
    train, end = step("train", "asked"), step("reject", "nothing better")
    telling.begins(train, number=None, now=NOW)
    telling.steps([train, end], number=1, now=NOW)
    telling.steps([step("train", "asked")], number=None, now=NOW)  # another one, like it
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(one["kind"], one["number"]) for one in events] == [
        ("train", None), ("reject", 1), ("train", None),
    ]  # fmt: skip


def test_a_failure_is_told_once_while_it_lasts() -> None:
    said: list[str] = []
    telling = Telling("m", EventsConfig(), said.append)
    for action in ("fail", "fail", "wait", "fail"):
        telling.steps([step(action, "away")], number=None, now=NOW)
    assert said == ["m: fail: away"] * 2


def test_what_a_wait_is_for_is_said_once_and_again_after_another_step() -> None:
    said: list[str] = []
    telling = Telling("m", EventsConfig(), said.append)
    for action in ("wait", "wait", "guard", "wait"):
        telling.steps([step(action, "", "for labels")], number=None, now=NOW)
    # Of a guard, its detail and the event.
    assert said == ["m: for labels"] * 2 + ["m: guard: "] + ["m: for labels"]
