"""Commands that change what is served, with a service that is made up."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from raymm import endpoint
from raymm.cli import releasing
from raymm.registry.versions import Registry


@pytest.fixture
def own(finished, tmp_path, monkeypatch):
    """A copy of the finished runs' storage, to be changed."""
    shutil.copytree(finished.home, tmp_path / "home")
    monkeypatch.setitem(os.environ, "RAYMM_HOME", str(tmp_path / "home"))
    return Registry(str(tmp_path / "home")).releases("loans")


def test_a_version_is_tried_promoted_and_taken_back(raymm, own):
    done = raymm("shadow", "loans", 1, "--json", "--force", "--reason", "curious")
    assert json.loads(done.out)["shadow"] == 1
    said = raymm("canary", "loans", 1, "--share", 0.25).out
    assert "is the canary, for 25.0% of the requests. That is recorded; a running service" in said
    assert "raymm release loans shows (--wait waits for that)" in said
    assert "answers" not in said
    assert own.current().canary == 1
    told = json.loads(raymm("release", "loans", "--json").out)
    assert told["release"]["share"] == 0.25
    assert [one["action"] for one in told["history"]][-2:] == ["shadow", "canary"]
    assert told["service"] is None
    shown = raymm("release", "loans").out
    for word in ("champion", "canary", "25.0% of the requests", "curious"):
        assert word in shown
    assert json.loads(raymm("promote", "loans", 1, "--json").out)["champion"] == 1
    assert json.loads(raymm("rollback", "loans", "--json").out)["champion"] == 2
    for role in ("canary", "shadow"):
        assert raymm(role, "loans", 1, "--force", "--reason", "x").code == 0
        assert "any more (enough)" in raymm(role, "loans", "--end", "--reason", "enough").out
        assert (raymm(role, "loans").code, raymm(role, "loans", 1, "--end").code) == (2, 2)
    assert [one.reason for one in own.changes()][-1] == "enough"


def test_what_may_not_be_is_told(raymm, own):
    done = raymm("canary", "loans", 1, "--share", 1.5)
    assert (done.code, "share must be above 0" in done.err) == (2, True)
    assert raymm("shadow", "loans", 9).code == 6
    assert raymm("release", "nobody").code == 6
    done = raymm("canary", "loans", "--end")
    assert (done.code, "no canary to end" in done.err) == (6, True)


def standing(switched):
    return {
        "switched": switched,
        "refused": {},
        "replicas": {"a": {"sequence": switched, "failure": "no route"}},
    }


def test_promotion_is_done_when_every_replica_has_switched(raymm, own, monkeypatch):
    asked = iter([standing(0), standing(-1), standing(1), standing(99)])
    monkeypatch.setattr(endpoint, "ask", lambda found, path, **_: next(asked))
    done = raymm("promote", "loans", 1, "--wait", "--url", "http://127.0.0.1:1", "--token", "t")
    assert (done.code, "every replica has switched" in done.out) == (0, True)
    assert "recorded" not in done.out
    assert list(asked) == []


@pytest.mark.parametrize(
    ("sequences", "told"),
    [
        ([3], "1 replica serves it"),
        ([3, 3], "2 replicas serve it"),
        ([3, 2], "2 replicas serve it, 1 of them still without the last change"),
    ],
)
def test_replicas_are_told_by_how_many_they_are(capsys, sequences, told):
    replicas = {str(place): {"sequence": one} for place, one in enumerate(sequences)}
    releasing._show_standing({"replicas": replicas}, 3)
    assert capsys.readouterr().out == f"{told}\n"


def test_a_version_may_be_named_with_its_model(raymm, own):
    for role in ("shadow", "canary"):
        assert raymm(role, "loans@1", "--force").code == 0
        assert getattr(own.current(), role) == 1
    assert (raymm("promote", "loans@1", 2).code, raymm("promote", "loans").code) == (2, 2)
    assert json.loads(raymm("promote", "loans@1", "--json").out)["champion"] == 1
