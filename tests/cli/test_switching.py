"""Waiting for replicas that are made up: what is changed where nobody tells, and the way back."""

from __future__ import annotations

import os
import shlex

import pytest

from raymm import endpoint
from raymm.cli import switching
from raymm.errors import NotFound, ServingError
from raymm.registry.versions import Registry

AT = ("--url", "http://127.0.0.1:1", "--token", "t")


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """Return a registry of three versions, the last not blessed, the first the champion."""
    monkeypatch.setitem(os.environ, "RAYMM_HOME", str(tmp_path))
    registry = Registry(str(tmp_path))
    for number in (1, 2, 3):
        blessed = number < 3
        registry.register(
            "odd", b"%d" % number, run=f"r{number}", blessed=blessed, summary={}, parts={}
        )
    registry.promote("odd", 1, reason="first")
    return registry


def standing(switched, refused=None):
    return {
        "switched": switched,
        "refused": refused or {},
        "replicas": {"a": {"sequence": switched, "failure": "no route"}},
    }


@pytest.mark.parametrize("step", ["promote odd 2", "shadow odd 2", "canary odd 2", "rollback odd"])
def test_without_a_service_that_tells_nothing_is_changed(raymm, registry, monkeypatch, step):
    registry.promote("odd", 2, reason="second")
    registry.promote("odd", 1, reason="third")
    for at, told in (((), "raymm deploy odd"), (AT, "127.0.0.1:1")):
        done = raymm(*shlex.split(step), "--wait", *at)
        assert (done.code, "nothing was changed" in done.err, told in done.err) == (6, True, True)
    monkeypatch.setattr(endpoint, "ask", lambda *_: [])
    done = raymm(*shlex.split(step), "--wait", *AT)
    assert (done.code, "nothing was changed" in done.err) == (6, True)
    assert registry.releases("odd").current().sequence == 3
    assert raymm(*shlex.split(step)).code == 0
    assert registry.releases("odd").current().sequence == 4


def test_a_service_that_goes_away_is_told_with_the_way_back(raymm, registry, monkeypatch, tmp_path):
    def gone():
        yield standing(1)
        raise ServingError("it went away.")

    asked = gone()
    monkeypatch.setattr(endpoint, "ask", lambda *_: next(asked))
    done = raymm("promote", "odd", 2, "--wait", *AT, "--storage", tmp_path)
    assert (done.code, registry.releases("odd").current().champion) == (6, 2)
    for told in ("change 2 of odd is recorded", "it went away", f"--storage {tmp_path}"):
        assert told in done.err
    asked = gone()
    done = raymm("promote", "odd", 2, "--wait", *AT)  # which changes nothing
    assert (done.code, "undo" in done.err) == (6, False)
    with pytest.raises(NotFound, match=r"change 2 of odd is recorded.*To undo it: turn back"):
        switching.switched("odd", 2, 2, undo="turn back")


def test_a_refused_version_and_one_that_nobody_follows_are_told(monkeypatch):
    refusal = {"7": {"sequence": 5, "reason": "not finite"}}
    monkeypatch.setattr(endpoint, "ask", lambda *_: standing(4, refusal))
    at = {"url": "http://127.0.0.1:1", "undo": "turn back"}
    with pytest.raises(ServingError, match=r"version 7 was refused.*not finite") as refused:
        switching.switched("odd", 7, 5, **at)
    assert "turn back" not in str(refused.value)
    with pytest.raises(ServingError, match=r"within 0 s.*a \(no route\).*To undo it: turn back"):
        switching.switched("odd", 7, 6, seconds=0, **at)  # refused before, and chosen again


STEPS = (
    "promote odd 2",
    "promote odd 3 --force",
    "rollback odd",
    "canary odd 2 --share 0.25",
    "canary odd 3 --force",
    "canary odd --end",
    "shadow odd 2",
    "shadow odd 3 --force",
    "shadow odd --end",
    "promote odd 2 --force",
)


@pytest.mark.parametrize(
    "start",
    [(), (0,), (0, 1), (3,), (3, 7), (4, 6), (9,)],
    ids=lambda start: "".join(map(str, start)),
)
def test_every_change_that_can_be_made_is_undone_by_what_is_told(raymm, registry, start):
    for step in start:
        assert raymm(*shlex.split(STEPS[step])).code == 0
    releases = registry.releases("odd")
    for step in STEPS:
        before = releases.current()
        if raymm(*shlex.split(step)).code != 0 or releases.current() == before:
            continue
        undo = switching.undoing(registry, releases.changes()[-1], None)
        for command in undo.split(" && "):
            assert raymm(*shlex.split(command)[1:]).code == 0, (step, undo)
        now = releases.current()
        roles = [(one.champion, one.canary, one.share, one.shadow) for one in (before, now)]
        assert roles[0] == roles[1], (step, undo)
        assert now.insisted >= before.insisted, (step, undo)


def test_the_first_champion_has_no_way_back(registry):
    assert switching.undoing(registry, registry.releases("odd").changes()[0], None) == ""
