"""What is served follows from a linear history of changes."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.artifacts import Release
from raymm.errors import ConfigError, NotBlessed, NotFound, RegistryError
from raymm.registry.fsck import fsck
from raymm.registry.versions import Registry

# Written by the raymm that knew promotions and rollbacks only.
OLD = {
    "versions/00000001.json": '{"format": 1, "token": "6d58710828304622b9ca12cb5d0e53e7", "sha256": "3dd93951f45c2030a05e066330a56329432eebfd9e215d62cc2c423e8139f314", "record": {"name": "churn", "number": 1, "bundle": "5d2475af8b9ca9066115181a8923c8f65cc08a8824924d8657be31fe01be5900", "bundle_bytes": 8, "run": "r1", "blessed": true, "created": "2024-01-02T00:00:00+00:00", "summary": {}, "parts": {}, "version": 1}}',  # noqa: E501
    "promotions/00000001.json": "",
    "promotions/00000002.json": "",
    "promotions/00000003.json": '{"format": 1, "token": "2f039999b9c548d58b9787d5997eada3", "sha256": "1ce389676ef29c23c5bbda877699d94892c2b9826c1e06e11579e31d1b2dd1e5", "record": {"name": "churn", "sequence": 3, "number": 1, "previous": 2, "action": "rollback", "reason": "slow", "forced": false, "created": "2024-01-02T00:00:00+00:00", "version": 1}}',  # noqa: E501
}
_stores = iter(range(10**9))


def made(uri: str, count: int = 3, *, blessed: bool = True) -> Registry:
    registry = Registry(uri)
    for n in range(1, count + 1):
        registry.register(
            "churn", b"bundle %d" % n, run=f"r{n}", blessed=blessed, summary={}, parts={}
        )
    return registry


def test_a_version_goes_from_shadow_to_canary_to_champion(uri: str) -> None:
    releases = made(uri).releases("churn")
    assert releases.current() == Release(name="churn")
    releases.promote(1, reason="first")
    releases.shadow(2, reason="try it")
    assert releases.current() == Release(name="churn", sequence=2, champion=1, shadow=2)
    change = releases.canary(2, 0.1, reason="looks well", who="ann")
    assert (change.share, change.previous, change.who) == (0.1, 1, "ann")
    assert releases.current() == Release(name="churn", sequence=3, champion=1, canary=2, share=0.1)
    assert releases.canary(2, 0.1).sequence == 3  # nothing changes, nothing is added
    assert releases.canary(2, 0.5).sequence == 4
    releases.shadow(3)
    releases.promote(2, reason="better")
    now = releases.current()
    assert now == Release(name="churn", sequence=6, champion=2, shadow=3, earlier=(1,))
    assert [now.role(n) for n in (1, 2, 3)] == ["", "champion", "shadow"]
    releases.end("shadow", reason="enough")
    releases.rollback(reason="worse")
    assert releases.current() == Release(name="churn", sequence=8, champion=1, insisted=True)
    told = [
        (one.action, one.number, one.reason) for one in Registry(uri).releases("churn").changes()
    ]
    assert told[-2:] == [("end", 3, "enough"), ("rollback", 1, "worse")]
    assert all(one.who and one.created for one in releases.changes())
    assert fsck(Registry(uri)) == []


def test_what_may_not_be_released(uri: str) -> None:
    releases = made(uri).releases("churn")
    with pytest.raises(ConfigError, match="no champion yet"):
        releases.canary(2, 0.1)
    releases.promote(1)
    for share in (0.0, 1.0, -0.5, float("nan")):
        with pytest.raises(ConfigError, match="share must be above 0"):
            releases.canary(2, share)
    with pytest.raises(ConfigError, match="churn@1 is the champion"):
        releases.shadow(1)
    for role in ("canary", "shadow"):
        with pytest.raises(NotFound, match=f"no {role} to end"):
            releases.end(role)
    with pytest.raises(NotFound, match="no version 9"):
        releases.shadow(9)
    assert len(releases.changes()) == 1


def test_the_unblessed_need_force_and_a_reason(uri: str) -> None:
    releases = made(uri, blessed=False).releases("churn")
    releases.promote(1, force=True, reason="urgent")
    with pytest.raises(NotBlessed):
        releases.canary(2, 0.1, reason="curious")
    with pytest.raises(ConfigError, match="reason"):
        releases.shadow(2, force=True)
    assert releases.shadow(2, force=True, reason="curious").forced


def test_a_refused_version_is_taken_out_once_by_however_many_replicas(uri: str) -> None:
    registry = made(uri)
    releases = registry.releases("churn")
    releases.promote(1)
    releases.promote(2)
    since = releases.current().sequence
    start, added = threading.Barrier(4), []

    def refuse() -> None:
        start.wait()
        added.append(Registry(uri).releases("churn").refuse(2, since=since, reason="not finite"))

    threads = [threading.Thread(target=refuse) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (change,) = [one for one in added if one is not None]
    assert (change.action, change.number, change.who) == ("rollback", 1, "policy")
    assert releases.current().champion == 1


def test_a_refusal_leaves_what_came_later_alone(uri: str) -> None:
    releases = made(uri).releases("churn")
    releases.promote(1)
    assert releases.refuse(1, since=1, reason="bad") is None  # there is no champion before it
    assert releases.refuse(3, since=1, reason="bad") is None  # it has no role
    releases.canary(2, 0.1)
    releases.canary(2, 0.2)
    assert releases.refuse(2, since=2, reason="bad") is None  # it was chosen again since
    change = releases.refuse(2, since=3, reason="bad")
    assert change is not None
    assert (change.action, releases.current().canary) == ("end", None)


def test_a_history_of_the_first_format_is_read_and_gone_on_with(tmp_path: Path) -> None:
    registry = made(str(tmp_path), 2)
    registry.promote("churn", 1)
    registry.promote("churn", 2)
    folder = tmp_path / "models/churn"
    for path in folder.glob("promotions/*.json"):
        envelope = json.loads(path.read_text())
        assert envelope["format"] == 2  # an older raymm must not misread it
    for name, text in OLD.items():
        if text:
            (folder / name).write_text(text)
    releases = Registry(str(tmp_path)).releases("churn")
    assert releases.current() == Release(name="churn", sequence=3, champion=1, insisted=True)
    last = releases.changes()[-1]
    assert (last.reason, last.who, last.version) == ("slow", "", 1)
    releases.canary(2, 0.25)
    assert releases.current().canary == 2
    assert fsck(Registry(str(tmp_path))) == []


def test_changes_that_do_not_follow_from_each_other_are_found(tmp_path: Path) -> None:
    registry = made(str(tmp_path))
    registry.promote("churn", 1)
    path = tmp_path / "models/churn/promotions/00000001.json"
    path.write_text(OLD["promotions/00000003.json"].replace('"sequence": 3', '"sequence": 1'))
    with pytest.raises(RegistryError):
        Registry(str(tmp_path)).releases("churn").current()
    assert [one.severity for one in fsck(Registry(str(tmp_path)))] == ["error"]


def test_who_insisted_on_a_champion_is_known_until_there_is_another(tmp_path: Path) -> None:
    releases = made(str(tmp_path)).releases("churn")
    seen = []
    for act in (
        lambda: releases.promote(1),
        lambda: releases.promote(2, force=True, reason="slow, and better"),
        lambda: releases.shadow(1),
        lambda: releases.promote(3),
        releases.rollback,
        lambda: releases.promote(3),
    ):
        act()
        seen.append(releases.current().insisted)
    assert seen == [False, True, True, False, True, False]


def test_a_champion_that_is_insisted_on_afterwards_is_left_alone_and_has_one_before_it(
    tmp_path: Path,
) -> None:
    releases = made(str(tmp_path)).releases("churn")
    releases.promote(1)
    first = releases.promote(2)
    assert releases.promote(2).sequence == first.sequence
    again = releases.promote(2, force=True, reason="slow, and better")
    assert (again.sequence, again.number, again.insisted) == (first.sequence + 1, 2, True)
    assert releases.promote(2, force=True, reason="once more").sequence == again.sequence
    assert releases.promote(2).sequence == again.sequence
    assert releases.refuse(2, since=first.sequence, reason="too slow") is None
    now = releases.current()
    assert (now.champion, now.earlier, now.insisted) == (2, (1,), True)
    assert releases.rollback().number == 1


@pytest.mark.slow
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["promote", "canary", "shadow", "end", "rollback"]), st.integers(1, 4)
        ),
        max_size=12,
    )
)
@settings(max_examples=40, deadline=None)
def test_a_version_has_one_role_at_most(steps: list[tuple[str, int]]) -> None:
    registry = made(f"memory://roles-{next(_stores)}", 4)
    releases = registry.releases("churn")
    releases.promote(1)
    for action, number in steps:
        try:
            if action == "canary":
                releases.canary(number, 0.5)
            elif action == "end":
                releases.end("canary" if number % 2 else "shadow")
            elif action == "rollback":
                releases.rollback()
            else:
                getattr(releases, action)(number)
        except (ConfigError, NotFound):
            continue
        now = releases.current()
        roles = [one for one in (now.champion, now.canary, now.shadow) if one is not None]
        assert len(set(roles)) == len(roles)
        assert (now.share > 0) == (now.canary is not None)
        assert now == Registry(registry.uri).releases("churn").current()
